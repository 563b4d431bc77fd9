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

    ``mae_shifted`` is the error after the mean error of each molecule is taken out: what conformers and dynamics feel.
    """

    n_structures: int
    mae: float
    rmse: float
    mae_shifted: float


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
    """
    energies, forces = [], []
    for start, end in chunk_bounds(dataset.splits, max_atoms):
        prediction = potential.compute(*dataset_graph(dataset, start, end, potential.cutoff))
        energies.append(prediction.energy.cpu().numpy())
        forces.append(prediction.forces.cpu().numpy())
        if report is not None:
            report(end)
    return np.concatenate(energies), np.concatenate(forces)


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
    error = energy_error_per_atom(dataset, energy)[chosen]
    shifted = error - molecule_means(dataset.molecule_id[chosen], error)
    return EnergyErrors(
        n_structures=len(error),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        mae_shifted=float(np.abs(shifted).mean()),
    )


def energy_error_per_atom(dataset: Dataset, energy: np.ndarray) -> np.ndarray:
    """(Ê - E) / n of each structure, (S,) eV."""
    return (energy - dataset.energy) / dataset.n_atoms


def molecule_means(molecule_id: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each structure the mean of ``values`` (S,) over all structures of its molecule, (S,)."""
    _, group = np.unique(molecule_id, return_inverse=True)
    return (np.bincount(group, weights=values) / np.bincount(group))[group]


def element_symbols(dataset: Dataset) -> np.ndarray:
    """(A,) chemical symbols."""
    return np.array(chemical_symbols)[dataset.atomic_numbers]


def known_regimes(dataset: Dataset) -> np.ndarray:
    """(S,) regimes, "unknown" where the dataset does not say."""
    return np.where(dataset.regime == "", "unknown", dataset.regime)
