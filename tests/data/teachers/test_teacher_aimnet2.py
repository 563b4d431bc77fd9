"""The AIMNet2 teachers, on a network of the real architecture with random weights; nothing is fetched."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.build import bulk, molecule
from finite_differences import numerical_forces

from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.data.teachers.aimnet2 import NAMES, aimnet2_network_teacher
from mlff_distiller.errors import TeacherError

calculators = pytest.importorskip("aimnet.calculators")


@pytest.fixture(scope="module")
def teacher():
    """The published architecture: 2.2 million parameters, random."""
    from aimnet.config import build_module

    torch.manual_seed(0)
    architecture = yaml.safe_load((files("aimnet.models") / "aimnet2.yaml").read_text())
    network = calculators.AIMNet2Calculator(build_module(architecture), device="cpu")
    return aimnet2_network_teacher("aimnet2-test", network)


def rattled() -> Atoms:
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=1)
    return atoms


def test_forces_are_the_gradient(teacher):
    forces = teacher.label(rattled()).get_forces()
    assert np.abs(forces).max() > 1e-2
    # float32: a long step, and a loose bound
    numerical = numerical_forces(teacher.label, rattled(), first=2, step=5e-3)
    np.testing.assert_allclose(forces[:2], numerical, rtol=0, atol=1e-3)


def test_charge_does_not_stay_behind_from_the_structure_before(teacher):
    neutral, cation = rattled(), rattled()
    cation.set_initial_charges([1, 0, 0, 0, 0, 0])
    first, charged, last = (teacher.label(a).get_potential_energy() for a in (neutral, cation, neutral))
    assert abs(charged - first) > 1e-2
    assert last == pytest.approx(first, abs=1e-5)


def test_periodic_structures_are_refused(teacher):
    with pytest.raises(TeacherError, match="cannot label Si2: this teacher is for molecules"):
        teacher.label(bulk("Si"))


def test_names_are_those_of_the_package():
    from aimnet.calculators.model_registry import try_resolve_registry_model_name

    assert all(try_resolve_registry_model_name(name) for name in NAMES)
    with pytest.raises(TeacherError, match="Did you mean 'aimnet2-nse'"):
        load_teacher("aimnet2-nsee")


def test_weights_that_cannot_be_loaded_are_explained(tmp_path):
    with pytest.raises(TeacherError, match="there is no weights file"):
        load_teacher("aimnet2", weights=tmp_path / "absent.pt")
    path = tmp_path / "text.pt"
    path.write_text("not a network")
    with pytest.raises(TeacherError, match=r"could not load its weights.*weights=PATH"):
        load_teacher("aimnet2", weights=path, device="cpu")
