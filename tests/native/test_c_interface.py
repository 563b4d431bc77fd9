"""The example in C, built against the installed library and compared with Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from tests.native.conftest import SHIPPED

from mlff_distiller.native import NativePotential
from mlff_distiller.native.library import HEADER_FOLDER, LIBRARY_PATH

EXAMPLE = Path(__file__).parents[2] / "examples" / "07_c_interface" / "main.c"
COMPILER = shutil.which("cc")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("c") / "water"
    folder = LIBRARY_PATH.parent
    options = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{HEADER_FOLDER}"]
    link = [f"-L{folder}", "-lmlffd", f"-Wl,-rpath,{folder}", "-o", str(path)]
    subprocess.run([str(COMPILER), *options, str(EXAMPLE), *link], check=True)
    return path


def test_example_prints_what_python_computes(program: Path) -> None:
    done = subprocess.run([program, SHIPPED[0]], capture_output=True, text=True, check=True)
    water = Atoms("OHH", [[0, 0, 0.119], [0, 0.763, -0.477], [0, -0.763, -0.477]])
    expected = NativePotential(SHIPPED[0]).evaluate(
        water.numbers, water.positions, water.cell.array, water.pbc
    )
    assert f"energy {expected.energy:.6f} eV" in done.stdout
    printed = [[float(x) for x in re.findall(r"-?\d+\.\d+", line)] for line in done.stdout.splitlines()[2:]]
    np.testing.assert_allclose(printed, expected.forces, rtol=0, atol=1e-6)


def test_example_reports_errors(program: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not an artifact")
    done = subprocess.run([program, broken], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not a TorchScript archive" in done.stderr
