"""What is in a dataset: sizes, elements, energies, forces, distances; and reference energies per element.

S structures, A atoms in all, K elements. Units: eV, Å.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from scipy.spatial import KDTree
from vesin import ase_neighbor_list

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.splitting import molecules_of
from mlff_distiller.errors import DatasetError

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Spread:
    """Smallest, median and largest of some values."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        return cls(float(values.min()), float(np.median(values)), float(values.max()))


@dataclass(frozen=True)
class DatasetStatistics:
    """Numbers that describe a dataset. A force RMS is over components: sqrt(Σ|F|² / 3A).

    Attributes:
        n_structures: S.
        n_atoms: A.
        n_molecules: Different molecules named by the ids, those in dimers one by one; 0 if none is named.
        n_with_stress: Structures that have a stress.
        elements: Number of atoms by chemical symbol, in ascending order of the atomic number.
        regimes: Number of structures by regime ("unknown" where none is given).
        atoms_per_structure: Over the structures.
        energy_per_atom: Over the structures, eV.
        periodic_fraction: Share of structures that are periodic in at least one direction.
        force_rms: eV/Å; also by element and by regime.
        max_force: Largest |F| of an atom, eV/Å, in structure ``max_force_structure``.
        min_distance: Shortest distance of two atoms, periodic images included, Å, in structure
            ``min_distance_structure``; both None if no structure has two.
    """

    n_structures: int
    n_atoms: int
    n_molecules: int
    n_with_stress: int
    elements: dict[str, int]
    regimes: dict[str, int]
    atoms_per_structure: Spread
    energy_per_atom: Spread
    periodic_fraction: float
    force_rms: float
    force_rms_by_element: dict[str, float]
    force_rms_by_regime: dict[str, float]
    max_force: float
    max_force_structure: int
    min_distance: float | None
    min_distance_structure: int | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain numbers, text and dictionaries, for JSON."""
        return dataclasses.asdict(self)


def dataset_statistics(dataset: Dataset) -> DatasetStatistics:
    """Describe a dataset.

    Raises:
        DatasetError: It holds no structures.
    """
    if len(dataset) == 0:
        raise DatasetError("Expected at least one structure to describe, got an empty dataset.")
    squares = (dataset.forces.astype(np.float64) ** 2).sum(axis=1)  # (A,) |F|²
    symbols = np.array(chemical_symbols)[dataset.atomic_numbers]
    regimes = np.where(dataset.regime == "", UNKNOWN, dataset.regime)
    numbers, atoms_of = np.unique(dataset.atomic_numbers, return_counts=True)
    names, structures_of = np.unique(regimes, return_counts=True)
    distances = min_distances(dataset)
    closest = int(distances.argmin())
    has_pair = math.isfinite(distances[closest])
    return DatasetStatistics(
        n_structures=len(dataset),
        n_atoms=len(dataset.atomic_numbers),
        n_molecules=len(molecules_of(dataset)),
        n_with_stress=0 if dataset.stress is None else int(np.isfinite(dataset.stress).all(axis=1).sum()),
        elements={chemical_symbols[z]: count for z, count in zip(numbers, atoms_of.tolist(), strict=True)},
        regimes=dict(zip(names.tolist(), structures_of.tolist(), strict=True)),
        atoms_per_structure=Spread.of(dataset.n_atoms),
        energy_per_atom=Spread.of(dataset.energy / dataset.n_atoms),
        periodic_fraction=float(dataset.pbc.any(axis=1).mean()),
        force_rms=math.sqrt(squares.mean() / 3),
        force_rms_by_element=_rms_by(symbols, squares, order=[chemical_symbols[z] for z in numbers]),
        force_rms_by_regime=_rms_by(regimes[dataset.batch], squares, order=names.tolist()),
        max_force=math.sqrt(squares.max()),
        max_force_structure=int(dataset.batch[squares.argmax()]),
        min_distance=float(distances[closest]) if has_pair else None,
        min_distance_structure=closest if has_pair else None,
    )


def _rms_by(labels: np.ndarray, squares: np.ndarray, order: list[str]) -> dict[str, float]:
    """Force RMS over the atoms of each label (A,), from |F|² (A,)."""
    return {label: math.sqrt(squares[labels == label].mean() / 3) for label in order}


def min_distances(dataset: Dataset) -> np.ndarray:
    """(S,) shortest distance in each structure, Å; infinite where there is only one atom without images."""
    shortest = np.full(len(dataset), np.inf)
    for i in range(len(dataset)):
        if dataset.pbc[i].any():
            shortest[i] = _min_periodic_distance(dataset, i)
        elif dataset.n_atoms[i] > 1:
            positions = dataset.positions[dataset.splits[i] : dataset.splits[i + 1]]
            shortest[i] = KDTree(positions).query(positions, k=2)[0][:, 1].min()
    return shortest


def _min_periodic_distance(dataset: Dataset, index: int) -> float:
    """Shortest distance of two atoms or of an atom and its image, Å."""
    atoms = dataset.atoms(index)
    cutoff = 1.0
    # Ends: at the length of the shortest periodic lattice vector each atom meets its own image.
    while len(distances := ase_neighbor_list("d", atoms, cutoff)[0]) == 0:
        cutoff *= 1.5
    return float(distances.min())


def fit_reference_energies(dataset: Dataset) -> dict[int, float]:
    """Energy E0 of each element, by least squares of the energies on the compositions.

    Minimises Σ_i [(E_i − Σ_Z n_iZ E0_Z) / n_i]² over the structures: the error per atom, as in the loss.

    Where the compositions do not determine every E0 (water only: each O comes with two H) the solution of the
    smallest norm is taken. Its sums over structures of those compositions are right, its single values mean
    nothing: take the teacher's energies of free atoms if other compositions will be met later.

    Returns:
        E0 in eV by atomic number, for the elements of the dataset, in ascending order.

    Raises:
        DatasetError: No structures, or an energy that is not finite.
    """
    if len(dataset) == 0 or not np.isfinite(dataset.energy).all():
        raise DatasetError(
            f"Expected finite energies to fit reference energies to, got {len(dataset)} structures, of which "
            f"{np.count_nonzero(~np.isfinite(dataset.energy))} without. Fix the dataset."
        )
    elements, composition = compositions(dataset)
    n_atoms = dataset.n_atoms
    solution = np.linalg.lstsq(composition / n_atoms[:, None], dataset.energy / n_atoms, rcond=None)[
        0
    ]  # (K,)
    return dict(zip(elements.tolist(), solution.tolist(), strict=True))


def compositions(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (K,) in ascending order, and how many atoms of each a structure has, (S, K) float64."""
    elements, column = np.unique(dataset.atomic_numbers, return_inverse=True)
    counts = np.zeros((len(dataset), len(elements)))
    np.add.at(counts, (dataset.batch, column), 1.0)
    return elements, counts
