"""Tables of ``mlffd evaluate`` and ``mlffd analyze`` for the terminal. Energies in meV per atom, forces in meV/Å."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from rich.table import Table

from mlff_distiller.evaluation.energy_metrics import EnergyMetrics
from mlff_distiller.evaluation.force_analysis import ForceAnalysis
from mlff_distiller.evaluation.force_comparison import ForceMetrics, force_metrics
from mlff_distiller.evaluation.report import EvaluationReport
from mlff_distiller.units import MEV

FORCE_COLUMNS = ("atoms", "MAE", "RMSE", "R²", "label RMS", "|F| MAE")
VECTOR_COLUMNS = ("angle", "cosine", "50 %", "90 %", "95 %", "99 %", "max")
ENERGY_COLUMNS = (
    "frames",
    "MAE",
    "RMSE",
    "MAE fitted",
    "RMSE fitted",
    "MAE in mol.",
    "RMSE in mol.",
)

Metrics = TypeVar("Metrics", ForceMetrics, EnergyMetrics)


def evaluation_tables(evaluation: EvaluationReport) -> list[Table]:
    """Force errors, their percentiles, and energy errors; one section for each kind of group."""
    against = f"{evaluation.predicted} against {evaluation.reference}"
    forces = evaluation.forces
    return [
        _grouped(f"{against}: forces, meV/Å", FORCE_COLUMNS, forces, _force_cells),
        _grouped(
            f"{against}: directions, and percentiles of |ΔF| in meV/Å", VECTOR_COLUMNS, forces, _vector_cells
        ),
        _grouped(f"{against}: energies, meV/atom", ENERGY_COLUMNS, evaluation.energies, _energy_cells),
    ]


def analysis_table(analysis: ForceAnalysis) -> Table:
    """The main numbers of each student."""
    table = Table(
        "", *FORCE_COLUMNS, title=f"forces against {analysis.reference}, meV/Å", title_justify="left"
    )
    for student in analysis.students:
        table.add_row(student.name, *_force_cells(force_metrics(student.forces)))
    return table


def _grouped(
    title: str,
    columns: tuple[str, ...],
    kinds: Mapping[str, Mapping[str, Metrics]],
    cells: Callable[[Metrics], list[str]],
) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("group", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    for groups in kinds.values():
        for name, metrics in groups.items():
            table.add_row(name, *cells(metrics))
        table.add_section()
    return table


def _force_cells(metrics: ForceMetrics) -> list[str]:
    return [
        str(metrics.n_atoms),
        f"{MEV * metrics.mae:.1f}",
        f"{MEV * metrics.rmse:.1f}",
        f"{metrics.r2:.4f}",
        f"{MEV * metrics.label_rms:.0f}",
        f"{MEV * metrics.magnitude_mae:.1f}",
    ]


def _vector_cells(metrics: ForceMetrics) -> list[str]:
    values = (metrics.p50, metrics.p90, metrics.p95, metrics.p99, metrics.max)
    return [
        "" if metrics.angle_mean is None else f"{metrics.angle_mean:.1f}°",
        "" if metrics.cosine is None else f"{metrics.cosine:.4f}",
        *(f"{MEV * value:.0f}" for value in values),
    ]


def _energy_cells(metrics: EnergyMetrics) -> list[str]:
    values = (
        metrics.mae,
        metrics.rmse,
        metrics.mae_fitted,
        metrics.rmse_fitted,
        metrics.mae_shifted,
        metrics.rmse_shifted,
    )
    return [str(metrics.n_structures), *("" if value is None else f"{MEV * value:.2f}" for value in values)]
