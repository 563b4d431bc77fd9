"""The Orb teachers, on small networks of the real architectures with random weights; nothing is fetched."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from finite_differences import numerical_forces, numerical_stress

from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.data.teachers.orb import orb_names, orb_network_teacher
from mlff_distiller.errors import ConfigError, TeacherError

pretrained = pytest.importorskip("orb_models.forcefield.pretrained")

SMALL = {
    "latent_dim": 16,
    "base_mlp_hidden_dim": 16,
    "head_mlp_hidden_dim": 16,
    "num_message_passing_steps": 2,
}


def network(architecture: str, **options):
    torch.manual_seed(0)
    build = getattr(pretrained, f"orb_v3_{architecture}_architecture")
    config = pretrained.SystemConfig(radius=6.0, max_num_neighbors=120)
    return build(device="cpu", system_config=config, **SMALL, **options).eval()


def rattled(name: str = "CH3OH") -> Atoms:
    atoms = molecule(name)
    atoms.rattle(0.05, seed=1)
    return atoms


def test_conservative_forces_are_the_gradient():
    teacher = orb_network_teacher("orb-test", network("conservative"), device="cpu")
    labelled = teacher.label(rattled())
    forces = labelled.get_forces()
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(forces, numerical_forces(teacher.label, rattled()), rtol=0, atol=1e-5)
    assert "conservative forces" in teacher.method


def test_direct_forces_are_said_to_be_no_gradient():
    teacher = orb_network_teacher("orb-test", network("direct"), device="cpu")
    forces = teacher.label(rattled()).get_forces()
    assert np.isfinite(forces).all()
    assert np.abs(forces - numerical_forces(teacher.label, rattled())).max() > 1e-3
    assert "not the gradient" in teacher.method


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
def test_stress_is_the_strain_derivative():
    teacher = orb_network_teacher("orb-test", network("conservative"), device="cpu")
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.05, seed=1)
    stress = teacher.label(crystal).get_stress()
    assert np.abs(stress).max() > 1e-4
    np.testing.assert_allclose(stress, numerical_stress(teacher.label, crystal), rtol=0, atol=1e-6)
    assert "stress" not in teacher.label(rattled()).calc.results


def test_charge_and_spin_reach_a_network_that_wants_them():
    model = network("conservative", has_charge_spin_cond=True, has_stress=False)
    teacher = orb_network_teacher("orb-test", model, device="cpu")
    neutral, cation, triplet = rattled(), rattled(), rattled()
    cation.set_initial_charges([1, 0, 0, 0, 0, 0])
    triplet.set_initial_magnetic_moments([2, 0, 0, 0, 0, 0])
    energies = {teacher.label(atoms).get_potential_energy() for atoms in (neutral, cation, triplet)}
    assert len(energies) == 3


def test_the_process_keeps_its_torch_settings(tmp_path):
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    teacher = orb_network_teacher("orb-test", network("conservative"), device="cpu")
    teacher.label(rattled())
    with pytest.raises(TeacherError):
        load_teacher("orb-v2", weights=_damaged(tmp_path), device="cpu")
    assert (torch.get_default_dtype(), torch.get_float32_matmul_precision()) == before


def test_precision_is_that_of_the_computation():
    labels = {}
    for precision in ("float32", "float64"):
        teacher = orb_network_teacher("orb-test", network("conservative"), device="cpu", precision=precision)
        labels[precision] = teacher.label(rattled()).get_forces()
        assert teacher.calculator.network.results["forces"].dtype == precision
    np.testing.assert_allclose(labels["float32"], labels["float64"], rtol=0, atol=1e-4)
    with pytest.raises(ConfigError, match="precision must be one of"):
        load_teacher("orb-v2", precision="float16")


def test_a_published_model_is_loaded_from_a_local_file(tmp_path, monkeypatch):
    monkeypatch.setitem(pretrained.ORB_PRETRAINED_MODELS, "orb-v2", _small_orb)
    path = tmp_path / "weights.ckpt"
    torch.save(network("conservative").state_dict(), path)
    teacher = load_teacher("orb_v2", weights=path, device="cpu")
    reference = orb_network_teacher("orb-test", network("conservative"), device="cpu")
    assert teacher.label(rattled()).get_potential_energy() == pytest.approx(
        reference.label(rattled()).get_potential_energy(), abs=1e-9
    )
    assert teacher.name == "orb-v2"
    assert re.fullmatch(r"orb-v2 \(weights.ckpt sha256:[0-9a-f]{64}\), orb-models [\d.]+", teacher.version)


def test_names_are_those_of_the_package():
    assert {"orb-v3-conservative-inf-omat", "orb-v3-direct-omol", "orb-v2"} <= set(orb_names())
    assert not {"orb-v1", "separate-d3-3layer"} & set(orb_names())
    with pytest.raises(TeacherError, match="Did you mean 'orb-v3-conservative-inf-omat'"):
        load_teacher("orb-v3-conservativ-inf-omat")


def test_weights_that_cannot_be_loaded_are_explained(tmp_path):
    with pytest.raises(TeacherError, match="there is no weights file"):
        load_teacher("orb-v2", weights=tmp_path / "absent.ckpt", device="cpu")
    with pytest.raises(TeacherError, match=r"'orb-v2' could not load its weights.*weights=PATH"):
        load_teacher("orb-v2", weights=_damaged(tmp_path), device="cpu")


def _small_orb(weights_path, device, precision, compile):
    return pretrained.load_model(network("conservative"), weights_path, device, precision, compile)


def _damaged(folder):
    path = folder / "damaged.ckpt"
    torch.save({"layer": torch.zeros(1)}, path)
    return path
