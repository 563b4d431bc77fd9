"""How well energies and forces agree with their labels: overall, per element and per regime.

This is what an artifact keeps of its test; `evaluation.report` has more metrics for more groups.

S structures, A atoms. Forces are compared by component. R² = 1 - Σ(F - F̂)² / Σ(F - F̄)².
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols

from mlff_distiller.data.dataset import Dataset, chunk_bounds
from mlff_distiller.data.statistics import compositions
from mlff_distiller.errors import StructureError
from mlff_distiller.graph import Graph, build_graph
from mlff_distiller.model.potential import Potential


@dataclass(frozen=True)
class ForceErrors:
    """Errors of force components over some atoms, eV/Å (R² has no unit)."""

    n_atoms: int
    mae: float
    rmse: float
    r2: float
    label_rms: float


@dataclass(frozen=True)
class EnergyErrors:
    """Errors of energies per atom over some structures, eV.

    ``mae_shifted`` is the error after the mean error of each molecule is taken out: what conformers and dynamics feel. Only
    molecules with two frames or more count; None where there is none.
    """

    n_structures: int
    mae: float
    rmse: float
    mae_shifted: float | None


@dataclass(frozen=True)
class Accuracy:
    """Errors overall and by group."""

    energy: EnergyErrors
    forces: ForceErrors
    forces_by_element: dict[str, ForceErrors]
    forces_by_regime: dict[str, ForceErrors]
    energy_by_regime: dict[str, EnergyErrors]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and dictionaries, for JSON and metadata."""
        return asdict(self)


def predict_dataset(
    potential: Potential,
    dataset: Dataset,
    max_atoms: int = 1024,
    report: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Energies and forces of every structure, with at most ``max_atoms`` atoms (or one structure) in memory at once.

    Args:
        potential: The student.
        dataset: S structures, A atoms; labels are not used.
        max_atoms: Atoms in memory at once.
        report: Called with the number of structures done.

    Returns:
        energy (S,) eV and forces (A, 3) eV/Å, float64.

    Raises:
        StructureError: Names the structure by its index, and what is wrong with it.
    """
    energies, forces = [], []
    for start, end in chunk_bounds(dataset.splits, max_atoms):
        try:
            prediction = potential.compute(*dataset_graph(dataset, start, end, potential.cutoff))
        except StructureError:
            _blame(potential, dataset, start, end)
            raise
        energies.append(prediction.energy.cpu().numpy())
        forces.append(prediction.forces.cpu().numpy())
        if report is not None:
            report(end)
    return np.concatenate(energies), np.concatenate(forces)


def _blame(potential: Potential, dataset: Dataset, start: int, end: int) -> None:
    """Evaluate one by one, so that the message names the structure, and counts the atoms within it."""
    for index in range(start, end):
        try:
            potential.compute(*dataset_graph(dataset, index, index + 1, potential.cutoff))
        except StructureError as error:
            raise StructureError(f"structure {index}: {error}") from None


def dataset_graph(dataset: Dataset, start: int, end: int, cutoff: float) -> Graph:
    """The structures ``start`` … ``end - 1`` as one graph."""
    atoms = slice(dataset.splits[start], dataset.splits[end])
    return build_graph(
        torch.from_numpy(dataset.atomic_numbers[atoms]),
        torch.from_numpy(dataset.positions[atoms]),
        torch.from_numpy(dataset.batch[atoms] - start),
        torch.from_numpy(dataset.cells[start:end]),
        torch.from_numpy(dataset.pbc[start:end]),
        cutoff,
    )


def measure_accuracy(dataset: Dataset, energy: np.ndarray, forces: np.ndarray) -> Accuracy:
    """Compare predictions with the labels.

    Args:
        dataset: S structures with labels.
        energy: (S,) eV.
        forces: (A, 3) eV/Å.
    """
    symbols = element_symbols(dataset)  # (A,)
    regimes = known_regimes(dataset)  # (S,)
    atom_regimes = regimes[dataset.batch]
    labels = dataset.forces.astype(np.float64)
    return Accuracy(
        energy=energy_errors(dataset, energy, np.ones(len(dataset), dtype=bool)),
        forces=force_errors(forces, labels),
        forces_by_element={
            s: force_errors(forces[symbols == s], labels[symbols == s]) for s in np.unique(symbols)
        },
        forces_by_regime={
            r: force_errors(forces[atom_regimes == r], labels[atom_regimes == r]) for r in np.unique(regimes)
        },
        energy_by_regime={r: energy_errors(dataset, energy, regimes == r) for r in np.unique(regimes)},
    )


def force_errors(predicted: np.ndarray, labels: np.ndarray) -> ForceErrors:
    """Errors of force components; both (A, 3) eV/Å."""
    error = predicted - labels
    variance = float(((labels - labels.mean(axis=0)) ** 2).sum())
    squares = float((error**2).sum())
    return ForceErrors(
        n_atoms=len(labels),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        r2=1.0 - squares / variance if variance > 0 else float("nan"),
        label_rms=float(np.sqrt((labels**2).mean())),
    )


def energy_errors(dataset: Dataset, energy: np.ndarray, chosen: np.ndarray) -> EnergyErrors:
    """Errors of energies per atom over some structures.

    Args:
        dataset: S structures with labels.
        energy: (S,) eV.
        chosen: (S,) bool; means are taken over the chosen frames of a molecule.
    """
    errors = energy_error_per_atom(dataset, energy)
    shifted = within_molecules(dataset, errors, chosen)
    error = errors[chosen]
    return EnergyErrors(
        n_structures=len(error),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        mae_shifted=float(np.abs(shifted).mean()) if len(shifted) else None,
    )


def energy_error_per_atom(dataset: Dataset, energy: np.ndarray) -> np.ndarray:
    """(Ê - E) / n of each structure, (S,) eV."""
    return (energy - dataset.energy) / dataset.n_atoms


def within_molecules(dataset: Dataset, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Values less the mean over the chosen structures of their molecule.

    Args:
        dataset: S structures.
        values: (S,).
        chosen: (S,) bool.

    Returns:
        One value for each chosen structure whose molecule has two or more of them: a single one is its own mean.
    """
    relative = relative_to_molecule(dataset, np.where(chosen, values, np.nan))
    return relative[np.isfinite(relative)]


def relative_to_molecule(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    """Values (S,) less the mean over their molecule, NaN where that has one value only; NaN among ``values`` are left out.

    Structures are of one molecule if their ids and their compositions are the same: where there are no ids, or the id is the
    name of a file of many molecules, the composition tells them apart.
    """
    _, of_id = np.unique(dataset.molecule_id, return_inverse=True)
    keys = np.column_stack([of_id, compositions(dataset)[1]])
    molecule = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    known = np.isfinite(values)
    n_known = np.bincount(molecule, weights=known)[molecule]
    total = np.bincount(molecule, weights=np.where(known, values, 0.0))[molecule]
    return np.where(known & (n_known > 1), values - total / np.maximum(n_known, 1), np.nan)


def element_symbols(dataset: Dataset) -> np.ndarray:
    """(A,) chemical symbols."""
    return np.array(chemical_symbols)[dataset.atomic_numbers]


def known_regimes(dataset: Dataset) -> np.ndarray:
    """(S,) regimes, "unknown" where the dataset does not say."""
    return np.where(dataset.regime == "", "unknown", dataset.regime)
