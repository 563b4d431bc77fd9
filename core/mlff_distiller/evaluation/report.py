"""Every metric for every group of atoms and structures: what ``mlffd evaluate`` reports.

S structures, A atoms.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.errors import DatasetError
from mlff_distiller.evaluation.energy_metrics import EnergyMetrics, energy_metrics, fit_element_offsets
from mlff_distiller.evaluation.force_comparison import ForceComparison, ForceMetrics, force_metrics
from mlff_distiller.evaluation.metrics import element_symbols, known_regimes
from mlff_distiller.json_file import without_nan

SIZE_EDGES = (1, 10, 20, 40, 80, 160)  # atoms of a structure, lower edges
FORCE_EDGES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # |F| of an atom, eV/Å, lower edges
UNITS = {
    "forces": "eV/Å; angles in degrees; r2 and cosine without unit",
    "energies": "eV per atom",
    "element_offsets": "eV",
}

Groups = dict[str, np.ndarray]  # name → mask


@dataclass(frozen=True)
class EvaluationReport:
    """A student, or labels, beside a reference.

    Attributes:
        predicted: What is judged: a student's name, or "labels".
        reference: What it is judged by: "labels", or a teacher's name.
        forces: Metrics by kind of group ("all", "element", "regime", "size", "force") and group.
        energies: Metrics by kind of group ("all", "regime", "size") and group.
        element_offsets: Fitted offset of the predicted energies, eV by symbol; empty where the fit is void.
    """

    predicted: str
    reference: str
    forces: dict[str, dict[str, ForceMetrics]]
    energies: dict[str, dict[str, EnergyMetrics]]
    element_offsets: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and dictionaries, with None for what is not defined, for JSON."""
        return without_nan(asdict(self))


def evaluate_predictions(
    dataset: Dataset, energy: np.ndarray, forces: np.ndarray, predicted: str, reference: str = "labels"
) -> EvaluationReport:
    """Compare predictions with the labels of a dataset.

    Args:
        dataset: S structures whose labels are the reference.
        energy: (S,) eV.
        forces: (A, 3) eV/Å.
        predicted: Name of what is judged.
        reference: Name of what it is judged by.

    Raises:
        DatasetError: There are no structures.
    """
    if len(dataset) == 0:
        raise DatasetError("Expected at least one structure to evaluate, got none.")
    comparison = ForceComparison(dataset.forces.astype(np.float64), forces)
    offsets = fit_element_offsets(dataset, energy)
    return EvaluationReport(
        predicted,
        reference,
        forces={
            kind: {name: force_metrics(comparison.select(mask)) for name, mask in groups.items()}
            for kind, groups in atom_groups(dataset, comparison.reference_norm).items()
        },
        energies={
            kind: {name: energy_metrics(dataset, energy, offsets, mask) for name, mask in groups.items()}
            for kind, groups in structure_groups(dataset).items()
        },
        element_offsets=offsets,
    )


def structure_groups(dataset: Dataset) -> dict[str, Groups]:
    """Masks (S,) by kind and name; no group is empty."""
    return {
        "all": {"all": np.ones(len(dataset), dtype=bool)},
        "regime": _by_label(known_regimes(dataset)),
        "size": _by_bin(dataset.n_atoms, SIZE_EDGES, "atoms", gap=1),
    }


def atom_groups(dataset: Dataset, magnitude: np.ndarray) -> dict[str, Groups]:
    """Masks (A,) by kind and name; no group is empty.

    Args:
        dataset: S structures, A atoms.
        magnitude: |F| of the reference, (A,) eV/Å.
    """
    of_structures = {
        kind: {name: mask[dataset.batch] for name, mask in groups.items()}
        for kind, groups in structure_groups(dataset).items()
    }
    return {
        "all": of_structures["all"],
        "element": _by_label(element_symbols(dataset)),
        "regime": of_structures["regime"],
        "size": of_structures["size"],
        "force": _by_bin(magnitude, FORCE_EDGES, "eV/Å"),
    }


def forces_csv(evaluations: Sequence[EvaluationReport]) -> str:
    """One row for each evaluation, kind of group and group; units as in `UNITS`."""
    return _csv([(evaluation, evaluation.forces) for evaluation in evaluations])


def energies_csv(evaluations: Sequence[EvaluationReport]) -> str:
    """One row for each evaluation, kind of group and group; units as in `UNITS`."""
    return _csv([(evaluation, evaluation.energies) for evaluation in evaluations])


def _csv(
    tables: Sequence[tuple[EvaluationReport, Mapping[str, Mapping[str, ForceMetrics | EnergyMetrics]]]],
) -> str:
    rows = [
        {
            "predicted": evaluation.predicted,
            "reference": evaluation.reference,
            "group_kind": kind,
            "group": name,
            **without_nan(asdict(metrics)),
        }
        for evaluation, metrics_of in tables
        for kind, groups in metrics_of.items()
        for name, metrics in groups.items()
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _by_label(labels: np.ndarray) -> Groups:
    return {str(label): labels == label for label in np.unique(labels)}


def _by_bin(values: np.ndarray, edges: Sequence[float], unit: str, gap: int = 0) -> Groups:
    """Bins [edge, next edge), the last one open; those without a member are left out.

    Args:
        values: What is sorted into bins.
        edges: Lower edges, ascending.
        unit: Of the values, for the names.
        gap: Between the last value of a bin and the next edge: 1 for counts, where 10 to 19 is followed by 20.
    """
    masks = {}
    for low, high in zip(edges, [*edges[1:], math.inf], strict=True):
        mask = (values >= low) & (values < high)
        if mask.any():
            masks[f"≥ {low:g} {unit}" if high == math.inf else f"{low:g}-{high - gap:g} {unit}"] = mask
    return masks
