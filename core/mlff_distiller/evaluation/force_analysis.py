"""The numbers behind the force analysis: for each atom and structure, how far students are from their reference.

S structures, A atoms, T students, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from mlff_distiller.data.dataset import Dataset, chunk_bounds
from mlff_distiller.evaluation.force_comparison import ForceComparison, r_squared
from mlff_distiller.evaluation.metrics import dataset_graph, known_regimes, relative_to_molecule
from mlff_distiller.evaluation.report import evaluate_predictions
from mlff_distiller.json_file import without_nan

NEIGHBOR_RADIUS = 5.0  # Å, for the local density
MAX_CHUNK = 4096  # atoms whose neighbours are counted at once
N_WORST = 10  # structures and atoms in the JSON document
MIN_IN_BIN = 10  # fewer values in a bin say nothing of its percentiles


@dataclass(frozen=True, eq=False)
class StudentForces:
    """What one student predicts.

    Attributes:
        name: Of the student.
        energy: (S,) eV.
        forces: Beside the reference's, A atoms.
    """

    name: str
    energy: np.ndarray
    forces: ForceComparison


@dataclass(frozen=True, eq=False)
class ForceAnalysis:
    """T students on one dataset.

    Attributes:
        dataset: S structures whose labels are the reference.
        reference: Name of the teacher.
        students: T of them; the first decides which structures are the worst.
        n_neighbors: (A,) atoms within `NEIGHBOR_RADIUS`, periodic images included.
        numbers: (S,) place of each structure in the file that it came from, which may have more.
    """

    dataset: Dataset
    reference: str
    students: tuple[StudentForces, ...]
    n_neighbors: np.ndarray
    numbers: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Metrics by group, R² by component, and the worst structures and atoms of each student, for JSON."""
        return {
            "reference": self.reference,
            "n_structures": len(self.dataset),
            "n_atoms": len(self.dataset.atomic_numbers),
            "students": [self._student_dict(student) for student in self.students],
        }

    def _student_dict(self, student: StudentForces) -> dict[str, Any]:
        evaluation = evaluate_predictions(
            self.dataset, student.energy, student.forces.predicted, student.name, self.reference
        )
        document = {
            **evaluation.to_dict(),
            "r2_by_panel": {
                name: r_squared(*pair[::-1]) for name, pair in parity_pairs(student.forces).items()
            },
            "worst_structures": worst_structures(self.dataset, student.forces, N_WORST, self.numbers),
            "worst_atoms": worst_atoms(self.dataset, student.forces, N_WORST, self.numbers),
        }
        return without_nan(document)


def analyse_forces(
    dataset: Dataset,
    reference: str,
    predictions: Sequence[tuple[str, np.ndarray, np.ndarray]],
    numbers: np.ndarray | None = None,
) -> ForceAnalysis:
    """Compare students with the labels of a dataset.

    Args:
        dataset: S structures whose labels are the reference.
        reference: Name of the teacher.
        predictions: Name, energy (S,) eV and forces (A, 3) eV/Å of each student.
        numbers: (S,) place of each structure in its file; None where the dataset is the whole file.
    """
    labels = dataset.forces.astype(np.float64)
    students = tuple(
        StudentForces(name, energy, ForceComparison(labels, forces)) for name, energy, forces in predictions
    )
    numbers = np.arange(len(dataset)) if numbers is None else numbers
    return ForceAnalysis(dataset, reference, students, count_neighbors(dataset, NEIGHBOR_RADIUS), numbers)


def count_neighbors(dataset: Dataset, radius: float) -> np.ndarray:
    """Atoms within ``radius`` Å of each atom, periodic images included, (A,) int64."""
    counts = []
    for start, end in chunk_bounds(dataset.splits, MAX_CHUNK):
        receivers = dataset_graph(dataset, start, end, radius).edge_index[0].numpy()
        counts.append(np.bincount(receivers, minlength=dataset.splits[end] - dataset.splits[start]))
    return np.concatenate(counts)


def parity_pairs(forces: ForceComparison) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reference and prediction, (A,) eV/Å each, of the components and of the magnitude."""
    components = {
        axis: (forces.reference[:, k], forces.predicted[:, k]) for k, axis in enumerate(("x", "y", "z"))
    }
    return {**components, "magnitude": (forces.reference_norm, forces.predicted_norm)}


def structure_rmse(dataset: Dataset, forces: ForceComparison) -> np.ndarray:
    """Root of the mean squared force component's error in each structure, (S,) eV/Å."""
    return np.sqrt(np.bincount(dataset.batch, weights=forces.error_norm**2) / (3 * dataset.n_atoms))


def relative_energies(dataset: Dataset, energy: np.ndarray) -> np.ndarray:
    """Energy per atom against the mean of the molecule's structures, (S,) eV; NaN where it has one structure only."""
    return relative_to_molecule(dataset, energy / dataset.n_atoms)


@dataclass(frozen=True)
class BinnedPercentiles:
    """Percentiles of y in B bins of x; bins with fewer than `MIN_IN_BIN` values are left out.

    Attributes:
        x: (B,) median of x in the bin.
        low: (B,) 10th percentile of y.
        median: (B,).
        high: (B,) 90th percentile.
    """

    x: np.ndarray
    low: np.ndarray
    median: np.ndarray
    high: np.ndarray


def binned_percentiles(x: np.ndarray, y: np.ndarray, n_bins: int) -> BinnedPercentiles:
    """Sort ``y`` (A,) into bins that hold about equally many of the values ``x`` (A,); NaN in y are left out."""
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    edges = np.unique(np.quantile(x, np.linspace(0, 1, n_bins + 1))) if len(x) else np.zeros(0)
    of_bin = np.searchsorted(edges[1:-1], x, side="right")
    rows = [
        [np.median(x[of_bin == b]), *np.percentile(y[of_bin == b], (10, 50, 90))]
        for b in np.unique(of_bin)
        if np.count_nonzero(of_bin == b) >= MIN_IN_BIN
    ]
    columns = np.array(rows).reshape(-1, 4).T
    return BinnedPercentiles(*columns)


def worst_structures(
    dataset: Dataset, forces: ForceComparison, n: int, numbers: np.ndarray
) -> list[dict[str, Any]]:
    """The ``n`` structures with the largest force RMSE, the worst first; ``numbers`` (S,) are their places in the file."""
    rmse = structure_rmse(dataset, forces)
    regimes = known_regimes(dataset)
    return [
        {
            "structure": int(numbers[s]),
            "formula": structure_formula(dataset, int(s)),
            "molecule_id": str(dataset.molecule_id[s]),
            "regime": str(regimes[s]),
            "n_atoms": int(dataset.n_atoms[s]),
            "force_rmse": float(rmse[s]),
        }
        for s in np.argsort(-rmse, kind="stable")[:n]
    ]


def worst_atoms(
    dataset: Dataset, forces: ForceComparison, n: int, numbers: np.ndarray
) -> list[dict[str, Any]]:
    """The ``n`` atoms with the largest |ΔF|, the worst first; ``atom`` counts from 0 within its structure."""
    return [
        {
            "structure": int(numbers[dataset.batch[a]]),
            "atom": int(a - dataset.splits[dataset.batch[a]]),
            "element": chemical_symbols[dataset.atomic_numbers[a]],
            "error_norm": float(forces.error_norm[a]),
            "reference_norm": float(forces.reference_norm[a]),
            "predicted_norm": float(forces.predicted_norm[a]),
            "angle": float(forces.angle[a]),
        }
        for a in np.argsort(-forces.error_norm, kind="stable")[:n]
    ]


def structure_formula(dataset: Dataset, index: int) -> str:
    """Formula in Hill's order."""
    rows = slice(dataset.splits[index], dataset.splits[index + 1])
    return Formula.from_list([chemical_symbols[z] for z in dataset.atomic_numbers[rows]]).format("hill")
