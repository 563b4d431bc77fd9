"""Which sampled frames to keep. N atoms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from mlff_distiller.data.jobs import failure_reason
from mlff_distiller.data.sampling.config import FilterConfig
from mlff_distiller.data.sampling.topology import bond_lengths
from mlff_distiller.data.teachers.base import FAILURES


def rejection(frame: Atoms, settings: FilterConfig) -> str | None:
    """Why a labelled frame is not to be kept, or None."""
    forces = frame.get_forces()
    if not (np.isfinite(forces).all() and np.isfinite(frame.get_potential_energy())):
        return "label not finite"
    if np.linalg.norm(forces, axis=1).max() > settings.max_force:
        return "force too large"
    if len(neighbor_list("i", frame, settings.min_distance)):
        return "atoms too close"
    return None


def kept(frames: Iterable[Atoms], settings: FilterConfig, failures: Counter[str]) -> Iterator[Atoms]:
    """The frames that pass; the others are counted by reason. A failure of the teacher ends them."""
    try:
        for frame in frames:
            reason = rejection(frame, settings)
            if reason is None:
                yield frame
            else:
                failures[reason] += 1
    except FAILURES as error:
        failures[failure_reason(error)] += 1


def intact(
    frames: Iterable[Atoms],
    bonds: np.ndarray,
    start: Atoms,
    max_stretch: float | None,
    failures: Counter[str],
) -> Iterator[Atoms]:
    """The frames in which no bond is more than ``max_stretch`` Å longer than at the start; None keeps all.

    The first frame that has fallen apart ends the frames, because no later one would be of the molecule.

    Args:
        frames: Frames of one trajectory.
        bonds: (B, 2) int64.
        start: The geometry that they started from.
        max_stretch: Å.
        failures: Where a trajectory that was ended is counted.
    """
    limit = bond_lengths(start.positions, bonds) + (np.inf if max_stretch is None else max_stretch)
    for frame in frames:
        if (bond_lengths(frame.positions, bonds) > limit).any():
            failures["molecule fell apart"] += 1
            return
        yield frame
