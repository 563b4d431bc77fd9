"""A committee's members trained one after the other, and what its spread is worth as an uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from mlff_distiller.data.dataset import Dataset, chunk_bounds
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.metrics import dataset_graph
from mlff_distiller.export.artifact import Provenance, read_metadata
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.committee import CommitteeForceField, force_spread
from mlff_distiller.registry import CHECKPOINT_SUFFIX, artifact_path, load_student

MAX_ATOMS = 1024  # held at once, as in `predict_dataset`


@dataclass(frozen=True)
class SpreadReport:
    """How the spread of forces goes with their error, over the atoms of a dataset.

    Attributes:
        mean: Mean spread, eV/Å.
        error: Mean |F̄ - F|, eV/Å.
        rank_correlation: Spearman's, between spread and |F̄ - F| of the atoms: 1 if the spread sorts atoms by their error.
    """

    mean: float
    error: float
    rank_correlation: float


def measure_spread(committee: CommitteeForceField, dataset: Dataset) -> SpreadReport:
    """Spread and error of every atom of a labelled dataset."""
    spread, error = [], []
    for start, end in chunk_bounds(dataset.splits, MAX_ATOMS):
        graph = dataset_graph(dataset, start, end, committee.cutoff)
        forces = committee.compute_members(*graph)[1]
        labels = dataset.forces[dataset.splits[start] : dataset.splits[end]]
        spread.append(force_spread(forces).numpy())
        error.append(np.linalg.norm(forces.mean(0).numpy() - labels, axis=1))
    spread_all, error_all = np.concatenate(spread), np.concatenate(error)
    rank_correlation = np.asarray(spearmanr(spread_all, error_all))[0]
    return SpreadReport(float(spread_all.mean()), float(error_all.mean()), float(rank_correlation))


def join_students(sources: Sequence[str], output: Path) -> Path:
    """Write an artifact with several students that were trained apart.

    Args:
        sources: Names, artifacts or checkpoints of one preset and one set of elements.
        output: Path of the committee, ``.pt``.

    Raises:
        ConfigError: Fewer than two students, students that do not fit, with equal weights or of different teachers, or another
            suffix.
    """
    if output.suffix != ".pt":
        raise ConfigError(f"expected an output that ends in .pt, got {output}: a committee has no ONNX form")
    committee = CommitteeForceField([load_student(source) for source in sources])
    _refuse_equal(committee, sources)
    paths = [artifact_path(source) for source in sources]
    provenance = Provenance(_common_teacher(paths), training={"members": [str(path) for path in paths]})
    return write_artifact(committee, output.stem, provenance, output)


def _refuse_equal(committee: CommitteeForceField, sources: Sequence[str]) -> None:
    """Members with the same weights have no spread, which would be taken for certainty."""
    weights = [torch.cat([w.flatten() for w in member.parameters()]) for member in committee.members]
    for (i, a), (j, b) in combinations(enumerate(weights), 2):
        if torch.equal(a, b):
            raise ConfigError(
                f"{sources[i]} and {sources[j]} have the same weights: their spread is zero and says nothing; train the members "
                "with different seeds (`mlffd train --committee N`)"
            )


def _common_teacher(paths: Sequence[Path]) -> dict[str, Any]:
    """What all artifacts record; a checkpoint records none."""
    teachers = [
        {} if path.suffix == CHECKPOINT_SUFFIX else read_metadata(path).provenance.teacher for path in paths
    ]
    names = sorted({str(teacher["teacher"]) for teacher in teachers if "teacher" in teacher})
    if len(names) > 1:
        raise ConfigError(
            f"the students are of different teachers ({', '.join(names)}), whose energies have no common zero; join those of one"
        )
    return teachers[0] if all(teacher == teachers[0] for teacher in teachers) else {}
