"""Plots in one house style: force parity, and energies of a run at constant energy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlff_distiller.evaluation.drift import Drift, EnergyTrace
from mlff_distiller.evaluation.metrics import ForceErrors
from mlff_distiller.units import MEV


def new_figure(width: float, height: float) -> Figure:
    """A figure that needs no display and changes no global state of matplotlib; inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_force_parity(labels: np.ndarray, predicted: np.ndarray, errors: ForceErrors, path: Path) -> None:
    """Predicted against labelled force components; both (A, 3) eV/Å."""
    figure = new_figure(4.2, 4.0)
    axes = figure.subplots()
    limit = 1.05 * float(np.abs(labels).max())
    axes.plot([-limit, limit], [-limit, limit], color="0.6", linewidth=1, zorder=0)
    axes.plot(labels.ravel(), predicted.ravel(), ".", markersize=2, alpha=0.4, rasterized=True)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.set_xlabel("teacher's force component (eV/Å)")
    axes.set_ylabel("student's force component (eV/Å)")
    axes.set_title(
        f"R² {errors.r2:.4f}, MAE {MEV * errors.mae:.0f} meV/Å, {errors.n_atoms} atoms", fontsize=10
    )
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def draw_energies(trace: EnergyTrace, drift: Drift, path: Path) -> None:
    """Potential and total energy of a run, each from its own start, with the fitted drift."""
    figure = new_figure(6.5, 4.0)
    above, below = figure.subplots(2, 1, sharex=True)
    picoseconds = trace.time / 1000
    above.plot(picoseconds, MEV * (trace.potential - trace.potential[0]) / trace.n_atoms, linewidth=0.8)
    above.set_ylabel("potential energy\n(meV/atom)")
    below.plot(picoseconds, MEV * (trace.total - trace.total[0]) / trace.n_atoms, linewidth=0.8)
    below.set_ylabel("total energy\n(meV/atom)")
    below.set_xlabel("time (ps)")
    below.set_title(f"drift {drift.slope:+.2f} ± {drift.standard_error:.2f} meV/atom/ns", fontsize=10)
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
