"""The command line ``mlffd``: arguments in, calls to the library, tables out. No logic lives here.

A user's mistake prints one message and exits with status 1; Ctrl-C exits with 130 and says how to go on.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from mlff_distiller.errors import ConfigError, DistillerError

app = typer.Typer(
    name="mlffd",
    help="Distil slow force fields into compact, energy-conserving students, and export them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
INTERRUPTED = 130  # exit status of a process that Ctrl-C has ended

console = Console()
errors = Console(stderr=True)

Teacher = Annotated[
    str,
    typer.Option(
        "--teacher", "-t", help="gfn2-xtb, gfn1-xtb, orb-…, mace-…, aimnet2, student:…, ase:module:factory"
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Worker processes.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Backend = Annotated[str, typer.Option(help="loky (this machine) or dask (a cluster).")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The HDF5 file to write.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Override, as key.path=value; repeatable.")
]
Keys = Annotated[
    str | None, typer.Option("--keys", help="Label names in extended XYZ, as energy=E,forces=F.")
]


@app.command()
def sample(
    sources: Annotated[list[str], typer.Argument(help="SMILES, a .smi file, structure files, or 'builtin'.")],
    output: Output = Path("frames.h5"),
    teacher: Teacher = "gfn2-xtb",
    jobs: Jobs = 1,
    seed: Seed = 0,
    backend: Backend = "loky",
    settings: Settings = None,
) -> None:
    """Sample geometries of molecules or structures; the frames carry the teacher's labels.

    Killed in the middle? The same command goes on where it stopped.

    Example:  mlffd sample CCO "CC(=O)O" -o frames.h5 --set dynamics.n=2
    """
    from mlff_distiller.commands import sample_sources

    _print_report(sample_sources(sources, teacher, settings or [], output, seed, jobs, backend))


@app.command()
def label(
    structures: Annotated[
        list[Path], typer.Argument(help="Datasets (.h5) or structure files that ASE reads.")
    ],
    output: Output = Path("labels.h5"),
    teacher: Teacher = "gfn2-xtb",
    jobs: Jobs = 1,
    backend: Backend = "loky",
) -> None:
    """Label given structures with a teacher, as they are.

    Example:  mlffd label frames.h5 -t gfn1-xtb -o labels.h5
    """
    from mlff_distiller.commands import label_sources

    _print_report(label_sources(structures, teacher, output, jobs, backend))


@app.command()
def pairs(
    frames: Annotated[Path, typer.Argument(help="Frames of training molecules: .h5, .xyz or .extxyz.")],
    output: Output = Path("pairs.h5"),
    teacher: Teacher = "gfn2-xtb",
    step: Annotated[float, typer.Option(min=1e-4, max=0.1, help="RMS displacement of an atom, Å.")] = 0.01,
    jobs: Jobs = 1,
    seed: Seed = 0,
) -> None:
    """Label pairs of displaced frames, for the optional curvature term of the loss.

    Example:  mlffd pairs frames.h5 -o pairs.h5
    """
    from mlff_distiller.commands import label_pairs

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
    from mlff_distiller.commands import convert_dataset

    console.print(convert_dataset(source, output, keys))


@app.command()
def train(
    datasets: Annotated[list[str], typer.Argument(help="Labelled files: .h5, .xyz or .extxyz.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("run"),
    preset: Annotated[str, typer.Option(help="original, tiny or ultra-tiny.")] = "tiny",
    name: Annotated[str, typer.Option(help="Name of the student.")] = "student",
    init: Annotated[str | None, typer.Option(help="Student to start from: a name or a file.")] = None,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Train one student on labelled data, test it on molecules that it never saw, and export it.

    Example:  mlffd train labels.h5 --preset ultra-tiny -o run --set training.epochs=20
    """
    values = {"name": name, "students": [preset], "seed": seed, "data": {"datasets": datasets}, "init": init}
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


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="A shipped name, an artifact or a checkpoint (.ckpt).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: .pt or .onnx.")],
    name: Annotated[str | None, typer.Option(help="Name inside the artifact; default the file's.")] = None,
) -> None:
    """Export a student as TorchScript (.pt) or ONNX with forces (.onnx), verified against the live model.

    Example:  mlffd export tiny -o tiny.onnx
    """
    from mlff_distiller.commands import export_student

    console.print(f"wrote {export_student(source, output, name)}, which agrees with the live model")


@app.command()
def models() -> None:
    """List the shipped students with their size and their errors on molecules that they never saw.

    Example:  mlffd models
    """
    from mlff_distiller.registry import list_models
    from mlff_distiller.tables import models_table

    console.print(models_table(list_models()))


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="A shipped name or the path of an artifact (.pt).")],
    report: Annotated[Path | None, typer.Option("--json", help="Write the numbers here too.")] = None,
) -> None:
    """Run an artifact in every backend and engine that is installed, and compare; exit status 1 if any disagrees.

    Example:  mlffd verify tiny --json agreement.json
    """
    from mlff_distiller.engine_commands import verify_with_progress, write_agreement
    from mlff_distiller.tables import agreement_table

    bad_edges, found = verify_with_progress(model, console)
    console.print(f"edge lists: {'agree' if not bad_edges else 'DIFFER on ' + ', '.join(bad_edges)}")
    console.print(agreement_table(model, found))
    for row in found:
        if reason := row.missing or row.failed:
            console.print(f"{row.name}: {escape(reason)}", soft_wrap=True)
    if report is not None:
        write_agreement(report, model, bad_edges, found)
    if bad_edges or not all(row.acceptable for row in found):
        raise typer.Exit(1)


@app.command()
def nve(
    model: Annotated[str, typer.Argument(help="A shipped name or the path of an artifact (.pt).")],
    structure: Annotated[Path, typer.Argument(help="A structure file that ASE reads.")],
    engine: Annotated[str, typer.Option(help="ase, openmm, lammps, …")] = "ase",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("nve"),
    picoseconds: Annotated[float, typer.Option(min=0.05, help="Length at constant energy.")] = 10.0,
    temperature: Annotated[float, typer.Option(min=1.0, help="K, of the equilibration.")] = 300.0,
    time_step: Annotated[float, typer.Option(min=0.01, max=4.0, help="fs.")] = 0.5,
    equilibration: Annotated[float, typer.Option(min=0.0, help="ps with a thermostat before.")] = 1.0,
    dtype: Annotated[str, typer.Option(help="float32 or float64, of the network.")] = "float32",
    seed: Seed = 0,
    scaling: Annotated[
        bool, typer.Option(help="Also compare half, the same and twice the time step.")
    ] = True,
    reference: Annotated[
        Path | None, typer.Option(help="The teacher's trajectory (extended XYZ), for g(r).")
    ] = None,
    pair: Annotated[str | None, typer.Option(help="Elements of g(r), as O-O.")] = None,
) -> None:
    """Run at constant energy in an engine; report the drift with its standard error, bonds, and a plot.

    Example:  mlffd nve tiny molecule.xyz --engine ase --picoseconds 2 -o nve
    """
    from mlff_distiller.engine_commands import nve_with_progress
    from mlff_distiller.evaluation.drift import NVESettings
    from mlff_distiller.tables import nve_table

    n_steps = max(20, round(1000 * picoseconds / time_step))
    settings = NVESettings(
        temperature=temperature,
        n_steps=n_steps,
        time_step=time_step,
        n_equilibration=round(1000 * equilibration / time_step),
        interval=max(1, min(10, n_steps // 200)),
        frame_interval=max(1, min(10, n_steps // 200)) * max(1, n_steps // 10_000),
        seed=seed,
        dtype=dtype,
    )
    found = nve_with_progress(model, structure, engine, settings, output, scaling, reference, pair, console)
    console.print(nve_table(f"{model}, {structure}, {engine}", found))
    files = ("nve.json", "nve.png", "energies.csv", "trajectory.xyz")
    console.print(", ".join(str(output / file) for file in files), soft_wrap=True)


def _distill(recipe: Path | None, values: dict[str, Any], settings: list[str], output: Path) -> None:
    from mlff_distiller.commands import distill_with_progress
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


def _print_report(report: Any) -> None:
    from mlff_distiller.tables import run_table

    console.print(run_table(report))


def main() -> None:
    """Entry point of ``mlffd``: the core's commands and those that plugins bring."""
    for point in entry_points(group="mlff_distiller.commands"):
        app.add_typer(point.load(), name=point.name)
    run_app(app)


def run_app(command: typer.Typer) -> None:
    """Run a command line; a user's mistake and Ctrl-C end in one sentence and an exit status.

    Args:
        command: A Typer application.
    """
    try:
        status = command(standalone_mode=False)
    except DistillerError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except typer.TyperException as error:
        getattr(error, "show")()  # noqa: B009 (on usage errors, the only ones that come through)
        sys.exit(getattr(error, "exit_code", 2))
    if status == INTERRUPTED:  # Typer itself gives this status for Ctrl-C
        errors.print("interrupted; the same command goes on where this one stopped")
    sys.exit(status if isinstance(status, int) else 0)
