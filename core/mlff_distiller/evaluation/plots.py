"""Plots in one house style: force parity, energies of a run at constant energy, and what else such a run shows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.constant_energy import EnergyTrace
from mlff_distiller.evaluation.drift import FS_PER_NS, Drift
from mlff_distiller.evaluation.metrics import ForceErrors
from mlff_distiller.evaluation.nve import NVEReport
from mlff_distiller.evaluation.trajectory import BROKEN
from mlff_distiller.units import MEV


def new_figure(width: float, height: float) -> Figure:
    """A figure that needs no display and changes no global state of matplotlib; inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix; an older file stays until the new one is complete.

    Raises:
        OutputError: The file cannot be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=150)
    replace_file(path, [content.getbuffer()])


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
    save_figure(figure, path)


def draw_drift(trace: EnergyTrace, drift: Drift, path: Path) -> None:
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
    save_figure(figure, path)


RadialDistribution = tuple[np.ndarray, np.ndarray]  # r (Å) and g


def draw_nve(
    report: NVEReport, title: str, path: Path, distributions: Mapping[str, RadialDistribution] | None = None
) -> None:
    """Total energy with its drift, fluctuation against time step where steps were compared, bonds, and RMSD or g(r).

    Args:
        report: What to draw.
        title: Above the figure.
        path: PNG.
        distributions: g(r) by label, drawn instead of the RMSD.
    """
    figure = new_figure(8.5, 6.0)
    figure.suptitle(title, fontsize=11)
    panels = figure.subplot_mosaic("es;br" if report.fluctuations else "ee;br")
    bonds, structure = panels["b"], panels["r"]
    _draw_total_energy(panels["e"], report)
    if report.fluctuations:
        _draw_scaling(panels["s"], report)
    time = np.linspace(0, report.picoseconds, report.trajectory.n_frames)
    bonds.plot(time, report.trajectory.bond_deviation, linewidth=0.8)
    bonds.axhline(BROKEN, color="0.4", linestyle="--", linewidth=1)
    bonds.set(xlabel="time (ps)", ylabel="largest change of a bond (Å)", ylim=(0, None))
    if distributions:
        for style, (label, (r, g)) in zip(("-", "--", ":"), distributions.items(), strict=False):
            structure.plot(r, g, style, label=label, linewidth=1.2)
        structure.set(xlabel="r (Å)", ylabel="g(r)")
        structure.legend(fontsize=8)
    else:
        structure.plot(time[: report.trajectory.rmsd.size], report.trajectory.rmsd, linewidth=0.8)
        structure.set(xlabel="time (ps)", ylabel="RMSD from the start (Å)", ylim=(0, None))
    for axes in panels.values():
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def _draw_total_energy(axes: Axes, report: NVEReport) -> None:
    time = report.trace.time / 1000
    total = MEV * (report.trace.total - report.trace.total.mean()) / report.n_atoms
    axes.plot(time, total, linewidth=0.5)
    slope = report.drift.slope * (report.trace.time - report.trace.time.mean()) / FS_PER_NS
    axes.plot(time, slope, color="black", linewidth=1.2)
    axes.set(xlabel="time (ps)", ylabel="total energy (meV/atom)")
    axes.set_title(
        f"drift {report.drift.slope:+.3f} ± {report.drift.standard_error:.3f} meV/atom/ns: {report.grade}",
        fontsize=9,
    )


def _draw_scaling(axes: Axes, report: NVEReport) -> None:
    steps, values = np.array(list(report.fluctuations)), np.array(list(report.fluctuations.values()))
    axes.loglog(steps, values, "o-", label=f"measured, order {report.order:.2f}")
    axes.loglog(steps, values[0] * (steps / steps[0]) ** 2, ":", color="0.4", label="order 2")
    axes.set(xlabel="time step (fs)", ylabel="RMS fluctuation (meV/atom)")
    axes.set_xticks(steps, [f"{step:g}" for step in steps])
    axes.minorticks_off()
    axes.legend(fontsize=8)
