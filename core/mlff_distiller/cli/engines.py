"""Commands that run a student in the engines: arguments in, calls to the library, tables out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mlff_distiller.cli.app import Seed, app, console, print_table


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="A shipped name or the path of an artifact (.pt).")],
    report: Annotated[Path | None, typer.Option("--json", help="Write the numbers here too.")] = None,
) -> None:
    """Run an artifact in every backend and engine that is installed, and compare; exit status 1 if any disagrees.

    Example:  mlffd verify tiny --json agreement.json
    """
    from mlff_distiller.commands.engines import verify_with_progress, write_agreement
    from mlff_distiller.tables import agreement_table

    bad_edges, found = verify_with_progress(model, console)
    console.print(f"edge lists: {'agree' if not bad_edges else 'DIFFER on ' + ', '.join(bad_edges)}")
    print_table(agreement_table(model, found))
    for row in found:
        if reason := row.missing or row.failed:
            console.print(f"{row.name}: {reason}", soft_wrap=True)
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
    from mlff_distiller.commands.engines import nve_with_progress
    from mlff_distiller.constant_energy import NVESettings
    from mlff_distiller.tables import nve_table

    length = NVESettings.of_length(picoseconds, equilibration, time_step)
    settings = replace(length, temperature=temperature, seed=seed, dtype=dtype)
    found = nve_with_progress(model, structure, engine, settings, output, scaling, reference, pair, console)
    print_table(nve_table(f"{model}, {structure}, {engine}", found))
    files = ("nve.json", "nve.png", "energies.csv", "trajectory.xyz")
    console.print(", ".join(str(output / file) for file in files), soft_wrap=True)
