"""Tables of a benchmark, in Markdown: for the terminal, and to be pasted."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import MARKDOWN
from rich.table import Table
from rich.text import Text

from mlff_distiller.evaluation.benchmark.report import BenchmarkReport, Change, Measurement
from mlff_distiller.evaluation.markdown import three_digits
from mlff_distiller.units import MEV

MILLI = 1e3


def benchmark_table(report: BenchmarkReport) -> Table:
    """A row for each case; columns that hold nothing are left out."""
    rows = report.measurements
    accuracy = {(a.student, a.format): a.forces for a in report.accuracies}
    cells = {
        "student": [row.student for row in rows],
        "format": [row.format for row in rows],
        "structure": [row.system for row in rows],
        "batch": [str(row.batch) for row in rows],
        "ms": [milliseconds(row) for row in rows],
        "µs/atom": [three_digits(row.us_per_atom) for row in rows],
        "structures/s": [three_digits(row.structures_per_s) for row in rows],
        "atom steps/s": [three_digits(row.atom_steps_per_s) for row in rows],
        "memory MiB": ["" if row.peak_memory is None else f"{row.peak_memory:.0f}" for row in rows],
        "× teacher": ["" if row.speed_up is None else three_digits(row.speed_up) for row in rows],
        "force MAE meV/Å": [_force_cell(accuracy.get((row.student, row.format)), "mae") for row in rows],
        "force R²": [_force_cell(accuracy.get((row.student, row.format)), "r2") for row in rows],
    }
    cells = {name: column for name, column in cells.items() if any(column)}
    table = markdown_table(_title(report), list(cells), n_words=3)
    table.caption, table.caption_justify = _caption(report), "left"
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


def comparison_table(changes: Sequence[Change]) -> Table:
    """What became slower or faster, beyond the spread."""
    columns = ("student", "format", "structure", "batch", "before ms", "now ms", "ratio", "")
    table = markdown_table("slower or faster than before, beyond the spread", columns, n_words=3)
    for change in changes:
        if not (change.is_regression or change.is_improvement):
            continue
        new = change.new
        table.add_row(
            new.student,
            new.format,
            new.system,
            str(new.batch),
            milliseconds(change.old),
            milliseconds(new),
            f"{change.ratio:.2f}",
            Text("SLOWER", "bold red") if change.is_regression else "faster",
        )
    return table


def markdown_table(title: str, columns: Sequence[str], n_words: int = 1) -> Table:
    """An empty table whose first ``n_words`` columns are words and the others numbers."""
    table = Table(title=title, title_justify="left", box=MARKDOWN)
    for k, name in enumerate(columns):
        table.add_column(name, justify="left" if k < n_words else "right", no_wrap=k < n_words)
    return table


def milliseconds(row: Measurement) -> str:
    """Median and quartiles of a call; one measurement has no quartiles."""
    if row.q25 == row.q75:
        return three_digits(MILLI * row.median)
    q25, median, q75 = (MILLI * seconds for seconds in (row.q25, row.median, row.q75))
    return f"{three_digits(median)} ({three_digits(q25)}–{three_digits(q75)})"


def _title(report: BenchmarkReport) -> str:
    machine = report.environment
    return (
        f"{machine['processor']}, {machine['device']}, {machine['threads']} thread(s) of {machine['cores']} cores, load "
        f"{machine['load_average']} at the start"
    )


def _caption(report: BenchmarkReport) -> str:
    text = f"ms: median and quartiles of {report.rounds} interleaved rounds, of energies, forces and virial with given edges"
    if report.left_out:
        text += f"; with more atoms than --max-atoms, and left out: {', '.join(report.left_out)}"
    if report.accuracies:
        text += f"; errors on {report.accuracies[0].n_structures} structures"
    return text


def _force_cell(errors: object, name: str) -> str:
    if errors is None:
        return ""
    value = getattr(errors, name)
    return f"{MEV * value:.1f}" if name == "mae" else f"{value:.4f}"
