"""The examples run, shortened."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = {
    "04_openmm.py": (
        ["--model", "ultra-tiny", "--molecule-steps", "40", "--box-steps", "40"],
        ["ethanol.png", "ethanol.xyz", "water.png", "water.xyz"],
    ),
    "05_mixed_ml_mm.py": (
        ["--model", "ultra-tiny", "--picoseconds", "0.02", "--padding", "0.75"],
        ["mixed.png", "mixed.pdb"],
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("openmmml") is None, reason="OpenMM-ML is not installed")
@pytest.mark.parametrize("name", SHORT)
def test_example(name: str, tmp_path: Path) -> None:
    options, files = SHORT[name]
    command = [sys.executable, str(EXAMPLES / name), "--output", str(tmp_path), *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for file in files:
        assert (tmp_path / file).stat().st_size > 1000, file


def test_forces_example(torchforce_only: None) -> None:
    command = [
        sys.executable,
        str(EXAMPLES / "16_openmm_forces.py"),
        "--model",
        "ultra-tiny",
        "--rounds",
        "1",
    ]
    result = subprocess.run([*command, "--steps", "1"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "PythonForce of ultra-tiny" in result.stdout
