"""Commands that say how good a student is: arguments in, calls to the library, tables out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mlff_distiller.cli.app import Keys, app, console


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped name, an artifact (.pt, .onnx) or a checkpoint.")],
    dataset: Annotated[Path, typer.Argument(help="A labelled file: .h5, .xyz or .extxyz.")],
    report: Annotated[Path | None, typer.Option("--json", help="Write the numbers here too.")] = None,
    max_atoms: Annotated[int, typer.Option(min=1, help="Atoms in memory at once.")] = 1024,
    keys: Keys = None,
) -> None:
    """Errors of a student on labelled structures: overall, per element, per regime.

    Example:  mlffd evaluate tiny labels.h5 --json errors.json
    """
    from mlff_distiller.commands import evaluate_model
    from mlff_distiller.tables import accuracy_tables

    accuracy = evaluate_model(model, dataset, max_atoms, keys)
    for table in accuracy_tables(model, accuracy):
        console.print(table)
    if report is not None:
        report.write_text(json.dumps(accuracy.to_dict(), indent=1), encoding="utf-8")
