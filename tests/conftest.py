"""What most tests need: small students with random weights, and structures to try them on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mlff_distiller import cli
from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.torchscript import save_torchscript
from mlff_distiller.model.potential import StudentForceField

Run = Callable[..., tuple[int, str, str]]  # arguments of mlffd → exit status, standard output, standard error
ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
DEVICES = ("cpu", pytest.param("cuda", marks=needs_cuda))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests share two cores, and sums must not depend on how they are shared."""
    torch.set_num_threads(1)


@pytest.fixture
def mlffd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a command in a folder of its own; gives the exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    for console in (cli.console, cli.errors):  # pytest-xdist sets COLUMNS to 80 before they are made
        monkeypatch.setattr(console, "width", 200)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mlffd", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def random_student(
    seed: int = 0, dtype: torch.dtype = torch.float64, n_interactions: int = 3, n_features: int = 16
) -> StudentForceField:
    """A small student in which every term matters: random weights, random E0, and scales that are not one."""
    torch.manual_seed(seed)
    student = StudentForceField(n_features, n_interactions, 8, cutoff=4.0, max_z=20, elements=ELEMENTS)
    student.set_scales({z: -10.0 * z - 0.123456789 for z in ELEMENTS}, energy_scale=1.3, mean_neighbors=9.0)
    return student.to(dtype).eval().requires_grad_(False)


@pytest.fixture
def student() -> StudentForceField:
    """Float64, so that differences are exact enough to judge."""
    return random_student()


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small float32 student of random weights."""
    path = tmp_path_factory.mktemp("artifact") / "student.pt"
    student = random_student(dtype=torch.float32)
    save_torchscript(path, student, describe(student, "student", Provenance(teacher={"teacher": "none"})))
    return path


def ethanol() -> Atoms:
    """Ethanol, rattled so that no symmetry hides a mistake."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


def triclinic_crystal() -> Atoms:
    """A periodic triclinic cell of 4 atoms, much smaller than the cutoff: atoms neighbour their own images."""
    atoms = bulk("C", "diamond", a=3.6) * (2, 1, 1)
    atoms.numbers[:] = [6, 7, 6, 8]
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + [[0.02, 0.05, 0.0], [0.0, -0.03, 0.04], [0.0, 0.0, 0.06]]), True
    )
    atoms.rattle(0.08, seed=2)
    return atoms


def tensors(atoms: Atoms) -> dict[str, torch.Tensor]:
    """The arguments of ``predict`` for one structure."""
    return {
        "atomic_numbers": torch.from_numpy(atoms.numbers).long(),
        "positions": torch.from_numpy(atoms.positions.copy()),
        "cell": torch.from_numpy(atoms.cell.array.copy()),
        "pbc": torch.from_numpy(atoms.pbc.copy()),
    }
