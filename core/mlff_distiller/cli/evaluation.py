"""Commands that say how good a student is: arguments in, calls to the library, tables out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlff_distiller.cli.app import Jobs, Keys, app, console, errors

LiveTeacher = Annotated[
    str | None,
    typer.Option(
        "--teacher", "-t", help="Compare with this teacher, run here and now: gfn2-xtb, gfn1-xtb, …"
    ),
]


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped name, an artifact (.pt, .onnx) or a checkpoint.")],
    dataset: Annotated[Path, typer.Argument(help="A labelled file: .h5, .xyz or .extxyz.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for evaluation.json, forces.csv and energies.csv."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--json", help="Write the numbers that an artifact keeps here.")
    ] = None,
    teacher: LiveTeacher = None,
    jobs: Jobs = 1,
    max_atoms: Annotated[int, typer.Option(min=1, help="Atoms in memory at once.")] = 1024,
    keys: Keys = None,
) -> None:
    """Errors of a student on labelled structures: overall, per element, regime, size and size of the force.

    Example:  mlffd evaluate tiny labels.h5 -o evaluation
    """
    from mlff_distiller.commands.evaluation import evaluate_model
    from mlff_distiller.evaluation_tables import evaluation_tables
    from mlff_distiller.json_file import write_json

    accuracy, evaluations = evaluate_model(model, dataset, errors, max_atoms, keys, teacher, jobs, output)
    for evaluation in evaluations:
        for table in evaluation_tables(evaluation):
            console.print(table)
    if report is not None:
        write_json(report, accuracy.to_dict())


@app.command()
def analyze(
    models: Annotated[
        list[str], typer.Argument(help="Students to compare: shipped names, .pt, .onnx, .ckpt.")
    ],
    structures: Annotated[
        Path, typer.Argument(help="A labelled file; with --teacher, any file of structures that ASE reads.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for analysis.json, force_analysis.png and force_analysis.pdf."
        ),
    ] = Path("analysis"),
    teacher: LiveTeacher = None,
    jobs: Jobs = 1,
    max_atoms: Annotated[int, typer.Option(min=1, help="Atoms in memory at once.")] = 1024,
    keys: Keys = None,
) -> None:
    """Draw fourteen panels that show where the forces of students go wrong.

    Example:  mlffd analyze tiny ultra-tiny labels.h5 -o analysis
    """
    from mlff_distiller.commands.evaluation import analyse_models
    from mlff_distiller.evaluation_tables import analysis_table

    analysis = analyse_models(models, structures, output, errors, max_atoms, keys, teacher, jobs)
    console.print(analysis_table(analysis))
    files = ("analysis.json", "force_analysis.png", "force_analysis.pdf")
    console.print(", ".join(str(output / file) for file in files), soft_wrap=True)
