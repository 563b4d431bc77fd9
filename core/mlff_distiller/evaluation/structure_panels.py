"""Panels of the force analysis that show elements and structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes

from mlff_distiller.evaluation.energy_metrics import energy_error_per_atom
from mlff_distiller.evaluation.force_analysis import (
    ForceAnalysis,
    relative_energies,
    structure_formula,
    structure_rmse,
)
from mlff_distiller.evaluation.force_style import colored, draw_parity_points, short_name, write_r_squared
from mlff_distiller.evaluation.metrics import known_regimes
from mlff_distiller.units import MEV

N_RANKED = 8  # structures in the ranking
BAR = 0.8  # width of a group of bars


def draw_elements(above: Axes, below: Axes, analysis: ForceAnalysis) -> None:
    """MAE (full) and RMSE (pale) of the components, and below the mean angle, by element."""
    numbers = np.unique(analysis.dataset.atomic_numbers)
    members = [analysis.dataset.atomic_numbers == z for z in numbers]
    for k, (student, color) in enumerate(colored(analysis)):
        x, width = _bar_positions(len(numbers), k, len(analysis.students))
        error, angle = student.forces.error, student.forces.angle
        rmse = [MEV * np.sqrt((error[of] ** 2).mean()) for of in members]
        above.bar(x, rmse, width, color=color, alpha=0.35)
        above.bar(x, [MEV * np.abs(error[of]).mean() for of in members], width, color=color)
        below.bar(x, [_mean_of_finite(angle[of]) for of in members], width, color=color)
    above.tick_params(labelbottom=False, bottom=False)
    below.set_xticks(range(len(numbers)), [chemical_symbols[z] for z in numbers])
    above.set_ylabel("MAE, RMSE\n(meV/Å)")
    below.set_ylabel("angle\n(°)")
    for axes in (above, below):
        axes.grid(axis="x", visible=False)
        axes.locator_params(axis="y", nbins=3)


def _bar_positions(n_groups: int, k: int, n_students: int) -> tuple[np.ndarray, float]:
    width = BAR / n_students
    return np.arange(n_groups) + (k - (n_students - 1) / 2) * width, width


def _mean_of_finite(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0


def draw_energies(axes: Axes, analysis: ForceAnalysis) -> None:
    """Parity of energies relative to the molecule's mean; errors per atom where no molecule has two structures."""
    reference = MEV * relative_energies(analysis.dataset, analysis.dataset.energy)
    known = np.isfinite(reference)
    if not known.any():
        return _draw_energy_errors(axes, analysis)
    limits = _padded(reference[known])
    axes.plot(limits, limits, color="0.6", linewidth=0.8, zorder=0)
    pairs = [
        (reference[known], MEV * relative_energies(analysis.dataset, student.energy)[known])
        for student in analysis.students
    ]
    draw_parity_points(axes, analysis, pairs, limits)
    write_r_squared(axes, analysis, pairs)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set(xlabel="teacher E (meV/atom)", ylabel="student E (meV/atom)")
    axes.locator_params(nbins=4)
    return None


def _draw_energy_errors(axes: Axes, analysis: ForceAnalysis) -> None:
    names = [short_name(student) for student in analysis.students]
    for k, (student, color) in enumerate(colored(analysis)):
        error = np.abs(MEV * energy_error_per_atom(analysis.dataset, student.energy))
        axes.bar(k, error.mean(), BAR, color=color)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="energy MAE (meV/atom)")
    axes.grid(axis="x", visible=False)


def _padded(values: np.ndarray) -> tuple[float, float]:
    margin = max(0.05 * float(np.ptp(values)), 1e-3)
    return float(values.min()) - margin, float(values.max()) + margin


def draw_ranking(axes: Axes, analysis: ForceAnalysis) -> None:
    """Force RMSE of the structures that are the first student's worst; the dotted line is the median of all structures."""
    errors = [MEV * structure_rmse(analysis.dataset, student.forces) for student in analysis.students]
    ranked = np.argsort(-errors[0], kind="stable")[:N_RANKED]
    for k, (_, color) in enumerate(colored(analysis)):
        y, height = _bar_positions(len(ranked), k, len(analysis.students))
        axes.barh(y, errors[k][ranked], height, color=color)
        axes.axvline(float(np.median(errors[k])), color=color, linestyle=":", linewidth=0.9)
    axes.set_yticks(range(len(ranked)), _structure_names(analysis, ranked.tolist()))
    axes.invert_yaxis()
    axes.set_xlabel("force RMSE of the structure (meV/Å)")
    axes.grid(axis="y", visible=False)


def _structure_names(analysis: ForceAnalysis, structures: Sequence[int]) -> list[str]:
    regimes = known_regimes(analysis.dataset)
    named = {s: "" if regimes[s] == "unknown" else f" {regimes[s]}" for s in structures}
    return [
        f"{structure_formula(analysis.dataset, s)}{regime} #{analysis.numbers[s]}"
        for s, regime in named.items()
    ]
