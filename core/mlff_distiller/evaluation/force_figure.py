"""The force analysis as one page: fourteen panels, as PNG and PDF."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.evaluation.force_analysis import ForceAnalysis, structure_rmse
from mlff_distiller.evaluation.force_comparison import force_metrics
from mlff_distiller.evaluation.force_panels import (
    draw_angle_by_magnitude,
    draw_angle_histogram,
    draw_cumulative,
    draw_error_by_density,
    draw_error_by_magnitude,
    draw_error_histogram,
    draw_parity,
)
from mlff_distiller.evaluation.force_style import STYLE, colored, is_small, short_name
from mlff_distiller.evaluation.molecule_drawing import draw_structure
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.evaluation.structure_panels import draw_elements, draw_energies, draw_ranking
from mlff_distiller.units import MEV

WIDTH, HEIGHT = 7.2, 8.6  # inches: the text of a page
RESOLUTION = 300  # dots per inch of the PNG
MAX_DRAWN = 80  # atoms; of a larger structure the surroundings of its worst atom are drawn
SURROUNDINGS = 6.0  # Å
N_NOTES = 3  # atoms with a note
STUDENTS_IN_LINE = 2  # of the legend
LINE_HEIGHT = 0.09  # of the legend, in heights of a row of panels


def write_figure(analysis: ForceAnalysis, paths: Iterable[Path]) -> None:
    """Draw the analysis and write it to each path, in the format of its suffix."""
    with matplotlib.rc_context(STYLE):
        figure = draw_force_analysis(analysis)
        for path in paths:
            content = io.BytesIO()
            figure.savefig(content, format=path.suffix[1:], dpi=RESOLUTION)
            replace_file(path, [content.getvalue()])


def draw_force_analysis(analysis: ForceAnalysis) -> Figure:
    """Fourteen panels, lettered a to n; each row is laid out for itself, since its labels need their own room."""
    figure = new_figure(WIDTH, HEIGHT)
    n_lines = 2 + math.ceil(len(analysis.students) / STUDENTS_IN_LINE)
    heights = (LINE_HEIGHT * n_lines, 1.05, 1.0, 1.05, 1.2)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    header, *rows = [figure.add_subfigure(grid[k]) for k in range(len(heights))]
    _draw_header(header, analysis)
    titled = [
        *_draw_parities(rows[0], analysis),
        *_draw_errors(rows[1], analysis),
        *_draw_dependences(rows[2], analysis),
        *_draw_worst_structures(rows[3], analysis),
    ]
    for letter, (title, axes) in zip("abcdefghijklmn", titled, strict=True):
        axes.set_title(rf"$\bf{{{letter}}}$  {title}")
    return figure


Titled = list[tuple[str, Axes]]  # panels with their titles


def _draw_header(part: SubFigure, analysis: ForceAnalysis) -> None:
    n_structures, n_atoms = len(analysis.dataset), len(analysis.dataset.atomic_numbers)
    handles = []
    for student, color in colored(analysis):
        metrics = force_metrics(student.forces)
        text = f"{short_name(student)}: MAE {MEV * metrics.mae:.1f} meV/Å, R² {metrics.r2:.4f}"
        handles.append(Line2D([], [], color=color, linewidth=3, label=text))
    title = (
        f"against {analysis.reference}; structures: {n_structures:,}, atoms: {n_atoms:,}\n{_key(analysis)}"
    )
    legend = part.legend(
        handles=handles, title=title, loc="center", ncols=min(len(handles), STUDENTS_IN_LINE)
    )
    legend.get_title().set_multialignment("center")


def _key(analysis: ForceAnalysis) -> str:
    """What lines mean."""
    if is_small(analysis):
        curves = "one point per atom"
    elif len(analysis.students) == 1:
        curves = "median; shaded: 10th to 90th percentile"
    else:
        curves = "median; dashed: 90th percentile"
    return f"h, j, k: {curves}. g, m: dotted: median of all"


def _draw_parities(part: SubFigure, analysis: ForceAnalysis) -> Titled:
    quantities = ("x", "y", "z", "magnitude")
    panels = part.subplots(1, 4)
    densities = [draw_parity(axes, analysis, q) for axes, q in zip(panels, quantities, strict=True)]
    drawn = [density for density in densities if density is not None]
    if drawn:
        most = max(float(np.max(np.asarray(density.get_array()))) for density in drawn)
        for density in drawn:
            density.set_norm(LogNorm(1, max(most, 2)))
        bar = part.colorbar(drawn[0], ax=panels, location="right", aspect=16, shrink=0.72, pad=0.01)
        bar.set_label("atoms per cell")
    return [(f"force, {q}", axes) for axes, q in zip(panels, quantities, strict=True)]


def _draw_errors(part: SubFigure, analysis: ForceAnalysis) -> Titled:
    panels = part.subplots(1, 4)
    draw_error_histogram(panels[0], analysis)
    draw_cumulative(panels[1], analysis)
    draw_angle_histogram(panels[2], analysis)
    draw_angle_by_magnitude(panels[3], analysis)
    titles = ("component errors", "percentiles of |ΔF|", "angular error", "angle against |F|")
    return list(zip(titles, panels, strict=True))


def _draw_dependences(part: SubFigure, analysis: ForceAnalysis) -> Titled:
    grid = part.add_gridspec(1, 4, width_ratios=(1.5, 1, 1, 1))
    halves = grid[0].subgridspec(2, 1, height_ratios=(1.4, 1))
    above = part.add_subplot(halves[0])
    draw_elements(above, part.add_subplot(halves[1], sharex=above), analysis)
    panels = [part.add_subplot(cell) for cell in (grid[1], grid[2], grid[3])]
    draw_error_by_magnitude(panels[0], analysis)
    draw_error_by_density(panels[1], analysis)
    draw_energies(panels[2], analysis)
    titles = ("errors by element", "error against |F|", "error against density", "energy per atom")
    return list(zip(titles, [above, *panels], strict=True))


def _draw_worst_structures(part: SubFigure, analysis: ForceAnalysis) -> Titled:
    ranking, worst = part.subplots(1, 2)
    draw_ranking(ranking, analysis)
    index = _worst_structure(analysis)
    _draw_worst(worst, analysis, index)
    whose = f" of {short_name(analysis.students[0])}" if len(analysis.students) > 1 else ""
    return [
        (f"worst structures{whose}", ranking),
        (f"worst atoms{whose}, in #{analysis.numbers[index]}", worst),
    ]


def _worst_structure(analysis: ForceAnalysis) -> int:
    return int(np.argmax(structure_rmse(analysis.dataset, analysis.students[0].forces)))


def _draw_worst(axes: Axes, analysis: ForceAnalysis, index: int) -> None:
    """A structure, atoms coloured by the first student's |ΔF|, the worst of them with a note."""
    rows = slice(analysis.dataset.splits[index], analysis.dataset.splits[index + 1])
    atoms, error = analysis.dataset.atoms(index), MEV * analysis.students[0].forces.error_norm[rows]
    shown = _shown_atoms(atoms, int(error.argmax()))
    worst = sorted(range(len(shown)), key=lambda k: -error[shown[k]])[:N_NOTES]
    notes = [(k, f"{atoms.symbols[shown[k]]}{shown[k]}: {error[shown[k]]:.0f} meV/Å") for k in worst]
    colors = draw_structure(axes, atoms[shown], error[shown], notes, matplotlib.colormaps["YlOrRd"])
    bar = axes.figure.colorbar(colors, ax=axes, location="left", aspect=18, shrink=0.8, pad=0.02)
    bar.set_label("|ΔF| (meV/Å)")


def _shown_atoms(atoms: Atoms, worst: int) -> np.ndarray:
    """All atoms, or of a large structure those around the worst one; indices."""
    if len(atoms) <= MAX_DRAWN:
        return np.arange(len(atoms))
    distances = np.linalg.norm(atoms.positions - atoms.positions[worst], axis=1)
    return np.argsort(distances, kind="stable")[: min(MAX_DRAWN, np.count_nonzero(distances < SURROUNDINGS))]
