"""What a step in OpenMM costs by TorchForce and by PythonForce: with a force of zeros, and with a student. A minute.

Run with:  python examples/16_openmm_forces.py [--model tiny] [--rounds 20] [--steps 100]

A TorchForce could call the native engine only if the engine were an operator of torch. The forces of zeros say what such an
operator could save. Ibuprofen, on OpenMM's platforms Reference and CPU; every round runs all forces in turn, and the medians are
printed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, cast

import ase.io
import numpy as np
import openmm
import torch
import typer
from ase import Atoms
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mlff_distiller.cli import run_app
from mlff_distiller_openmm import create_force
from mlff_distiller_openmm.openmm_torch import load_openmm_torch
from mlff_distiller_openmm.states import read_positions

IBUPROFEN = Path(__file__).parents[1] / "recipes" / "structures" / "ibuprofen.xyz"

console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    rounds: Annotated[int, typer.Option(min=1, help="How often each force is timed.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 0.5 fs in a round.")] = 100,
) -> None:
    """Time all forces on both platforms."""
    torch.set_num_threads(1)
    atoms = cast(Atoms, ase.io.read(IBUPROFEN))
    times = {
        platform: time_forces(atoms, model, platform, rounds, steps) for platform in ("Reference", "CPU")
    }
    table = Table(*["force", *(f"{platform}, µs a step" for platform in times)])
    for name in times["CPU"]:
        table.add_row(name, *(f"{values[name]:.0f}" for values in times.values()))
    console.print(table)


def time_forces(atoms: Atoms, model: str, platform: str, rounds: int, steps: int) -> dict[str, float]:
    """Median of a step with each force, µs."""
    numbers = atoms.numbers.tolist()
    forces = {
        "none": None,
        "TorchForce of zeros": torchforce_of_zeros(),
        "PythonForce of zeros": openmm.PythonForce(zeros),
        f"TorchForce of {model}": create_force(numbers, model, backend="torchforce", device="cpu"),
        f"PythonForce of {model}": create_force(numbers, model, backend="pythonforce", device="cpu"),
    }
    contexts = {name: context_of(atoms, force, platform) for name, force in forces.items()}
    found: dict[str, list[float]] = {name: [] for name in contexts}
    for context in contexts.values():
        context.getIntegrator().step(steps)  # torch compiles in the first calls
    for _ in track(range(rounds), platform):
        for name, context in contexts.items():
            context.setPositions(atoms.positions / 10)  # nm
            started = time.perf_counter()
            context.getIntegrator().step(steps)
            found[name].append(1e6 * (time.perf_counter() - started) / steps)
    return {name: float(np.median(values)) for name, values in found.items()}


def context_of(atoms: Atoms, force: Any, platform: str) -> openmm.Context:
    """The molecule under one force, or none."""
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if force is not None:
        system.addForce(force)
    integrator = openmm.VerletIntegrator(0.0005)  # ps
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
    context.setPositions(atoms.positions / 10)
    return context


def zeros(state: openmm.State) -> tuple[float, np.ndarray]:
    """No force, by a function that reads the positions as a student must."""
    return 0.0, np.zeros_like(read_positions(state))


class Zeros(torch.nn.Module):
    """No force, by a module."""

    def forward(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return positions.sum() * 0.0, torch.zeros_like(positions)


def torchforce_of_zeros() -> Any:
    """`Zeros` in OpenMM."""
    force = load_openmm_torch().TorchForce(torch.jit.script(Zeros()))
    force.setOutputsForces(True)
    return force


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
