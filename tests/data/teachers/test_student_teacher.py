"""A student as a teacher, on each of its backends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import ethanol, random_student

from mlff_distiller import load
from mlff_distiller.data.runs import worker_teacher
from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.errors import ConfigError
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_labels_are_those_of_the_artifact(backend: str) -> None:
    atoms = ethanol()
    atoms.calc = load_teacher("student:ultra-tiny", backend=backend).calculator
    expected = load("ultra-tiny", dtype="float64").predict(
        torch.from_numpy(atoms.numbers), torch.from_numpy(atoms.positions)
    )
    assert atoms.get_potential_energy() == pytest.approx(expected.energy.item(), abs=1e-5 * len(atoms))
    assert np.abs(atoms.get_forces() - expected.forces.numpy()).max() < 1e-4


def test_unknown_backend() -> None:
    with pytest.raises(ConfigError, match="unknown backend 'gpu'"):
        load_teacher("student:ultra-tiny", backend="gpu")


def test_another_student_at_the_same_path_is_another_teacher(tmp_path: Path) -> None:
    """Labels that were kept are compared by the version: those of weights that are gone must not pass for today's."""
    versions = []
    for seed in (0, 1):
        write_artifact(random_student(seed, torch.float32), "s", Provenance(), tmp_path / "s.pt")
        name = f"student:{tmp_path / 's.pt'}"
        versions.append(load_teacher(name).metadata()["teacher_version"])
        assert worker_teacher(name, "{}").version == versions[-1], "the one that was kept in memory"
        assert worker_teacher(name, "{}") is worker_teacher(name, "{}")
    assert versions[0] != versions[1]
