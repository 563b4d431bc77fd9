"""The MACE teachers, on a small network of the real architecture with random weights; nothing is fetched."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from finite_differences import numerical_forces, numerical_stress

from mlff_distiller.data.teachers import load_teacher, mace
from mlff_distiller.errors import TeacherError

# mace-torch and e3nn warn about their own use of torch.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",
    "ignore:.*torch.jit.*:DeprecationWarning",
    "ignore:.*TorchScript type system.*:UserWarning",
)

VARIABLE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


@pytest.fixture(scope="module")
def mace_package():
    with mace._unpickling():  # e3nn cannot even be imported without
        return pytest.importorskip("mace.modules")


@pytest.fixture(scope="module")
def model_file(mace_package, tmp_path_factory) -> Path:
    """A MACE network for H, C, O and Si with random weights, in a file."""
    from e3nn import o3

    torch.manual_seed(0)
    blocks = mace_package.interaction_classes
    network = mace_package.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=1,
        interaction_cls=blocks["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=blocks["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=4,
        hidden_irreps=o3.Irreps("4x0e"),
        MLP_irreps=o3.Irreps("4x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([-13.6, -1029.0, -2042.0, -7900.0]),
        avg_num_neighbors=8.0,
        atomic_numbers=[1, 6, 8, 14],
        correlation=2,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    path = tmp_path_factory.mktemp("mace") / "small.model"
    torch.save(network, path)
    return path


def rattled() -> Atoms:
    atoms = molecule("CH3OH")
    atoms.rattle(0.05, seed=1)
    return atoms


def test_forces_and_stress_are_derivatives_of_the_energy(model_file):
    teacher = load_teacher(f"mace:{model_file}", device="cpu")
    forces = teacher.label(rattled()).get_forces()
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(forces, numerical_forces(teacher.label, rattled()), rtol=0, atol=1e-5)
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.05, seed=1)
    stress = teacher.label(crystal).get_stress()
    np.testing.assert_allclose(stress, numerical_stress(teacher.label, crystal), rtol=0, atol=1e-6)


def test_the_weights_are_named_by_their_digest(model_file):
    teacher = load_teacher(f"mace:{model_file}", device="cpu")
    assert re.fullmatch(r"small.model sha256:[0-9a-f]{64}, mace-torch [\d.]+", teacher.version)


def test_a_published_model_is_loaded_from_a_local_file(model_file, capsys):
    own = load_teacher(f"mace:{model_file}", device="cpu")
    published = load_teacher("mace-off-small", weights=model_file, device="cpu")
    energies = [teacher.label(rattled()).get_potential_energy() for teacher in (own, published)]
    assert energies[0] == energies[1]
    assert "no commercial use" in published.licence


def test_the_process_keeps_its_settings(model_file, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    before = torch.get_default_dtype()
    load_teacher(f"mace:{model_file}", device="cpu").label(rattled())
    assert torch.get_default_dtype() == before
    assert VARIABLE not in os.environ


def test_elements_that_the_network_does_not_know_are_refused(model_file):
    with pytest.raises(TeacherError, match="cannot label H3N: the network does not know the elements N"):
        load_teacher(f"mace:{model_file}", device="cpu").label(molecule("NH3"))


@pytest.mark.usefixtures("mace_package")
def test_weights_that_cannot_be_loaded_are_explained(tmp_path):
    with pytest.raises(TeacherError, match="there is no weights file"):
        load_teacher("mace:absent.model")
    with pytest.raises(TeacherError, match="Did you mean 'mace-off-medium'"):
        load_teacher("mace-of-medium")
    path = tmp_path / "text.model"
    path.write_text("not a network")
    with pytest.raises(TeacherError, match=r"could not load its weights.*weights=PATH"):
        load_teacher(f"mace:{path}", device="cpu")


@pytest.mark.usefixtures("mace_package")
def test_every_name_is_one_that_the_package_knows():
    from mace.calculators import foundations_models as published

    known = {
        "mace_mp": published.mace_mp_urls,
        "mace_off": published.mace_off_urls,
        "mace_omol": {"extra_large"},
    }
    assert all(model in known[function] for function, model, _ in mace._MODELS.values())
