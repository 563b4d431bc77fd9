"""Commands that say whether a student can be trusted where it is used: arguments in, calls to the library, tables out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlff_distiller.cli.app import app, console


@app.command()
def audit(
    trajectory: Annotated[Path, typer.Argument(help="A trajectory of the student, in a format of ASE.")],
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact (.pt).")] = "tiny",
    teacher: Annotated[
        str | None, typer.Option("--teacher", "-t", help="What labels the frames; default the student's own.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("audit"),
    frames: Annotated[int, typer.Option(min=3, help="Frames to label, evenly spaced.")] = 100,
    worst: Annotated[int, typer.Option(min=1, help="Of those, frames to train on.")] = 50,
    factor: Annotated[
        float, typer.Option(min=1.0, help="Times the held-out force RMSE beyond which a frame is flagged.")
    ] = 2.0,
    regime: Annotated[
        str | None, typer.Option(help="Held-out frames to measure by, as md-300K; default those that match.")
    ] = None,
    rehearsal: Annotated[
        list[Path] | None, typer.Option(help="Labelled file that the recipe trains on as well; repeatable.")
    ] = None,
) -> None:
    """Label frames of a student's own trajectory with its teacher: where is the student wrong?

    The worst frames, and a recipe that makes the student better there, are written too.

    Example:  mlffd audit trajectory.xyz --model tiny --teacher gfn2-xtb --frames 100 -o audit
    """
    from mlff_distiller.commands.trust import AuditSettings, audit_with_progress
    from mlff_distiller.tables import audit_table

    settings = AuditSettings(frames, worst, factor, regime, rehearsal or ())
    found, run, files = audit_with_progress(trajectory, model, teacher, settings, output, console)
    console.print(audit_table(found, run))
    console.print(", ".join(str(path) for path in files), soft_wrap=True)


@app.command()
def card(
    model: Annotated[str, typer.Argument(help="A shipped name or the path of an artifact (.pt).")],
    evidence: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder or JSON file of `nve`, `verify --json` or `benchmark`; repeatable.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Markdown file; default the screen.")
    ] = None,
) -> None:
    """Write the card of a student, in Markdown, from measured values only.

    Example:  mlffd card tiny -o tiny.md
    """
    from mlff_distiller.commands.trust import card_text, write_card

    if output is None:
        typer.echo(card_text(model, evidence or ()))
    else:
        console.print(f"wrote {write_card(model, evidence or (), output)}")
