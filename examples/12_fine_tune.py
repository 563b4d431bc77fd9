"""Specialise a shipped student to one molecule with another teacher: errors before and after. Some minutes.

Run with:  python examples/12_fine_tune.py [--teacher gfn1-xtb] [--smiles "CC(=O)NCC(=O)O"] [--output runs/fine-tune]
           python examples/12_fine_tune.py --labels mine.xyz      # labels of your own, in extended XYZ or HDF5

The frames of training, validation and test come from three trajectories, each from a conformer and velocities of its own. With
labels of your own they are cut into three blocks in their order, so that the test is not between the training frames.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from mlff_distiller.cli import run_app
from mlff_distiller.commands.students import distill_with_progress
from mlff_distiller.configuration import parse_config
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.extxyz import read_any
from mlff_distiller.data.sampling import SamplingConfig, sample_molecules
from mlff_distiller.data.sampling.conformers import canonical_smiles
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.distill import DistillConfig
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.audit_files import preset_of
from mlff_distiller.evaluation.metrics import Accuracy, measure_accuracy, predict_dataset
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.evaluation.reference_shift import align_references, measure_reference_shift
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact
from mlff_distiller.registry import load, load_student
from mlff_distiller.units import MEV

SEEDS = {"train": 0, "valid": 1, "test": 2}
SHARES = (0.6, 0.8)  # where labels of one's own are cut
console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    smiles: Annotated[
        str, typer.Option(help="The molecule; the default is acetylglycine.")
    ] = "CC(=O)NCC(=O)O",
    teacher: Annotated[str, typer.Option(help="Another one than the student's own.")] = "gfn1-xtb",
    labels: Annotated[Path | None, typer.Option(help="Labelled frames of your own instead.")] = None,
    frames: Annotated[int, typer.Option(help="Frames at each of 300 and 600 K, for each part.")] = 60,
    epochs: Annotated[int, typer.Option(help="Of the training.")] = 30,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/fine-tune"),
) -> None:
    """Label, align the reference energies, train, compare."""
    output.mkdir(parents=True, exist_ok=True)
    parts = sampled_parts(smiles, teacher, frames, output) if labels is None else cut_parts(labels, output)
    train, test = read_dataset(parts["train"]), read_dataset(parts["test"])
    console.print(f"{len(train)} frames to train on, {len(test)} to test on")

    shift = measure_reference_shift(load(model), train)
    console.print(f"reference energies: {shift.before:.3f} eV/atom off, {shift.after:.3f} after a shift")
    start = aligned_artifact(model, train, output / "start.pt")
    report = fine_tune(start, parts, teacher, epochs, output)

    predictions = {"before": predict_dataset(load(start), test), "after": predict_dataset(load(report), test)}
    errors = {label: measure_accuracy(test, *found) for label, found in predictions.items()}
    console.print(summary(errors, f"{model} against {teacher if labels is None else labels}"))
    draw(
        test,
        {label: forces for label, (_, forces) in predictions.items()},
        errors,
        output / "fine_tuning.png",
    )
    console.print(f"{output / 'fine_tuning.png'}, {report}", soft_wrap=True)


def sampled_parts(smiles: str, teacher: str, frames: int, output: Path) -> dict[str, Path]:
    """Three independent trajectories of one molecule, with the teacher's labels."""
    off = {recipe: {"n": 0} for recipe in ("dimers", "modes", "rattle", "relaxation", "torsions", "bonds")}
    dynamics = {"n": frames, "temperatures": [300, 600], "spacing": 15}
    config = SamplingConfig.from_json(json.dumps({"dynamics": dynamics, **off}))
    parts = {name: output / f"{name}.h5" for name in SEEDS}
    for name, seed in SEEDS.items():
        if not parts[name].exists():
            sample_molecules([smiles], teacher, config, parts[name], seed=seed)
        found = read_dataset(parts[name])
        if found.molecule_id[0] != canonical_smiles(smiles) or found.metadata["teacher"] != teacher:
            raise ConfigError(
                f"{parts[name]} has frames of another run; choose another --output, or delete it"
            )
    return parts


def cut_parts(labels: Path, output: Path) -> dict[str, Path]:
    """The frames of a labelled file, cut into blocks in their order."""
    dataset = read_any(labels)
    first, second = (round(share * len(dataset)) for share in SHARES)
    blocks = np.split(np.arange(len(dataset)), [first, second])
    parts = {}
    for name, block in zip(SEEDS, blocks, strict=True):
        part, parts[name] = dataset.select(block), output / f"{name}.h5"
        if parts[name].exists() and read_dataset(parts[name]).sha256() != part.sha256():
            raise ConfigError(
                f"{parts[name]} has frames of another run; choose another --output, or delete it"
            )
        write_dataset(parts[name], part)
    return parts


def aligned_artifact(model: str, train: Dataset, path: Path) -> str:
    """The student with reference energies that fit the labels; what is known of its accuracy no longer holds."""
    student = load_student(model)
    align_references(student, train)
    write_artifact(student, path.stem, Provenance(training={"config": {"init": model}}), path)
    return str(path)


def fine_tune(start: str, parts: dict[str, Path], teacher: str, epochs: int, output: Path) -> str:
    """Train from ``start``; returns the path of the artifact."""
    preset = preset_of(load(start).metadata)
    values = {
        "name": "specialist",
        "students": [preset],
        "teacher": teacher,
        "init": start,
        "data": {"parts": {name: str(path) for name, path in parts.items()}},
        "training": {
            "epochs": epochs,
            "batch_size": 8,
            "compile": False,  # where torch takes the steps, that takes longer than so short a training
            "optimizer": {"learning_rate": 5e-4},
        },
        "formats": ["torchscript"],
    }
    (report,) = distill_with_progress(parse_config(DistillConfig, values), output / "run", console)
    return str(report.files["torchscript"])


def summary(errors: dict[str, Accuracy], title: str) -> Table:
    """Errors on the test frames."""
    columns = ("force MAE meV/Å", "RMSE meV/Å", "R²", "energy MAE meV/atom", "from its mean meV/atom")
    table = Table("student", *columns, title=title)
    for label, found in errors.items():
        forces, energy = found.forces, found.energy
        numbers = (f"{MEV * forces.mae:.1f}", f"{MEV * forces.rmse:.1f}", f"{forces.r2:.4f}")
        from_mean = "" if energy.mae_shifted is None else f"{MEV * energy.mae_shifted:.2f}"
        table.add_row(label, *numbers, f"{MEV * energy.mae:.2f}", from_mean)
    return table


def draw(test: Dataset, forces: dict[str, np.ndarray], errors: dict[str, Accuracy], path: Path) -> None:
    """Parity of the force components, before and after."""
    figure = new_figure(7.5, 4.3)
    limit = 1.05 * float(np.abs(test.forces).max())
    for axes, (label, predicted) in zip(figure.subplots(1, 2, sharey=True), forces.items(), strict=True):
        axes.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=1, zorder=0)
        axes.plot(test.forces.ravel(), predicted.ravel(), ".", markersize=2, alpha=0.4, rasterized=True)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axes.set_xlabel("teacher's force component (eV/Å)")
        found = errors[label].forces
        axes.set_title(f"{label}: R² {found.r2:.4f}, MAE {MEV * found.mae:.0f} meV/Å", fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("student's force component (eV/Å)")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
