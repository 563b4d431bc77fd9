"""Tables for the terminal. Energies in meV per atom, forces in meV/Å."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from mlff_distiller.units import MEV

if TYPE_CHECKING:  # printing a table needs none of the packages that made its numbers
    from mlff_distiller.data.runs import RunReport
    from mlff_distiller.data.statistics import DatasetStatistics
    from mlff_distiller.distill.run import StudentReport
    from mlff_distiller.evaluation.audit import Audit
    from mlff_distiller.evaluation.audit_files import AuditedRun
    from mlff_distiller.evaluation.metrics import EnergyErrors, ForceErrors
    from mlff_distiller.evaluation.nve import NVEReport
    from mlff_distiller.evaluation.parity import Agreement
    from mlff_distiller.export.artifact import Metadata


def run_table(report: RunReport) -> Table:
    """What a sampling or labelling run gave."""
    table = _table(
        f"{report.output}: {report.n_frames} frames in {report.seconds:.0f} s", ["frames", "count"]
    )
    for regime, count in report.frames_by_regime.items():
        table.add_row(regime or "unknown", str(count))
    for reason, count in report.failures.items():
        table.add_row(f"left out: {reason}", str(count))
    return table


def statistics_table(title: str, statistics: DatasetStatistics) -> Table:
    """The main numbers of a dataset."""
    table = _table(title, ["", "value"])
    rows = {
        "structures": statistics.n_structures,
        "atoms": statistics.n_atoms,
        "molecules": statistics.n_molecules,
        "elements": ", ".join(f"{symbol} {count}" for symbol, count in statistics.elements.items()),
        "regimes": ", ".join(f"{regime} {count}" for regime, count in statistics.regimes.items()),
        "force RMS": f"{statistics.force_rms:.3f} eV/Å",
        "largest force": f"{statistics.max_force:.2f} eV/Å (structure {statistics.max_force_structure})",
        "shortest distance": f"{statistics.min_distance:.3f} Å" if statistics.min_distance else "none",
        "periodic": f"{100 * statistics.periodic_fraction:.0f} %",
        "with stress": statistics.n_with_stress,
    }
    for key, value in rows.items():
        table.add_row(key, str(value))
    return table


def students_table(reports: Sequence[StudentReport]) -> Table:
    """Errors of finished students on the test molecules."""
    columns = ["student and frames", "MAE meV/Å", "RMSE meV/Å", "R²", "label RMS eV/Å", "energy MAE meV/atom"]
    unseen = all(report.unseen_molecules for report in reports)
    table = _table(
        "molecules never seen in training"
        if unseen
        else "test frames, of molecules that training saw or may have seen",
        columns,
    )
    for report in reports:
        test = report.test
        rows: Iterable[tuple[str, ForceErrors, EnergyErrors]] = [
            ("all", test.forces, test.energy),
            *(
                (r, test.forces_by_regime[r], test.energy_by_regime[r])
                for r in test.forces_by_regime
                if r.startswith("md")
            ),
        ]
        for regime, forces, energy in rows:
            cells = _force_cells(forces)[1:]
            table.add_row(f"{report.name} {regime}", *cells, f"{MEV * energy.mae:.2f}")
    return table


def models_table(models: Mapping[str, Metadata]) -> Table:
    """The shipped students."""
    columns = [
        "name",
        "parameters",
        "receptive field Å",
        "elements",
        "teacher",
        "300 K force MAE meV/Å",
        "300 K R²",
        "all frames R²",
    ]
    table = _table("shipped students (errors on molecules never seen in training)", columns)
    for name, metadata in models.items():
        forces = metadata.provenance.accuracy["test"]["forces"]
        warm = metadata.provenance.accuracy["test"]["forces_by_regime"]["md-300K"]
        table.add_row(
            name,
            f"{metadata.n_parameters:,}",
            f"{metadata.receptive_field:g}",
            " ".join(metadata.elements),
            metadata.provenance.teacher["teacher"],
            f"{MEV * warm['mae']:.1f}",
            f"{warm['r2']:.4f}",
            f"{forces['r2']:.4f}",
        )
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    return table


def _force_cells(errors: ForceErrors) -> list[str]:
    values = (
        f"{MEV * errors.mae:.1f}",
        f"{MEV * errors.rmse:.1f}",
        f"{errors.r2:.4f}",
        f"{errors.label_rms:.3f}",
    )
    return [str(errors.n_atoms), *values]


def agreement_table(model: str, found: Sequence[Agreement]) -> Table:
    """What `mlffd verify` found."""
    table = Table(
        "", "structures", "max |ΔE| eV/atom", "max |ΔF| eV/Å", "max |Δstress| eV/Å³", "worst", "", title=model
    )
    for row in found:
        if row.missing is not None:
            table.add_row(row.name, "", "", "", "", "", "not installed")
            continue
        if row.failed is not None:
            table.add_row(row.name, "", "", "", "", "", Text("FAILED", "bold red"))
            continue
        stress = "" if row.stress is None else f"{row.stress:.1e}"
        verdict = "agrees" if row.acceptable else Text("DISAGREES", "bold red")
        table.add_row(
            row.name,
            str(row.n_structures),
            f"{row.energy:.1e}",
            f"{row.forces:.1e}",
            stress,
            row.worst,
            verdict,
        )
    return table


def nve_table(title: str, report: NVEReport) -> Table:
    """What `mlffd nve` found."""
    table = Table("quantity", "value", title=title)
    drift, bonds = report.drift, report.trajectory
    table.add_row("length", f"{report.picoseconds:g} ps, {report.n_atoms} atoms, {report.temperature:.0f} K")
    table.add_row("drift", f"{drift.slope:+.4f} ± {drift.standard_error:.4f} meV/atom/ns")
    table.add_row("", f"{report.drift_kt:+.2e} kT/degree of freedom/ns")
    table.add_row("RMS fluctuation", f"{drift.rms_fluctuation:.4f} meV/atom")
    if report.order is not None:
        spread = ", ".join(f"{dt:g} fs: {value:.4f}" for dt, value in report.fluctuations.items())
        table.add_row("by time step", f"{spread} meV/atom; order {report.order:.2f} (2 is right)")
    state = Text("intact") if bonds.intact else Text("BROKEN", "bold red")
    table.add_row("bonds", Text.assemble(state, f", off by {bonds.bond_deviation.max():.2f} Å"))
    if bonds.rmsd.size:
        table.add_row("RMSD at the end", f"{bonds.rmsd[-1]:.2f} Å")
    table.add_row("grade", report.grade)
    return table


def audit_table(audit: Audit, run: AuditedRun) -> Table:
    """What `mlffd audit` found."""
    table = _table(f"{run.model} against {run.teacher.name}, {run.trajectory}", ["quantity", "value"])
    n_audited, forces = len(audit.labels) + len(audit.failures), audit.forces
    stopped = f"; reading stopped: {run.stopped}" if run.stopped else ""
    rows = {
        "frames": f"{n_audited} of {run.n_read}{stopped}",
        "could not be evaluated": f"{len(audit.failures)}",
        "force MAE, RMSE": f"{MEV * forces.mae:.1f}, {MEV * forces.rmse:.1f} meV/Å",
        "force R²": f"{forces.r2:.4f}",
        "largest |ΔF|": f"{MEV * audit.errors.force_max.max():.0f} meV/Å",
        "energy MAE, relative to the mean": f"{MEV * audit.energy_mae:.2f} meV/atom",
        f"held-out RMSE, {audit.regime.regime}": f"{MEV * audit.regime.force_rmse:.1f} meV/Å",
        "flagged": f"{len(audit.flags)} of {n_audited}, beyond {MEV * audit.threshold:.0f} meV/Å or a limit of the training data",
        "first flagged": f"frame {next(iter(audit.flags))}" if audit.flags else "none",
    }
    own = run.metadata.provenance.teacher.get("teacher")
    if own not in (None, run.teacher.name):
        rows["note"] = f"the student was distilled from {own}: the errors hold how the two teachers differ"
    for name, value in rows.items():
        table.add_row(name, value)
    return table
