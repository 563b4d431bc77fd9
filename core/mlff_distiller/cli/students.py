"""Commands that train, export and list students: arguments in, calls to the library, tables out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlff_distiller.cli.app import Settings, app, console, print_table
from mlff_distiller.errors import ConfigError


@app.command()
def train(
    datasets: Annotated[list[str], typer.Argument(help="Labelled files: .h5, .xyz or .extxyz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("run"),
    preset: Annotated[
        str | None, typer.Option(help="original, tiny or ultra-tiny; default that of --init, or tiny.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the student.")] = "student",
    init: Annotated[str | None, typer.Option(help="Student to start from: a name or a file.")] = None,
    committee: Annotated[
        int, typer.Option(min=1, max=64, help="Students in the artifact; their spread is an uncertainty.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of the first weights.")] = 0,
    settings: Settings = None,
) -> None:
    """Train one student on labelled data, test it on molecules that this run has not trained on, and export it.

    Example:  mlffd train labels.h5 --preset ultra-tiny -o run --set training.epochs=20
    """
    from mlff_distiller.commands.students import choose_preset

    values = {
        "name": name,
        "students": [preset or choose_preset(init)],
        "seed": seed,
        "data": {"datasets": datasets},
        "init": init,
        "committee": committee,
    }
    _distill(None, values, settings or [], output)


@app.command()
def distill(
    recipe: Annotated[Path | None, typer.Argument(help="YAML file with the settings.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("run"),
    settings: Settings = None,
) -> None:
    """All steps in one: sample and label, train, test, export, verify.

    Killed in the middle? The same command goes on where it stopped.

    Example:  mlffd distill -o run --set name=alcohols --set "data.molecules=[CO, CCO, CCCO, CC(C)O]" --set training.epochs=20
    """
    _distill(recipe, {}, settings or [], output)


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="A shipped name, an artifact or a checkpoint (.ckpt).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: .pt or .onnx.")],
    name: Annotated[str | None, typer.Option(help="Name inside the artifact; default the file's.")] = None,
) -> None:
    """Export a student as TorchScript (.pt) or ONNX with forces (.onnx), verified against the live model.

    Example:  mlffd export tiny -o tiny.onnx
    """
    from mlff_distiller.commands.students import export_student

    console.print(f"wrote {export_student(source, output, name)}, which agrees with the live model")


@app.command()
def committee(
    students: Annotated[list[str], typer.Argument(help="Names, artifacts or checkpoints of one preset.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The committee to write: .pt.")],
) -> None:
    """Join students into one artifact; the spread of their forces is an uncertainty.

    Example:  mlffd committee a.pt b.pt -o committee.pt
    """
    from mlff_distiller.distill.committee import join_students

    console.print(f"wrote {join_students(students, output)}, a committee of {len(students)}")


@app.command()
def models() -> None:
    """List the shipped students with their size and their errors on molecules that they never saw.

    Example:  mlffd models
    """
    from mlff_distiller.registry import list_models
    from mlff_distiller.tables import models_table

    print_table(models_table(list_models()))


def _distill(recipe: Path | None, values: dict[str, Any], settings: list[str], output: Path) -> None:
    from mlff_distiller.commands.students import distill_with_progress
    from mlff_distiller.configuration import load_config
    from mlff_distiller.distill import DistillConfig
    from mlff_distiller.tables import students_table

    if recipe is None and not values and not settings:
        raise ConfigError("nothing to distil: give a recipe (YAML) or settings; see mlffd distill --help")
    reports = distill_with_progress(load_config(DistillConfig, recipe, settings, values), output, console)
    console.print(students_table(reports))
    for report in reports:
        console.print(
            f"{report.name}: " + ", ".join(str(path) for path in report.files.values()), soft_wrap=True
        )
