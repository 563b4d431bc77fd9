"""Two figures: time and memory against batch size, and force error against time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from mlff_distiller.evaluation.benchmark.measure import TEACHER
from mlff_distiller.evaluation.benchmark.report import BenchmarkReport, Measurement
from mlff_distiller.evaluation.plots import new_figure, save_figure
from mlff_distiller.units import MEV

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SMALL = 8  # font size


class _Styles:
    """A colour for each student, a marker for each format, the same in all panels."""

    def __init__(self, rows: Sequence[Measurement]) -> None:
        self.colors = {name: f"C{k}" for k, name in enumerate(dict.fromkeys(row.student for row in rows))}
        self.markers = dict(zip(dict.fromkeys(row.format for row in rows), MARKERS, strict=False))

    def handles(self) -> list[Line2D]:
        """For a legend: students as lines, formats as markers."""
        students = [Line2D([], [], color=color, label=name) for name, color in self.colors.items()]
        formats = [
            Line2D([], [], color="0.3", linestyle="", marker=marker, label=name)
            for name, marker in self.markers.items()
        ]
        return [*students, *formats]


def draw_benchmark(report: BenchmarkReport, path: Path) -> None:
    """A column for each structure: time per atom above, peak memory below, against the batch size.

    Args:
        report: What to draw.
        path: PNG.
    """
    rows = [row for row in report.measurements if row.format != TEACHER]
    teacher = {row.system: row for row in report.measurements if row.format == TEACHER}
    systems = list(dict.fromkeys(row.system for row in rows))
    with_memory = any(row.peak_memory is not None for row in rows)
    n_lines = 1 + with_memory
    figure = new_figure(2.2 + 3.2 * len(systems), 0.6 + 2.9 * n_lines)
    panels = figure.subplots(n_lines, len(systems), squeeze=False, sharex="col", sharey="row")
    styles = _Styles(rows)
    for column, system in enumerate(systems):
        chosen = [row for row in rows if row.system == system]
        _draw_lines(panels[0, column], chosen, styles, lambda row: row.us_per_atom, spread=True)
        panels[0, column].set_title(system, fontsize=10)
        if system in teacher:
            panels[0, column].axhline(teacher[system].us_per_atom, color="black", linestyle="--", linewidth=1)
        if with_memory:
            _draw_lines(
                panels[1, column], chosen, styles, lambda row: row.peak_memory or np.nan, spread=False
            )
        panels[-1, column].set_xlabel("structures at once")
    panels[0, 0].set_ylabel("µs per atom")
    if with_memory:
        panels[1, 0].set_ylabel("peak memory (MiB)")
    handles = styles.handles()
    if teacher:
        name = next(iter(teacher.values())).student
        handles.append(Line2D([], [], color="black", linestyle="--", label=f"teacher, {name}"))
    figure.legend(handles=handles, loc="outside right upper", fontsize=SMALL)
    save_figure(figure, path)


def _draw_lines(
    axes: Axes,
    rows: Sequence[Measurement],
    styles: _Styles,
    value: Callable[[Measurement], float],
    spread: bool,
) -> None:
    for student in styles.colors:
        for name, marker in styles.markers.items():
            series = sorted(
                (row for row in rows if (row.student, row.format) == (student, name)),
                key=lambda row: row.batch,
            )
            x, y = [row.batch for row in series], np.array([value(row) for row in series])
            style = {"color": styles.colors[student], "marker": marker, "markersize": 4, "linewidth": 1}
            axes.plot(x, y, **style)
            if spread and series:
                axes.fill_between(
                    x,
                    [y_i * row.q25 / row.median for y_i, row in zip(y, series, strict=True)],
                    [y_i * row.q75 / row.median for y_i, row in zip(y, series, strict=True)],
                    color=styles.colors[student],
                    alpha=0.15,
                    linewidth=0,
                )
    batches = sorted({row.batch for row in rows})
    axes.set(xscale="log", yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(batches, [str(batch) for batch in batches], fontsize=SMALL)
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3, which="both")


def draw_accuracy_speed(report: BenchmarkReport, path: Path) -> None:
    """Force error against time at the smallest batch that was measured, one structure as a rule, for each structure.

    Args:
        report: With accuracies.
        path: PNG.
    """
    rows = [row for row in report.measurements if row.format != TEACHER]
    teacher = {row.system: row for row in report.measurements if row.format == TEACHER}
    systems = list(dict.fromkeys(row.system for row in rows))
    error = {(a.student, a.format): MEV * a.forces.mae for a in report.accuracies}
    styles = _Styles(rows)
    figure = new_figure(2.2 + 3.4 * len(systems), 3.6)
    panels = figure.subplots(1, len(systems), squeeze=False, sharey="row")[0]
    for axes, system in zip(panels, systems, strict=True):
        batch = min(row.batch for row in rows if row.system == system)
        chosen = [row for row in rows if row.system == system and row.batch == batch]
        for row in chosen:
            axes.plot(
                row.us_per_atom,
                error[row.student, row.format],
                color=styles.colors[row.student],
                marker=styles.markers[row.format],
                markersize=6,
                alpha=0.85,
            )
        # rounded: formats of one student differ by the rounding of float32, which is no advantage
        _draw_front(axes, [(row.us_per_atom, round(error[row.student, row.format], 1)) for row in chosen])
        if system in teacher:
            axes.axvline(teacher[system].us_per_atom, color="black", linestyle="--", linewidth=1)
        axes.set(xscale="log", xlabel=f"µs per atom, batch of {batch}")
        axes.set_title(system, fontsize=10)
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel("force MAE (meV/Å)")
    panels[0].set_ylim(0, 1.15 * max(error.values()))
    handles = [
        *styles.handles(),
        Line2D([], [], color="0.5", linewidth=1, label="no other is better in both"),
    ]
    if teacher:
        name = next(iter(teacher.values())).student
        handles.append(Line2D([], [], color="black", linestyle="--", label=f"teacher, {name}"))
    figure.legend(handles=handles, loc="outside right upper", fontsize=SMALL)
    n_structures = report.accuracies[0].n_structures
    figure.suptitle(
        f"errors on {n_structures} labelled structures, {report.environment['threads']} thread(s)",
        fontsize=10,
    )
    save_figure(figure, path)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of which no other is as good in both numbers and better in one; smaller is better. Sorted by the first."""
    front: list[tuple[float, float]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    front = np.array(pareto_front(points))
    axes.step(front[:, 0], front[:, 1], where="post", color="0.5", linewidth=1, zorder=0)
