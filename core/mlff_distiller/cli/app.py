"""The application that every command joins, the options that commands share, and how a user's mistake ends.

A user's mistake prints one message and exits with status 1; Ctrl-C exits with 130 and says how to go on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mlff_distiller import __version__
from mlff_distiller.errors import DistillerError

app = typer.Typer(
    name="mlffd",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
INTERRUPTED = 130  # exit status of a process that Ctrl-C has ended

console = Console(markup=False)  # SMILES and paths have brackets
errors = Console(stderr=True)

Teacher = Annotated[
    str,
    typer.Option(
        "--teacher", "-t", help="gfn2-xtb, gfn1-xtb, orb-…, mace-…, aimnet2, student:…, ase:module:factory"
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Worker processes.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, whose cluster works instead of this machine.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The HDF5 file to write.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Override, as key.path=value; repeatable.")
]
Keys = Annotated[
    str | None, typer.Option("--keys", help="Label names in extended XYZ, as energy=E,forces=F.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def _program(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Distil slow force fields into compact, energy-conserving students, and export them."""


def print_table(table: Table) -> None:
    """Print a table at its full width: a narrow terminal wraps the lines, and a file has them whole."""
    width = Measurement.get(console, console.options.update(width=10_000), table).maximum
    Console(file=console.file, width=max(width, console.width), markup=False).print(table)


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
        errors.print(
            "interrupted; sampling, labelling and training go on where they stopped with the same command, all else starts anew"
        )
    sys.exit(status if isinstance(status, int) else 0)
