"""ASE: relax a molecule, compute its vibrations, and run it at constant energy. Under half a minute.

Run with:  python examples/03_ase.py [--model tiny] [--smiles "CC(=O)Nc1ccc(O)cc1"] [--picoseconds 5] [--output runs/ase]
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ase.optimize import BFGS
from ase.vibrations import Vibrations
from rich.console import Console
from rich.progress import Progress

from mlff_distiller.cli import run_app
from mlff_distiller.constant_energy import NVESettings
from mlff_distiller.data.sampling.config import ConformerConfig
from mlff_distiller.data.sampling.conformers import embed
from mlff_distiller.engines import find_engine
from mlff_distiller.evaluation.nve import frames_path, measure_nve
from mlff_distiller.evaluation.plots import draw_nve
from mlff_distiller.tables import nve_table
from mlff_distiller_ase import DistilledCalculator

console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    smiles: Annotated[
        str, typer.Option(help="The molecule; the default is paracetamol.")
    ] = "CC(=O)Nc1ccc(O)cc1",
    picoseconds: Annotated[float, typer.Option(help="Length of the run at constant energy.")] = 5.0,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/ase"),
) -> None:
    """Relax, vibrate, run."""
    output.mkdir(parents=True, exist_ok=True)
    atoms = embed(smiles, np.random.default_rng(0), ConformerConfig())[0]
    atoms.calc = DistilledCalculator(model)
    BFGS(atoms, logfile=None).run(fmax=0.005, steps=500)
    console.print(f"{atoms.get_chemical_formula()}: {atoms.get_potential_energy():.3f} eV after relaxation")

    vibrations = Vibrations(atoms, name=str(output / "vibrations"), delta=0.005)
    vibrations.clean()
    vibrations.run()
    frequencies = np.sort(np.real(vibrations.get_frequencies()))
    console.print("highest vibrations (1/cm): " + ", ".join(f"{f:.0f}" for f in frequencies[-4:]))

    settings = replace(NVESettings.of_length(picoseconds), trajectory=frames_path(output))
    with Progress(console=console) as progress:
        bars = {}

        def show(what: str, done: int, total: int) -> None:
            bars.setdefault(what, progress.add_task(what, total=total) if what not in bars else bars[what])
            progress.update(bars[what], completed=done)

        report = measure_nve(find_engine("ase"), atoms, model, settings, report=show)
    console.print(nve_table(f"{model}, {smiles}, ASE", report))
    draw_nve(report, f"{model}, {smiles}, ASE, 300 K, 0.5 fs", output / "nve.png")
    console.print(f"{output / 'nve.png'}, {frames_path(output)}", soft_wrap=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
