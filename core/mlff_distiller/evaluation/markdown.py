"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def decimals(value: float | None, digits: int) -> str:
    """A number, or nothing where there is none, as R² of a single force."""
    return "" if value is None else f"{value:.{digits}f}"


def three_digits(value: float) -> str:
    """Three digits, and no powers of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with pipes; a pipe inside a cell is escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
