"""Commands that say how fast a student is, make it smaller, and choose one: arguments in, calls to the library, tables out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlff_distiller.cli.app import app, console, print_table

Students = Annotated[
    list[str] | None, typer.Argument(help="Shipped names or artifacts (.pt); default all that are shipped.")
]
Rounds = Annotated[int, typer.Option(min=2, help="Interleaved measurements of each case.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Frames = Annotated[int, typer.Option(min=1, help="At most so many structures of the dataset, evenly spaced.")]


@app.command()
def benchmark(
    students: Students = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "benchmark"
    ),
    formats: Annotated[
        str | None,
        typer.Option(
            help="With commas between, of: eager, torchscript, native, onnx, onnx-float16, onnx-bfloat16, onnx-int8, "
            "onnx-int8-dynamic."
        ),
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Atoms of the structures: 3k + 2 is an alkane, 3k³ is liquid water.")
    ] = "20,81",
    structure: Annotated[
        list[Path] | None, typer.Option(help="A structure file instead of the sizes; repeatable.")
    ] = None,
    batches: Annotated[str, typer.Option(help="Structures at once.")] = "1,4,16",
    max_atoms: Annotated[int, typer.Option(min=1, help="Leave out larger batches.")] = 660,
    rounds: Rounds = 5,
    threads: Threads = 1,
    device: Annotated[
        str, typer.Option(help="Torch device; eager and torchscript only, if not cpu.")
    ] = "cpu",
    teacher: Annotated[
        str | None, typer.Option("--teacher", "-t", help="Time this teacher on the same structures.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Labelled file: adds errors, and draws them against speed.")
    ] = None,
    frames: Frames = 200,
    compare: Annotated[
        Path | None,
        typer.Option(help="benchmark.json of an earlier run; exit status 1 if anything is slower."),
    ] = None,
    memory: Annotated[bool, typer.Option(help="Also measure peak memory.")] = True,
) -> None:
    """Time students in every format, in turns: latency with its spread, throughput, peak memory; JSON, CSV, PNG.

    Example:  mlffd benchmark tiny --formats torchscript,native --batches 1,8 -o benchmark
    """
    from mlff_distiller.commands.speed import (
        benchmark_with_progress,
        formats_of,
        frames_of,
        parse_integers,
        shipped_or,
        systems_of,
    )
    from mlff_distiller.evaluation.benchmark import compare_reports, read_report
    from mlff_distiller.evaluation.benchmark.measure import BenchmarkSettings
    from mlff_distiller.evaluation.benchmark.tables import benchmark_table, comparison_table

    before = None if compare is None else read_report(compare)
    chosen = shipped_or(students)
    settings = BenchmarkSettings(
        students=chosen,
        formats=formats_of(formats, device, chosen),
        systems=systems_of(sizes, structure),
        batches=parse_integers(batches, "batches"),
        rounds=rounds,
        threads=threads,
        device=device,
        max_atoms=max_atoms,
        teacher=teacher,
        dataset=None if dataset is None else frames_of(dataset, frames),
        memory=memory,
    )
    report = benchmark_with_progress(settings, output, console)
    print_table(benchmark_table(report))
    console.print(", ".join(str(path) for path in sorted(output.glob("*.*"))), soft_wrap=True)
    if before is not None:
        changes = compare_reports(report, before)
        print_table(comparison_table(changes))
        if any(change.is_regression for change in changes):
            raise typer.Exit(1)


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="A shipped name or an artifact (.pt).")],
    dataset: Annotated[Path, typer.Option(help="A labelled file: .h5, .xyz or .extxyz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path("quantized"),
    schemes: Annotated[
        str, typer.Option(help="With commas between.")
    ] = "float32,float16,bfloat16,int8,int8-dynamic",
    frames: Frames = 200,
    batches: Annotated[str, typer.Option(help="Structures at once, for the latency.")] = "1,16",
    rounds: Rounds = 7,
    threads: Threads = 1,
) -> None:
    """Write smaller ONNX files of a student, and show what each costs in accuracy and brings in size and speed.

    Example:  mlffd quantize tiny --dataset labels.h5 -o quantized --schemes int8,float16
    """
    from mlff_distiller.commands.speed import quantization_table, quantize_with_progress

    found = quantize_with_progress(model, output, schemes, dataset, frames, batches, rounds, threads, console)
    print_table(quantization_table(model, found))
    console.print(", ".join(str(row.file) for row in found), soft_wrap=True)


@app.command()
def recommend(
    structure: Annotated[Path, typer.Argument(help="A structure file that ASE reads.")],
    students: Students = None,
    engine: Annotated[
        str, typer.Option(help="ase, openmm, lammps, …, or native: without an engine.")
    ] = "ase",
    ns_per_day: Annotated[float | None, typer.Option(min=0.0, help="Speed that is needed.")] = None,
    max_error: Annotated[
        float | None, typer.Option(min=0.0, help="Largest acceptable force MAE, meV/Å.")
    ] = None,
    time_step: Annotated[float, typer.Option(min=0.01, max=4.0, help="fs.")] = 0.5,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each student, in turns.")] = 3,
    steps: Annotated[int, typer.Option(min=11, help="Steps of each measurement.")] = 110,
    report: Annotated[Path | None, typer.Option("--json", help="Write the numbers here too.")] = None,
) -> None:
    """Time students on this machine and structure, and name the one to use; exit status 1 if none will do.

    Example:  mlffd recommend molecule.xyz --engine ase --ns-per-day 5
    """
    from mlff_distiller.commands.speed import recommend_with_progress, recommendation_table
    from mlff_distiller.evaluation.recommend import Goal
    from mlff_distiller.units import MEV

    goal = Goal(ns_per_day, None if max_error is None else max_error / MEV, time_step)
    found = recommend_with_progress(structure, students, engine, goal, rounds, steps, report, console)
    print_table(recommendation_table(f"{structure}, {engine}, {time_step:g} fs", found, goal))
    for candidate in found.candidates:
        if candidate.failure is not None:
            console.print(f"{candidate.student} failed: {candidate.failure}", soft_wrap=True)
    if found.chosen is None:
        console.print(f"no recommendation: {found.reason}", soft_wrap=True)
        raise typer.Exit(1)
    console.print(f"use {found.chosen.student}: {found.reason}", soft_wrap=True)
