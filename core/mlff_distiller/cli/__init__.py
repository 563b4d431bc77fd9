"""The command line ``mlffd``: one module for each group of commands. No logic lives here."""

from importlib.metadata import entry_points

from mlff_distiller.cli.app import app, console, errors, run_app

# isort: off
# Importing registers the commands, in the order in which the help lists them.
from mlff_distiller.cli import data
from mlff_distiller.cli import students
from mlff_distiller.cli import evaluation
from mlff_distiller.cli import speed
from mlff_distiller.cli import trust
from mlff_distiller.cli import engines
# isort: on

__all__ = [
    "app",
    "console",
    "data",
    "engines",
    "errors",
    "evaluation",
    "main",
    "run_app",
    "speed",
    "students",
    "trust",
]


def main() -> None:
    """Entry point of ``mlffd``: the core's commands and those that plugins bring."""
    for point in entry_points(group="mlff_distiller.commands"):
        app.add_typer(point.load(), name=point.name)
    run_app(app)
