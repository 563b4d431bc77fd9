"""Which frames are dropped, and how they are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.sampling.config import FilterConfig
from mlff_distiller.data.sampling.filters import intact, kept, rejection
from mlff_distiller.errors import TeacherError


def frame(length: float = 1.0, force: float = 0.0, energy: float = 0.0, cell: float | None = None) -> Atoms:
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, length]], cell=[cell or 0] * 3, pbc=cell is not None)
    atoms.calc = SinglePointCalculator(
        atoms, energy=energy, forces=np.array([[force, force, 0.0], [0, 0, 0]])
    )
    return atoms


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (frame(), None),
        (frame(force=21.0), None),
        (frame(force=21.5), "force too large"),  # the norm counts: sqrt(2) 21.5 > 30
        (frame(force=np.nan), "label not finite"),
        (frame(energy=np.inf), "label not finite"),
        (frame(length=0.49), "atoms too close"),
        (frame(length=0.51), None),
        (frame(length=2.6, cell=3.0), "atoms too close"),  # to the image
    ],
)
def test_reasons(atoms: Atoms, expected: str | None) -> None:
    assert rejection(atoms, FilterConfig()) == expected


def test_frames_are_kept_or_counted() -> None:
    failures: Counter[str] = Counter()
    frames = [frame(1.0), frame(0.1), frame(2.0), frame(force=99.0), frame(0.2)]
    assert [f.get_distance(0, 1) for f in kept(frames, FilterConfig(), failures)] == [1.0, 2.0]
    assert failures == {"atoms too close": 2, "force too large": 1}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TeacherError("SCF not converged in 250 cycles"), "scf not converged"),
        (CalculationFailed("SCF not converged in 250 cycles"), "scf not converged"),
        (TeacherError("unknown element"), "teacher failed"),
        (RuntimeError("out of memory"), "RuntimeError"),
    ],
)
def test_failure_of_the_teacher_ends_a_recipe_and_counts(error: Exception, reason: str) -> None:
    def frames() -> Iterator[Atoms]:
        yield frame()
        raise error

    failures: Counter[str] = Counter()
    assert len(list(kept(frames(), FilterConfig(), failures))) == 1
    assert failures == {reason: 1}


def test_defects_are_not_hidden() -> None:
    def frames() -> Iterator[Atoms]:
        yield frame()
        raise TypeError("a defect")

    with pytest.raises(TypeError):
        list(kept(frames(), FilterConfig(), Counter()))


def test_broken_molecule_ends_the_trajectory() -> None:
    frames = [frame(1.0), frame(1.9), frame(2.1), frame(1.0)]
    bonds, failures = np.array([[0, 1]]), Counter()
    assert len(list(intact(frames, bonds, frame(1.0), 1.0, failures))) == 2
    assert failures == {"molecule fell apart": 1}
    assert len(list(intact(frames, bonds, frame(1.0), None, failures))) == 4
    assert len(list(intact(frames, bonds[:0], frame(1.0), 1.0, failures))) == 4
