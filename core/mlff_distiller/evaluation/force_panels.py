"""Panels of the force analysis that show atoms: parity, errors, directions, and what they depend on."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from mlff_distiller.evaluation.force_analysis import NEIGHBOR_RADIUS, ForceAnalysis, parity_pairs
from mlff_distiller.evaluation.force_style import (
    colored,
    draw_dependence,
    draw_parity_points,
    is_small,
    make_logarithmic,
    write_r_squared,
    write_values,
)
from mlff_distiller.units import MEV

SYMBOLS = {"x": "$F_x$", "y": "$F_y$", "z": "$F_z$", "magnitude": "$|F|$"}
DENSITY_CELLS = 60  # hexagons across a parity panel
CENTRAL = 99.5  # percent of the component errors that the histogram shows
TICK_PERCENTILES = (50, 90, 99, 99.9, 99.99)


def draw_parity(axes: Axes, analysis: ForceAnalysis, quantity: str) -> ScalarMappable | None:
    """Student against teacher: density for one student, points for several or few atoms. Beyond the axes means at the edge.

    Returns:
        What a colour bar can be made from; None for points.
    """
    pairs = [parity_pairs(student.forces)[quantity] for student in analysis.students]
    limit = 1.05 * max(float(np.abs(pairs[0][0]).max()), 1e-3)
    low = 0.0 if quantity == "magnitude" else -limit
    axes.plot([low, limit], [low, limit], color="0.6", linewidth=0.8, zorder=0)
    density = None
    if len(pairs) == 1 and not is_small(analysis):
        x, y = pairs[0]
        density = axes.hexbin(
            x,
            np.clip(y, low, limit),
            gridsize=DENSITY_CELLS,
            extent=(low, limit, low, limit),
            norm=LogNorm(1),
            cmap="viridis",
            mincnt=1,
            linewidths=0.1,
            rasterized=True,
        )
    else:
        draw_parity_points(axes, analysis, pairs, (low, limit))
    write_r_squared(axes, analysis, pairs)
    axes.set(xlim=(low, limit), ylim=(low, limit), aspect="equal")
    axes.set_xlabel(f"teacher {SYMBOLS[quantity]} (eV/Å)")
    axes.set_ylabel(f"student {SYMBOLS[quantity]} (eV/Å)")
    axes.locator_params(nbins=4)
    return density


def draw_error_histogram(axes: Axes, analysis: ForceAnalysis) -> None:
    """Distribution of the components' errors: its central `CENTRAL` percent."""
    limit = max(np.percentile(np.abs(student.forces.error), CENTRAL) for student in analysis.students)
    bins = np.linspace(-MEV * max(limit, 1e-6), MEV * max(limit, 1e-6), 61)
    for student, color in colored(analysis):
        errors = MEV * student.forces.error.ravel()
        weights = np.full(len(errors), 100 / len(errors))
        axes.hist(errors, bins.tolist(), weights=weights, color=color, histtype="step")
        if len(analysis.students) == 1:
            axes.hist(errors, bins.tolist(), weights=weights, color=color, alpha=0.25)
    make_logarithmic(axes, "y")
    axes.locator_params(axis="x", nbins=3)
    axes.set(xlabel="ΔF of a component (meV/Å)", ylabel="share (%)", xlim=(bins[0], bins[-1]))


def draw_cumulative(axes: Axes, analysis: ForceAnalysis) -> None:
    """|ΔF| below which a percentage of the atoms lies; the tail is stretched, each tick has a tenth of the one before."""
    for student, color in colored(analysis):
        error = np.sort(MEV * student.forces.error_norm)
        above = 1 - np.arange(len(error)) / len(error)  # share of atoms with at least this error
        axes.plot(error, above, color=color)
    make_logarithmic(axes, "x")
    axes.set_yscale("log")
    axes.invert_yaxis()
    shown = [p for p in TICK_PERCENTILES if 100 - p >= 100 / len(analysis.dataset.atomic_numbers)]
    axes.set_yticks([1 - p / 100 for p in shown], [f"{p:g}" for p in shown])
    axes.minorticks_off()
    if len(analysis.students) == 1:
        norm = MEV * analysis.students[0].forces.error_norm
        texts = [(f"{p:g} %: {np.percentile(norm, p):.0f} meV/Å", "black") for p in (99, 95, 90, 50)]
        write_values(axes, texts)
    axes.set(xlabel="|ΔF| (meV/Å)", ylabel="percentile of atoms")


def draw_angle_histogram(axes: Axes, analysis: ForceAnalysis) -> None:
    """Distribution of the angle between the forces, on a logarithmic axis; the dotted line is its median."""
    bins = np.geomspace(0.1, 180, 41)
    for student, color in colored(analysis):
        angle = student.forces.angle[np.isfinite(student.forces.angle)]
        if len(angle) == 0:
            continue
        weights = np.full(len(angle), 100 / len(angle))
        axes.hist(np.clip(angle, bins[0], None), bins.tolist(), weights=weights, color=color, histtype="step")
        axes.axvline(max(float(np.median(angle)), bins[0]), color=color, linestyle=":", linewidth=0.9)
    make_logarithmic(axes, "x")
    axes.set(xlabel="angle of F̂ to F (°)", ylabel="share of atoms (%)", xlim=(bins[0], bins[-1]))


def draw_angle_by_magnitude(axes: Axes, analysis: ForceAnalysis) -> None:
    """The angle against |F|."""
    x = analysis.students[0].forces.reference_norm
    draw_dependence(axes, analysis, x, [student.forces.angle for student in analysis.students])
    make_logarithmic(axes, "x")
    axes.set(xlabel="teacher |F| (eV/Å)", ylabel="angle of F̂ to F (°)")


def draw_error_by_magnitude(axes: Axes, analysis: ForceAnalysis) -> None:
    """|ΔF| against |F|."""
    x = analysis.students[0].forces.reference_norm
    draw_dependence(axes, analysis, x, [MEV * student.forces.error_norm for student in analysis.students])
    make_logarithmic(axes, "x")
    axes.set(xlabel="teacher |F| (eV/Å)", ylabel="|ΔF| (meV/Å)")


def draw_error_by_density(axes: Axes, analysis: ForceAnalysis) -> None:
    """|ΔF| against the number of neighbours."""
    errors = [MEV * student.forces.error_norm for student in analysis.students]
    draw_dependence(axes, analysis, analysis.n_neighbors, errors)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set(xlabel=f"neighbours within {NEIGHBOR_RADIUS:g} Å", ylabel="|ΔF| (meV/Å)")
