"""Run the ``lmp`` of the installed wheel, on one rank or several."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mlff_distiller.errors import EngineError
from mlff_distiller_lammps.build import build


def run_lammps(script: Path, n_ranks: int = 1, report: Callable[[int], None] | None = None) -> None:
    """Run an input script in its folder; the pair style is compiled first where it is not.

    Args:
        script: The input file.
        n_ranks: MPI processes.
        report: Called with the number of steps done in all runs of the script, as the log shows them.

    Raises:
        BuildError: The pair style cannot be compiled.
        EngineError: LAMMPS ended with an error; with its words.
    """
    build()
    lines: list[str] = []
    with subprocess.Popen(
        lammps_command(script, n_ranks),
        cwd=script.parent,
        env={"OMP_NUM_THREADS": "1", **os.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        done, last = 0, 0
        for line in process.stdout:
            lines.append(line)
            step = _step(line)
            if step is not None:
                done += max(0, step - last)  # the count starts again after reset_timestep
                last = step
                if report is not None:
                    report(done)
    if process.returncode != 0:
        raise EngineError(f"LAMMPS stopped: {_reason(lines)}")


def lammps_command(script: Path, n_ranks: int) -> list[str]:
    """The command line, with the programs of this Python environment."""
    ranks = [str(launcher()), "-n", str(n_ranks)] if n_ranks > 1 else []
    return [*ranks, str(Path(sys.executable).parent / "lmp"), "-in", script.name, "-log", "none"]


def launcher() -> Path:
    """``mpirun`` of this Python environment."""
    return Path(sys.executable).parent / "mpirun"


def _step(line: str) -> int | None:
    """The step of a line of thermodynamic output: numbers only."""
    words = line.split()
    try:
        return int(words[0]) if len(words) > 3 and all(np.isfinite([float(word) for word in words])) else None
    except ValueError:
        return None


def _reason(lines: Sequence[str]) -> str:
    errors = [line.strip() for line in lines if line.startswith("ERROR")]
    return errors[0] if errors else "".join(lines[-5:])
