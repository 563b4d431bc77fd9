"""A student as a teacher, on each of its backends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import ethanol

from mlff_distiller import load
from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.errors import ConfigError


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
