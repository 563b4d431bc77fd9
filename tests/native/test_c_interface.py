"""The example in C, built against the installed library and compared with Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.native.conftest import EXAMPLE, SHIPPED, assert_prints_what_python_computes, run

from mlff_distiller.native.library import HEADER_FOLDER, LIBRARY_PATH

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
    assert_prints_what_python_computes(run(program, SHIPPED[0]), SHIPPED[0])


def test_example_reports_errors(program: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not an artifact")
    done = subprocess.run([program, broken], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not a TorchScript archive" in done.stderr
