"""The artifact: the contract through the file, a machine without this package, and files that must be refused."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from tests.conftest import ethanol, needs_cuda, random_student, tensors, triclinic_crystal
from tests.contract import ExactContract, PotentialContract, assert_close

from mlff_distiller import load, load_student
from mlff_distiller.errors import ArtifactError, ConfigError, StructureError
from mlff_distiller.export.artifact import read_metadata
from mlff_distiller.export.torchscript import TorchScriptPotential


class TestFloat32(PotentialContract):
    @pytest.fixture
    def potential(self, artifact: Path) -> TorchScriptPotential:
        return load(artifact)


class TestFloat64(ExactContract):
    @pytest.fixture
    def potential(self, artifact: Path) -> TorchScriptPotential:
        return load(artifact, dtype="float64")


def test_agrees_with_the_live_student(artifact: Path) -> None:
    live, loaded = random_student(dtype=torch.float32), load(artifact)
    for atoms in (ethanol(), triclinic_crystal()):
        a, b = live.predict(**tensors(atoms)), loaded.predict(**tensors(atoms))
        assert_close(b.energy, a.energy, 1e-5)
        assert_close(b.forces, a.forces, 1e-5)
        assert_close(b.stress, a.stress, 1e-6)


def test_weights_come_back_for_fine_tuning(artifact: Path) -> None:
    weights = load_student(artifact).state_dict()
    assert all(
        torch.equal(weights[k], v) for k, v in random_student(dtype=torch.float32).state_dict().items()
    )


def test_runs_where_this_package_is_not_installed(artifact: Path, tmp_path: Path) -> None:
    """Only torch, in a process that cannot import the package; the file searches its own neighbours."""
    script = """
import sys, warnings
sys.modules["mlff_distiller"] = None
warnings.simplefilter("ignore")
import torch
module = torch.jit.load(sys.argv[1])
z = torch.tensor([8, 1, 1])
x = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.1, 0.0], [-0.2, 0.9, 0.0]], dtype=torch.float64)
p = module.predict(z, x, None, 4.0 * torch.eye(3, dtype=torch.float64), torch.tensor([True, True, True]))
print(p.energy.item(), p.forces.abs().sum().item())
"""
    output = subprocess.run(
        [sys.executable, "-I", "-c", script, str(artifact)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout
    energy, force_sum = map(float, output.split())
    x = torch.tensor([[0.0, 0.0, 0.0], [0.9, 0.1, 0.0], [-0.2, 0.9, 0.0]], dtype=torch.float64)
    cell = 4.0 * torch.eye(3, dtype=torch.float64)
    here = load(artifact).predict(torch.tensor([8, 1, 1]), x, None, cell, torch.tensor([True] * 3))
    assert energy == pytest.approx(here.energy.item(), abs=1e-5)
    assert force_sum == pytest.approx(here.forces.abs().sum().item(), abs=1e-4)


def test_scripted_checks_speak_the_same_words(artifact: Path) -> None:
    module = load(artifact).module
    with pytest.raises(torch.jit.Error, match="position of atom 1 is not finite"):
        module.predict(torch.tensor([1, 1]), torch.tensor([[0.0, 0, 0], [torch.nan, 0, 0]]), None, None, None)


def test_metadata(artifact: Path) -> None:
    metadata = read_metadata(artifact)
    assert metadata.elements == ["H", "C", "N", "O", "F", "P", "S", "Cl"]
    assert metadata.cutoff == 4.0
    assert metadata.receptive_field == 12.0
    assert metadata.reference_energies["H"] == -10.123456789
    assert metadata.n_parameters == sum(p.numel() for p in random_student().parameters())
    assert metadata.units["forces"] == "eV/Angstrom"
    assert metadata.provenance.teacher == {"teacher": "none"}


def rewritten(artifact: Path, path: Path, change) -> Path:
    """A copy with other metadata."""
    with zipfile.ZipFile(artifact) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(
                name, json.dumps(change(json.loads(data))) if name.endswith("metadata.json") else data
            )
    return path


def test_unknown_format_version_says_what_to_do(artifact: Path, tmp_path: Path) -> None:
    path = rewritten(artifact, tmp_path / "future.pt", lambda m: {**m, "format_version": 99})
    with pytest.raises(ArtifactError, match=r"format 99.*reads format 2\. Install the version that wrote it"):
        load(path)


def test_incomplete_metadata(artifact: Path, tmp_path: Path) -> None:
    path = rewritten(artifact, tmp_path / "a.pt", lambda m: {k: v for k, v in m.items() if k != "cutoff"})
    with pytest.raises(ArtifactError, match="cutoff"):
        load(path)


def test_every_damaged_byte_is_noticed(artifact: Path, tmp_path: Path) -> None:
    """One flipped byte anywhere is an error of this package, or changes nothing: never another number, never a crash."""
    content, path = artifact.read_bytes(), tmp_path / "damaged.pt"
    expected = load(artifact).predict(**tensors(ethanol())).energy
    for position in range(0, len(content), len(content) // 60):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            energy = load(path).predict(**tensors(ethanol())).energy
        except ArtifactError:
            continue
        assert torch.equal(energy, expected), position


@pytest.mark.parametrize("keep", [0, 10, 1000, -100])
def test_truncated_file(artifact: Path, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(artifact.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match="damaged"):
        load(path)


def test_a_foreign_torchscript_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("other/data.pkl", b"")
    with pytest.raises(ArtifactError, match="not exported by mlff-distiller"):
        load(tmp_path / "other.pt")


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ArtifactError, match=r"no student 'tinny'.*shipped name \("):
        load("tinny")


def test_device_and_dtype_that_are_not_there(artifact: Path) -> None:
    with pytest.raises(ConfigError, match="float32 or float64"):
        load(artifact, dtype="float16")
    with pytest.raises(ConfigError, match="device 'nonsense' cannot be used here"):
        load(artifact, device="nonsense")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_where_there_is_none(artifact: Path) -> None:
    with pytest.raises(ConfigError, match="device 'cuda' cannot be used here"):
        load(artifact, device="cuda")


@needs_cuda
def test_cuda_agrees_with_cpu(artifact: Path) -> None:
    a, b = (
        load(artifact).predict(**tensors(ethanol())),
        load(artifact, device="cuda").predict(**tensors(ethanol())),
    )
    assert_close(b.energy.cpu(), a.energy, 1e-4)
    assert_close(b.forces.cpu(), a.forces, 1e-4)


def test_errors_of_structures_are_not_those_of_torch(artifact: Path) -> None:
    with pytest.raises(StructureError) as caught:
        load(artifact).predict(torch.tensor([26]), torch.zeros(1, 3))
    assert "Traceback" not in str(caught.value)


def test_arrays_where_tensors_are_expected(artifact: Path) -> None:
    atoms = ethanol()
    with pytest.raises(StructureError, match="atomic_numbers: expected a torch tensor, got ndarray"):
        load(artifact).predict(atoms.numbers, torch.from_numpy(atoms.positions))  # type: ignore[arg-type]
    with pytest.raises(StructureError, match="positions: expected a torch tensor, got list"):
        load(artifact).predict(torch.from_numpy(atoms.numbers), atoms.positions.tolist())  # type: ignore[arg-type]
