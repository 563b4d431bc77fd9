"""An optional curvature term: products of the Hessian with random directions, by differences of labelled forces.

The forces of two frames that lie a small step ±h v apart differ by F(x + hv) - F(x - hv) = -2h H v. Teacher and student are
compared on that difference over the same step, so it has no truncation bias, and the student needs no third derivatives.
Idea of matching Hessian rows in distillation: Amin, Raja, Krishnapriyan, ICLR 2025 (arXiv:2501.09009).

P pairs, N atoms in a batch of pairs (both frames counted).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.errors import TrainingError
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.batches import Batch, GraphSet

logger = logging.getLogger(__name__)

LARGEST_STEP = 0.2  # Å that an atom may move from frame to frame of a pair
FORWARD, BACKWARD = "pair+", "pair-"  # regimes of the two frames


class PairBatch(NamedTuple):
    """Frames x + hv and x - hv in turn."""

    batch: Batch
    step: Tensor  # (N / 2,) Å, |2hv| of each atom's pair, over all its atoms


class HessianPairs:
    """Pairs of labelled frames, as `displaced_pairs` lays them out; a frame whose partner is missing is left out.

    Args:
        dataset: Labelled displaced frames.
        student: Gives the cutoff and the species table.

    Raises:
        TrainingError: There is no complete pair.
    """

    def __init__(self, dataset: Dataset, student: StudentForceField) -> None:
        first = _complete_pairs(dataset)
        if len(first) == 0:
            raise TrainingError(
                f"expected frames of the regimes {FORWARD!r} and {BACKWARD!r} in turn, in which no atom moves by {LARGEST_STEP} "
                "Å from one to the other, found no such pair; make them with `mlffd pairs`"
            )
        if left_out := len(dataset) - 2 * len(first):
            logger.warning(
                "%d of %d frames of the curvature term are left out: their partner is missing, or further than %s Å away",
                left_out,
                len(dataset),
                LARGEST_STEP,
            )
        pairs = dataset.select(np.stack([first, first + 1], axis=1).ravel())
        self.graphs = GraphSet(pairs, student)
        self.steps = [
            float(np.linalg.norm(_positions(pairs, 2 * k) - _positions(pairs, 2 * k + 1)))
            for k in range(len(first))
        ]

    def __len__(self) -> int:
        return len(self.steps)

    def draw(self, n_pairs: int, seed: Sequence[int], step: int) -> PairBatch:
        """Pairs that depend on seed and step alone, so that resuming is exact."""
        chosen = np.random.default_rng([*seed, step]).choice(
            len(self), min(n_pairs, len(self)), replace=False
        )
        return self.collate(chosen)

    def collate(self, chosen: Sequence[int] | np.ndarray) -> PairBatch:
        """The pairs ``chosen`` as one batch."""
        frames = np.stack([2 * np.asarray(chosen), 2 * np.asarray(chosen) + 1], axis=1).ravel()
        batch = self.graphs.collate(frames)
        steps = torch.tensor([self.steps[k] for k in chosen], dtype=batch.forces.dtype)
        return PairBatch(batch, torch.repeat_interleave(steps, batch.n_atoms[::2].long()))


def hessian_loss(predicted: Tensor, pairs: PairBatch) -> Tensor:
    """Mean over atoms of |ΔH v| in eV/Å², v of unit length; smoothed at 0.1 meV/Å².

    Args:
        predicted: (N, 3) eV/Å, forces of all frames.
        pairs: The labelled frames.
    """
    error = (
        predicted - pairs.batch.forces
    )  # linear, so the difference of errors is the error of the difference
    forward = pairs.batch.batch % 2 == 0  # (N,)
    curvature = (error[forward] - error[~forward]) / pairs.step.to(error.device)[:, None]  # (N / 2, 3)
    return torch.sqrt((curvature**2).sum(dim=1) + 1e-8).mean()


def displaced_pairs(dataset: Dataset, step: float, seed: int) -> Dataset:
    """Each frame displaced by ±step along a random direction: two frames without labels (zeros).

    Args:
        dataset: S frames.
        step: Root-mean-square displacement of an atom, Å.
        seed: Of the directions.

    Returns:
        2S frames, x + hv and x - hv in turn.
    """
    rng = np.random.default_rng(seed)
    doubled = dataset.select(np.repeat(np.arange(len(dataset)), 2))
    direction = rng.normal(size=dataset.positions.shape)
    for start, end in zip(dataset.splits[:-1], dataset.splits[1:], strict=True):
        direction[start:end] *= step * np.sqrt(end - start) / np.linalg.norm(direction[start:end])
    sign = np.where(doubled.batch % 2 == 0, 1.0, -1.0)[:, None]
    rows = _doubled_rows(dataset)
    return Dataset(
        atomic_numbers=doubled.atomic_numbers,
        splits=doubled.splits,
        positions=doubled.positions + sign * direction[rows],
        cells=doubled.cells,
        pbc=doubled.pbc,
        energy=np.zeros(len(doubled)),
        forces=np.zeros_like(doubled.forces),
        stress=None,
        molecule_id=doubled.molecule_id,
        regime=np.tile([FORWARD, BACKWARD], len(dataset)),
        metadata={},
    )


def _doubled_rows(dataset: Dataset) -> np.ndarray:
    """Row in the original of each atom of the doubled dataset."""
    return np.concatenate(
        [np.tile(np.arange(a, b), 2) for a, b in zip(dataset.splits[:-1], dataset.splits[1:], strict=True)]
    )


def _positions(dataset: Dataset, index: int) -> np.ndarray:
    return dataset.positions[dataset.splits[index] : dataset.splits[index + 1]]


def _complete_pairs(dataset: Dataset) -> np.ndarray:
    """Indices of forward frames that are followed by their backward frame."""
    matching = (dataset.regime[:-1] == FORWARD) & (dataset.regime[1:] == BACKWARD)
    same = (dataset.n_atoms[:-1] == dataset.n_atoms[1:]) & (
        dataset.molecule_id[:-1] == dataset.molecule_id[1:]
    )
    candidates = np.flatnonzero(matching & same)
    # Where two frames between them have failed, those of two pairs meet: then the directions are no small step.
    return np.array([k for k in candidates if _is_small_step(dataset, int(k))], dtype=np.int64)


def _is_small_step(dataset: Dataset, index: int) -> bool:
    step = np.linalg.norm(_positions(dataset, index) - _positions(dataset, index + 1), axis=1)
    return bool(step.max() < LARGEST_STEP)
