"""What the panels of the force analysis share: colours, sizes, points, and curves of binned percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mlff_distiller.evaluation.force_analysis import ForceAnalysis, StudentForces, binned_percentiles
from mlff_distiller.evaluation.force_comparison import r_squared

# Okabe and Ito's colours, which the colour-blind can tell apart
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLE: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.labelsize": 7,
    "axes.labelpad": 2,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "lines.linewidth": 1.1,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # text stays text in the PDF
}
N_BINS = 24
FEW_ATOMS = 500
MAX_NAME = 32  # characters of a student's name in a figure


def colored(analysis: ForceAnalysis) -> list[tuple[StudentForces, str]]:
    """Each student with its colour."""
    return [(student, COLORS[k % len(COLORS)]) for k, student in enumerate(analysis.students)]


def short_name(student: StudentForces) -> str:
    """The name, or the end of a long path."""
    return student.name if len(student.name) <= MAX_NAME else f"…{student.name[-MAX_NAME:]}"


def draw_parity_points(
    axes: Axes,
    analysis: ForceAnalysis,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    limits: tuple[float, float],
) -> None:
    """Points of all students, those with the largest error at the back, so that each remains to be seen.

    Args:
        axes: Where to draw.
        analysis: T students.
        pairs: Reference and prediction of each student; what is beyond the limits is drawn at the edge.
        limits: Of both axes.
    """
    drawn = list(zip(pairs, colored(analysis), strict=True))
    for (x, y), (_, color) in sorted(
        drawn, key=lambda item: -float(np.square(item[0][1] - item[0][0]).sum())
    ):
        size = 5 if is_small(analysis) else 2
        axes.plot(
            x, np.clip(y, *limits), ".", color=color, markersize=size, markeredgewidth=0, rasterized=True
        )


def write_r_squared(
    axes: Axes, analysis: ForceAnalysis, pairs: Sequence[tuple[np.ndarray, np.ndarray]]
) -> None:
    """R² of each student in its colour."""
    write_values(
        axes,
        [
            (f"R² {r_squared(y, x):.4f}", color if len(pairs) > 1 else "black")
            for (x, y), (_, color) in zip(pairs, colored(analysis), strict=True)
        ],
    )


def write_values(axes: Axes, values: list[tuple[str, str]]) -> None:
    """Lines of text in the upper left corner, each in the colour of its student."""
    for k, (text, color) in enumerate(values):
        axes.annotate(
            text,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(3, -3 - 8.5 * k),
            textcoords="offset points",
            ha="left",
            va="top",
            color=color,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.6},
        )


def make_logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers: 1, 2, 5 in each decade, or the decades alone where there are many.

    Where no value is positive (the forces of a lone atom) the axis stays linear.
    """
    if not np.isfinite(axes.dataLim.minposx if which == "x" else axes.dataLim.minposy):
        return
    axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 50 else (1.0,)))
    if high < 1e5 and low > 1e-4:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def is_small(analysis: ForceAnalysis) -> bool:
    """Too few atoms for percentiles in bins."""
    return len(analysis.dataset.atomic_numbers) < FEW_ATOMS


def draw_dependence(axes: Axes, analysis: ForceAnalysis, x: np.ndarray, errors: Sequence[np.ndarray]) -> None:
    """Errors against x: as points where there are few atoms, and else in bins of equal size.

    A bin shows the median and, for one student, the 10th to the 90th percentile; for several, whose bands would hide each
    other, the 90th.

    Args:
        axes: Gets a logarithmic y axis.
        analysis: T students.
        x: (A,) what the errors depend on.
        errors: (A,) of each student.
    """
    for (_, color), y in zip(colored(analysis), errors, strict=True):
        if is_small(analysis):
            axes.plot(x, y, ".", color=color, markersize=4)
            continue
        bins = binned_percentiles(x, y, N_BINS)
        axes.plot(bins.x, bins.median, color=color)
        if len(analysis.students) == 1:
            axes.fill_between(bins.x, bins.low, bins.high, color=color, alpha=0.2, linewidth=0)
        else:
            axes.plot(bins.x, bins.high, color=color, linestyle="--", linewidth=0.8)
    make_logarithmic(axes, "y")
    axes.margins(y=0.12)
