"""Commands that make and convert labelled data: arguments in, calls to the library, tables out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlff_distiller.cli.app import Jobs, Keys, Output, Scheduler, Seed, Settings, Teacher, app, console


@app.command()
def sample(
    sources: Annotated[list[str], typer.Argument(help="SMILES, a .smi file, structure files, or 'builtin'.")],
    output: Output = Path("frames.h5"),
    teacher: Teacher = "gfn2-xtb",
    jobs: Jobs = 1,
    seed: Seed = 0,
    scheduler: Scheduler = None,
    first: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many molecules; partners come from all.")
    ] = None,
    settings: Settings = None,
) -> None:
    """Sample geometries of molecules or structures; the frames carry the teacher's labels.

    Killed in the middle? The same command goes on where it stopped.

    Example:  mlffd sample CCO "CC(=O)O" -o frames.h5 --set dynamics.n=2
    """
    from mlff_distiller.commands.data import sample_sources

    _print_report(sample_sources(sources, teacher, settings or [], output, seed, jobs, scheduler, first))


@app.command()
def label(
    structures: Annotated[
        list[Path], typer.Argument(help="Datasets (.h5) or structure files that ASE reads.")
    ],
    output: Output = Path("labels.h5"),
    teacher: Teacher = "gfn2-xtb",
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
) -> None:
    """Label given structures with a teacher, as they are.

    Example:  mlffd label frames.h5 -t gfn1-xtb -o labels.h5
    """
    from mlff_distiller.commands.data import label_sources

    _print_report(label_sources(structures, teacher, output, jobs, scheduler))


@app.command()
def pairs(
    frames: Annotated[Path, typer.Argument(help="Frames of training molecules: .h5, .xyz or .extxyz.")],
    output: Output = Path("pairs.h5"),
    teacher: Teacher = "gfn2-xtb",
    step: Annotated[float, typer.Option(min=1e-4, max=0.03, help="RMS displacement of an atom, Å.")] = 0.01,
    jobs: Jobs = 1,
    seed: Seed = 0,
) -> None:
    """Label pairs of displaced frames, for the optional curvature term of the loss.

    Example:  mlffd pairs frames.h5 -o pairs.h5
    """
    from mlff_distiller.commands.data import label_pairs

    _print_report(label_pairs(frames, teacher, output, step, seed, jobs))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A labelled file: .h5, .xyz or .extxyz.")],
    output: Annotated[Path, typer.Argument(help="The file to write: .h5, .xyz or .extxyz.")],
    keys: Keys = None,
) -> None:
    """Convert a labelled dataset between HDF5 and extended XYZ, and print its statistics.

    Example:  mlffd convert labels.h5 labels.xyz
    """
    from mlff_distiller.commands.data import convert_dataset

    console.print(convert_dataset(source, output, keys))


def _print_report(report: Any) -> None:
    from mlff_distiller.tables import run_table

    console.print(run_table(report))
