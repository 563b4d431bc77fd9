"""Progressive distillation: the labels of a larger student, mixed into those of the teacher.

S structures.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.evaluation.metrics import predict_dataset
from mlff_distiller.evaluation.reference_shift import measure_reference_shift
from mlff_distiller.export.identity import artifact_identity
from mlff_distiller.registry import artifact_path, load

logger = logging.getLogger(__name__)


def mix_labels(dataset: Dataset, guide: str | Path, weight: float) -> Dataset:
    """Labels (1 - w) · teacher + w · guide.

    The guide's zero of energy is moved to the teacher's where they differ, and a warning says so.

    Args:
        dataset: S structures, labelled by the teacher.
        guide: A larger student, by name or path.
        weight: w.
    """
    potential = load(guide)
    energy, forces = predict_dataset(potential, dataset)
    shift = measure_reference_shift(potential, dataset)
    if shift.needed:
        logger.warning("of the guide %s: %s", guide, shift.describe())
        energy = energy + shift.energies(dataset)
    return replace(
        dataset,
        energy=(1 - weight) * dataset.energy + weight * energy,
        forces=((1 - weight) * dataset.forces + weight * forces).astype(np.float32),
        stress=np.full_like(dataset.stress, np.nan),
    )


def mixed_sha256(dataset: Dataset, guide: str | Path, weight: float) -> str:
    """What mixed labels are known by: their own last bits differ between processors, on which a run shall go on all the same."""
    parts = (dataset.sha256(), artifact_identity(artifact_path(guide))["sha256"], repr(weight))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
