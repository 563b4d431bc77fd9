"""Artifacts for the native engine, and what it is compared with."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from tests.conftest import random_student

from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.torchscript import save_torchscript
from mlff_distiller.model.committee import CommitteeForceField, LiveModel
from mlff_distiller.native import NativePotential

PRETRAINED = Path(__file__).parents[2] / "core" / "mlff_distiller" / "pretrained"
SHIPPED = [PRETRAINED / name / f"{name}.pt" for name in ("tiny", "ultra-tiny", "original")]

NATIVE = Path(__file__).parents[2] / "core" / "native"
EXAMPLE = Path(__file__).parents[2] / "examples" / "07_c_interface" / "main.c"
DRIVER = Path(__file__).with_name("sanitized.cpp")  # tests the library's parts, prints "clean"


def run(*command: str | Path, **environment: str) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_prints_what_python_computes(printed: str, artifact: Path) -> None:
    """Of the example in C: energy and forces of a water molecule."""
    water = Atoms("OHH", [[0, 0, 0.119], [0, 0.763, -0.477], [0, -0.763, -0.477]])
    expected = NativePotential(artifact).evaluate(water.numbers, water.positions, water.cell.array, water.pbc)
    energy = re.search(r"^energy (\S+) eV$", printed, re.MULTILINE)
    assert energy is not None
    assert float(energy[1]) == pytest.approx(expected.energy, rel=0, abs=2e-6)
    forces = [[float(x) for x in re.findall(r"-?\d+\.\d+", line)] for line in printed.splitlines()[2:]]
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=2e-6)  # six digits, and rounding


def export(model: LiveModel, path: Path) -> Path:
    """The student or committee as an artifact."""
    save_torchscript(path, model, describe(model, "test", Provenance()))
    return path


@pytest.fixture(scope="session")
def random_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`random_student()`, exported."""
    return export(random_student(), tmp_path_factory.mktemp("native") / "random.pt")


@pytest.fixture(scope="session")
def random_committee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two students of random weights in one artifact."""
    committee = CommitteeForceField([random_student(0, torch.float32), random_student(1, torch.float32)])
    return export(committee, tmp_path_factory.mktemp("native") / "committee.pt")


def box_of_atoms(n_atoms: int, seed: int = 0, density: float = 0.1, pbc: bool = True) -> Atoms:
    """Atoms of the known elements on a rattled grid in a periodic cube: about 54 edges an atom at 5 Å."""
    rng = np.random.default_rng(seed)
    n = int(np.ceil(n_atoms ** (1 / 3) - 1e-9))
    length = (n_atoms / density) ** (1 / 3)
    sites = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = sites[rng.permutation(len(sites))[:n_atoms]]
    positions = (sites + 0.5 + rng.uniform(-0.2, 0.2, sites.shape)) * length / n
    numbers = rng.choice([1, 1, 6, 7, 8], n_atoms)
    return Atoms(numbers, positions, cell=np.eye(3) * length, pbc=pbc)


def relative_error(forces: np.ndarray | torch.Tensor, reference: np.ndarray | torch.Tensor) -> float:
    """RMS of the difference over the RMS of the reference."""
    a, b = np.asarray(forces), np.asarray(reference)
    return float(np.sqrt(((a - b) ** 2).mean() / (b**2).mean()))
