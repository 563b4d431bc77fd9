"""From real molecules to a student that runs: label, distil, export, check, and a short NVE. About ten minutes on two cores.

Run with:  python examples/01_demo.py [--output runs/demo] [--recipe recipes/demo.yaml] [--picoseconds 2]
Killed in the middle? The same command goes on where it stopped.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from mlff_distiller import load, load_student
from mlff_distiller.cli import run_app
from mlff_distiller.commands.students import distill_with_progress
from mlff_distiller.configuration import load_config
from mlff_distiller.constant_energy import NVESettings, run_nve
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.distill import DistillConfig
from mlff_distiller.evaluation.drift import fit_drift
from mlff_distiller.evaluation.metrics import predict_dataset
from mlff_distiller.evaluation.plots import draw_drift, draw_force_parity
from mlff_distiller.export.onnx import OnnxPotential
from mlff_distiller.export.verify import check_structures, compare
from mlff_distiller.tables import students_table
from mlff_distiller_ase import DistilledCalculator

ROOT = Path(__file__).parents[1]
console = Console()


def main(
    output: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    recipe: Annotated[Path, typer.Option(help="What to distil.")] = ROOT / "recipes" / "demo.yaml",
    picoseconds: Annotated[float, typer.Option(help="Length of the NVE run.")] = 2.0,
) -> None:
    """Run the demonstration."""
    console.rule("1. label real molecules with GFN2-xTB and distil a student")
    (report,) = distill_with_progress(load_config(DistillConfig, recipe), output, console)
    console.print(students_table([report]))

    console.rule("2. the exported files against the live model")
    student = load_student(report.files["torchscript"])
    structures = check_structures(student.elements, student.cutoff)
    exports = {"TorchScript": load(report.files["torchscript"]), "ONNX": OnnxPotential(report.files["onnx"])}
    table = Table("format", "structures", "max |ΔE| eV/atom", "max |ΔF| eV/Å")
    for name, potential in exports.items():
        found = compare(student, potential, structures)
        table.add_row(
            name,
            str(len(found)),
            f"{max(d.energy for d in found):.1e}",
            f"{max(d.forces for d in found):.1e}",
        )
    console.print(table)

    console.rule("3. a short run at constant energy, of a molecule that the student never saw")
    test = read_dataset(output / "data" / "test.h5")
    _, forces = predict_dataset(exports["TorchScript"], test)
    draw_force_parity(test.forces, forces, report.test.forces, output / "parity.png")
    largest = int(test.n_atoms[test.regime == "md-300K"].argmax())
    atoms = test.select(test.regime == "md-300K").atoms(largest)
    atoms.calc = DistilledCalculator(exports["TorchScript"])
    settings = NVESettings(n_steps=round(2000 * picoseconds), n_equilibration=1000)
    with Progress(console=console) as progress:
        bar = progress.add_task("dynamics", total=settings.n_steps + settings.n_equilibration)
        trace = run_nve(atoms, settings, partial(_advance, progress, bar))
    drift = fit_drift(trace)
    draw_drift(trace, drift, output / "nve.png")
    console.print(
        f"{atoms.info['molecule_id']}: {picoseconds} ps at 0.5 fs, total energy drifts by "
        f"{drift.slope:+.2f} ± {drift.standard_error:.2f} meV/atom/ns and fluctuates by {drift.rms_fluctuation:.3f} meV/atom"
    )
    console.rule("done")
    for path in (
        *report.files.values(),
        output / "demo" / "curves.png",
        output / "parity.png",
        output / "nve.png",
    ):
        console.print(str(path), soft_wrap=True)


def _advance(progress: Progress, bar: TaskID, done: int) -> None:
    progress.update(bar, completed=done)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
