"""LAMMPS on one MPI rank and on several: the same forces, and how much faster.

Run with:  python examples/14_ranks.py [--model tiny] [--cells 16] [--ranks 1,2] [--rounds 3] [--output runs/ranks]

A box of 3 n³ atoms of water (n = 16: 12,288), n³ molecules. Rounds of all numbers of ranks take turns, and the fastest of each
counts, since other work on the machine can only slow a step down. One thread for each rank. Prints a table and draws the
speed-up.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mlff_distiller.cli import run_app
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.registry import artifact_path
from mlff_distiller_lammps.build import build
from mlff_distiller_lammps.run import lammps_command
from mlff_distiller_lammps.script import potential_lines, system_lines
from mlff_distiller_lammps.system import lammps_system

console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    cells: Annotated[int, typer.Option(min=3, help="Molecules along each edge of the box.")] = 16,
    ranks: Annotated[
        str,
        typer.Option(help="Numbers of ranks, with commas; the first is what the others are compared with."),
    ] = "1,2",
    steps: Annotated[int, typer.Option(min=1, help="Steps of one measurement.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Times that everything is measured.")] = 3,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/ranks"),
) -> None:
    """Measure, compare the forces, print a table, draw a plot."""
    output.mkdir(parents=True, exist_ok=True)
    build()
    n_atoms = write_script(output, model, cells, steps)
    counts = [int(word) for word in ranks.split(",")]
    best = dict.fromkeys(counts, np.inf)
    forces = {}
    for count in track(counts * rounds, "measuring", console=Console(stderr=True)):
        best[count] = min(best[count], loop_time(output, count) / steps)
        forces[count] = np.loadtxt(output / "forces.dump", skiprows=9)
    first = counts[0]
    table = Table(
        "ranks",
        "ms/step",
        "µs/atom",
        "speed-up",
        "largest difference of a force, eV/Å",
        title=f"{model}, {n_atoms} atoms",
    )
    for count in counts:
        difference = np.abs(forces[count] - forces[first]).max()
        table.add_row(
            str(count),
            f"{1e3 * best[count]:.1f}",
            f"{1e6 * best[count] / n_atoms:.2f}",
            f"{best[first] / best[count]:.2f}",
            f"{difference:.1e}",
        )
    console.print(table)
    draw(counts, [best[first] / best[count] for count in counts], output / "ranks.png")


def write_script(folder: Path, model: str, cells: int, steps: int) -> int:
    """The data file and the input script; returns the number of atoms."""
    system = lammps_system(water_box(cells))
    system.write_data(folder / "water.data")
    path = artifact_path(model).resolve()
    (folder / "in.ranks").write_text(
        f"""{system_lines(system, "water.data")}
{potential_lines(system.symbols, path)}
neighbor 1.0 bin
velocity all create 300 1 loop geom
fix 1 all nve
timestep 0.0001
run 0
write_dump all custom forces.dump fx fy fz modify sort id format float %.9g
run {steps}
""",
        encoding="utf-8",
    )
    return len(system.atoms)


def loop_time(folder: Path, n_ranks: int) -> float:
    """Seconds of the last run, as LAMMPS reports them."""
    log = f"{n_ranks}.log"
    command = [*lammps_command(folder / "in.ranks", n_ranks)[:-1], log, "-screen", "none"]
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return float(re.findall(r"Loop time of (\S+)", (folder / log).read_text(encoding="utf-8"))[-1])


def draw(counts: list[int], speed_up: list[float], path: Path) -> None:
    """Speed-up against ranks, with the ideal."""
    figure = new_figure(4.5, 3.5)
    axes = figure.subplots()
    axes.plot(counts, [count / counts[0] for count in counts], ":", color="0.4", label="ideal")
    axes.plot(counts, speed_up, "o-", label="measured")
    axes.set(xlabel="MPI ranks", ylabel="speed-up", xticks=counts)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
    console.print(str(path), soft_wrap=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
