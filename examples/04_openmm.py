"""OpenMM at constant energy: a molecule, and a small periodic box of water. About a minute.

Run with:  python examples/04_openmm.py [--model tiny] [--backend auto] [--output runs/openmm]
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from ase.build import molecule
from rich.console import Console

from mlff_distiller.cli import run_app
from mlff_distiller.constant_energy import NVESettings
from mlff_distiller.evaluation.drift import fit_drift
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.evaluation.plots import draw_drift
from mlff_distiller_openmm import run_openmm_nve

console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    backend: Annotated[str, typer.Option(help="torchforce, pythonforce or auto.")] = "auto",
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/openmm"),
    molecule_steps: Annotated[int, typer.Option(help="Steps of 0.5 fs of the molecule.")] = 4000,
    box_steps: Annotated[int, typer.Option(help="Steps of 0.5 fs of the box.")] = 4000,
) -> None:
    """Run both, and draw their energies."""
    output.mkdir(parents=True, exist_ok=True)
    runs = {
        "ethanol": (molecule("CH3CH2OH"), molecule_steps),
        "water": (water_box(3), box_steps),
    }
    for name, (atoms, n_steps) in runs.items():
        settings = NVESettings(
            n_steps=n_steps,
            n_equilibration=n_steps // 2,
            interval=4,
            frame_interval=20,
            trajectory=output / f"{name}.xyz",
        )
        started = time.perf_counter()
        trace = run_openmm_nve(atoms, model, settings, backend=backend)
        step = (time.perf_counter() - started) / (settings.n_steps + settings.n_equilibration)
        drift = fit_drift(trace)
        draw_drift(trace, drift, output / f"{name}.png")
        console.print(
            f"{name}: {len(atoms)} atoms, {1e3 * step:.1f} ms a step, drift {drift.slope:+.0f} ± {drift.standard_error:.0f} "
            f"meV/atom/ns, fluctuation {drift.rms_fluctuation:.3f} meV/atom: {output / name}.png, .xyz",
            soft_wrap=True,
        )


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
