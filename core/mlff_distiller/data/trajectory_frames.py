"""Evenly spaced frames of a trajectory of any length, read once and never held as a whole.

T frames in the file, n of them wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from mlff_distiller.data.structures import from_arrays, to_arrays, unreadable
from mlff_distiller.data.teachers.charge import charge_problem
from mlff_distiller.errors import ConfigError, DatasetError

SPARE = 8  # times the frames wanted are held while the length is not known: what makes the spacing even


@dataclass(frozen=True)
class TrajectoryFrames:
    """Frames of one system.

    Attributes:
        frames: In the order of the file, with initial charges and magnetic moments, without velocities and results.
        numbers: Of each frame in the file, from 0.
        n_read: Frames in the file, T.
        stopped: Why reading ended before the end of the file (a run that was killed leaves half a frame); None if it did not.
    """

    frames: list[Atoms]
    numbers: list[int]
    n_read: int
    stopped: str | None


def read_evenly(
    path: Path, n_frames: int, report: Callable[[int], None] = lambda _: None
) -> TrajectoryFrames:
    """Read ``n_frames`` frames, the first and the last that were kept among them.

    The length of a file is not known before its end. So every k-th frame is kept, and k is doubled whenever ``SPARE · n``
    frames are held; n of those are chosen in the end. The spacing is even to within one part in ``SPARE / 2``.

    Args:
        path: Any trajectory that ASE reads.
        n_frames: How many; a shorter trajectory gives all that it has.
        report: Called with the number of frames read.

    Raises:
        ConfigError: ``n_frames`` is below 1.
        DatasetError: No frame can be read, the frames are not of one system, or one states two different charges.
    """
    if n_frames < 1:
        raise ConfigError(f"expected at least one frame to read, got {n_frames}")
    kept: list[tuple[int, Atoms]] = []
    stride, n_read, stopped = 1, 0, None
    try:
        for atoms in _checked(path):
            if n_read % stride == 0:
                kept.append((n_read, from_arrays(to_arrays(atoms))))
            n_read += 1
            report(n_read)
            if len(kept) > SPARE * n_frames:
                kept, stride = kept[::2], 2 * stride
    except DatasetError:
        raise
    except Exception as error:  # ASE's readers raise whatever their parsing meets
        if not kept:
            problem = unreadable(path, error, "a trajectory")
            raise problem from error
        stopped = f"{type(error).__name__}: {error}"
    if not kept:
        raise DatasetError(f"{path}: expected a trajectory, got a file without a frame")
    chosen = np.unique(np.linspace(0, len(kept) - 1, min(n_frames, len(kept))).round().astype(int))
    return TrajectoryFrames([kept[k][1] for k in chosen], [kept[k][0] for k in chosen], n_read, stopped)


def _checked(path: Path) -> Iterator[Atoms]:
    """The frames, which must all have the atoms of the first, and a charge where `to_arrays` looks for it."""
    first: np.ndarray | None = None
    for number, atoms in enumerate(iread(path, index=":")):
        assert isinstance(atoms, Atoms)
        first = atoms.numbers if first is None else first
        if not np.array_equal(atoms.numbers, first):
            raise DatasetError(
                f"{path}: frame {number} ({atoms.get_chemical_formula()}) has other atoms than the frames before; "
                "expected the frames of one system, in one order. Split the file"
            )
        if problem := charge_problem(atoms):
            raise DatasetError(f"{path}: frame {number}: {problem}")
        yield atoms
