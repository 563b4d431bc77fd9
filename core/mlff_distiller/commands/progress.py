"""The bars of everything that takes longer than a few seconds."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bars(console: Console, unit: str, *more: ProgressColumn) -> Progress:
    """Description, bar, count, elapsed time and an estimate; tasks may have no total yet.

    Args:
        console: Where the bars are.
        unit: What is counted, in the plural.
        *more: Columns at the end.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} " + unit),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        *more,
        console=console,
    )
