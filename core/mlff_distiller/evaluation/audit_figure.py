"""The picture of an audit: errors, largest forces and shortest distances along the trajectory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from mlff_distiller.evaluation.audit import Audit
from mlff_distiller.evaluation.plots import new_figure, save_figure
from mlff_distiller.units import MEV

NEAR = (
    3.0  # a limit further than this factor from what was seen is named, not drawn: it would flatten the curve
)
FLAGGED = {"color": "tab:red", "marker": "o", "markersize": 4, "linestyle": "none"}


def draw_audit(audit: Audit, title: str, path: Path) -> None:
    """Four panels against the number of the frame; flagged frames are red.

    Args:
        audit: What to draw.
        title: Above the figure.
        path: PNG.
    """
    figure = new_figure(8.5, 6.0)
    figure.suptitle(title, fontsize=11)
    (rmse, energy), (force, distance) = figure.subplots(2, 2, sharex=True)
    _draw_force_error(rmse, audit)
    _draw_energy_error(energy, audit)
    _draw_largest_force(force, audit)
    _draw_distance(distance, audit)
    for axes in (rmse, energy, force, distance):
        axes.grid(alpha=0.3)
        for number in audit.failures:
            axes.axvline(number, color="tab:red", alpha=0.3, linewidth=1)
    for axes in (force, distance):
        axes.set_xlabel("frame of the trajectory")
    save_figure(figure, path)


def _draw_force_error(axes: Axes, audit: Audit) -> None:
    values = MEV * audit.errors.force_rmse
    axes.plot(audit.errors.frame, values, ".-", linewidth=0.8, markersize=3)
    _mark_flagged(axes, audit, values)
    held_out = MEV * audit.regime.force_rmse
    axes.axhline(held_out, color="0.4", linestyle=":", label=f"held out, {audit.regime.regime}")
    axes.axhline(MEV * audit.threshold, color="0.2", linestyle="--", label=f"{audit.factor:g} × held out")
    axes.set(ylabel="force RMSE (meV/Å)", ylim=(0, None))
    axes.legend(fontsize=8)


def _draw_energy_error(axes: Axes, audit: Audit) -> None:
    values = MEV * audit.errors.energy
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.plot(audit.errors.frame, values, ".-", linewidth=0.8, markersize=3)
    _mark_flagged(axes, audit, values)
    axes.set(ylabel="energy error from its mean\n(meV/atom)")


def _draw_largest_force(axes: Axes, audit: Audit) -> None:
    errors = audit.errors
    axes.plot(errors.frame, errors.teacher_max_force, "-", linewidth=1.0, label="teacher")
    axes.plot(errors.frame, errors.student_max_force, "--", linewidth=1.0, label="student")
    _mark_flagged(axes, audit, errors.teacher_max_force)
    highest = max(errors.teacher_max_force.max(), errors.student_max_force.max())
    axes.set(ylabel="largest |F| (eV/Å)", ylim=(0, 1.25 * highest))  # room for the legend
    limit = audit.limits.max_force
    if limit < NEAR * errors.teacher_max_force.max():
        axes.axhline(limit, color="0.2", linestyle=":", label="allowed by the filters")
    else:
        axes.set_title(f"the filters allow {limit:g} eV/Å", fontsize=9)
    axes.legend(fontsize=8, ncols=3, loc="upper right")


def _draw_distance(axes: Axes, audit: Audit) -> None:
    distances = audit.errors.min_distance
    axes.plot(audit.errors.frame, distances, "-", linewidth=1.0)
    _mark_flagged(axes, audit, distances)
    axes.set(ylabel="shortest distance (Å)")
    limit = audit.limits.min_distance
    if limit * 1.2 > distances.min():
        axes.axhline(limit, color="0.2", linestyle=":", label="allowed by the filters")
        axes.legend(fontsize=8)
    else:
        axes.set_title(f"the filters allow {limit:g} Å", fontsize=9)


def _mark_flagged(axes: Axes, audit: Audit, values: np.ndarray) -> None:
    flagged = np.isin(audit.errors.frame, list(audit.flags))
    axes.plot(audit.errors.frame[flagged], values[flagged], **FLAGGED)
