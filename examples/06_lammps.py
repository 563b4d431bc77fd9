"""LAMMPS: 64 waters at constant pressure on one rank or several. The input script stays behind for you to change.

Run with:  python examples/06_lammps.py [--model tiny] [--picoseconds 5] [--ranks 1] [--output runs/lammps]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from mlff_distiller.cli import run_app
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.registry import artifact_path
from mlff_distiller_lammps.run import lammps_command, run_lammps
from mlff_distiller_lammps.script import potential_lines, system_lines
from mlff_distiller_lammps.system import lammps_system

SETTLING_STEPS = 2000  # of 0.5 fs at constant volume, from the lattice
console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    picoseconds: Annotated[float, typer.Option(help="Length at constant pressure.")] = 5.0,
    ranks: Annotated[int, typer.Option(help="MPI processes.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/lammps"),
) -> None:
    """Write the input, run it, draw temperature and density."""
    output.mkdir(parents=True, exist_ok=True)
    system = lammps_system(water_box(4))
    system.write_data(output / "water.data")
    script = output / "in.npt"
    n_steps = round(2000 * picoseconds)
    script.write_text(
        f"""{system_lines(system, "water.data")}
{potential_lines(system.symbols, artifact_path(model).resolve())}
neighbor 1.0 bin
timestep 0.0005
thermo 100
thermo_style custom step temp pe density press

minimize 0 0.05 100 1000
reset_timestep 0
velocity all create 300 1 mom yes rot yes dist gaussian
fix settle all nvt temp 300 300 0.05
run {SETTLING_STEPS}
unfix settle

fix npt all npt temp 300 300 0.1 iso 1.0 1.0 1.0
variable t equal temp
variable d equal density
fix record all print 20 "$(step) ${{t}} ${{d}}" file npt.txt screen no title ""
run {n_steps}
write_data end.data
""",
        encoding="utf-8",
    )
    with Progress(console=console) as progress:
        bar = progress.add_task("LAMMPS", total=SETTLING_STEPS + n_steps)
        run_lammps(script, ranks, lambda done: progress.update(bar, completed=done))
    draw(output / "npt.txt", output / "npt.png")
    console.print(f"again: cd {output} && {' '.join(lammps_command(script, ranks))}", soft_wrap=True)


def draw(records: Path, path: Path) -> None:
    """Temperature and density against time."""
    step, temperature, density = np.loadtxt(records, ndmin=2).T
    figure = new_figure(6.5, 4.0)
    above, below = figure.subplots(2, 1, sharex=True)
    time = (step - step[0]) * 0.0005
    above.plot(time, temperature, linewidth=0.8)
    above.set_ylabel("temperature (K)")
    below.plot(time, density, linewidth=0.8)
    below.set(xlabel="time (ps)", ylabel="density (g/cm³)")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
    late = time > 0.5 * time[-1]
    console.print(
        f"second half: {temperature[late].mean():.0f} K, {density[late].mean():.3f} g/cm³, from {records}: {path}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
