"""Evidence from a run at constant energy: the drift of the energy, its dependence on the time step, and whether bonds hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from mlff_distiller.constant_energy import LINEAR, EnergyTrace, NVESettings, inertia_tensor
from mlff_distiller.engines import Engine
from mlff_distiller.errors import StructureError
from mlff_distiller.evaluation.drift import Drift, fit_drift
from mlff_distiller.evaluation.trajectory import TrajectoryReport, analyse_trajectory
from mlff_distiller.units import MEV

GRADES = ((0.1, "excellent"), (1.0, "good"), (10.0, "usable"))  # |drift| in meV/atom/ns
SCALING_TIME = 2000.0  # fs of each run that measures the dependence on the time step
SCALING_FACTORS = (0.5, 1.0, 2.0)

Report = Callable[[str, int, int], None]  # what runs, steps done, steps in all


@dataclass(frozen=True)
class NVEReport:
    """What a run at constant energy says.

    Attributes:
        n_atoms: N.
        picoseconds: Length of the run.
        drift: Slope of the total energy with its standard error, and the fluctuation around it.
        drift_kt: The slope in kT per degree of freedom and ns, at the run's own mean temperature.
        temperature: K, mean of the run.
        grade: Of |drift|; see `grade`.
        fluctuations: RMS fluctuation of the total energy, meV/atom, by time step in fs; empty where not measured.
        order: Fitted power of the time step in the fluctuation; velocity Verlet on smooth forces has 2.
        trace: The energies.
        trajectory: Bonds and RMSD.
    """

    n_atoms: int
    picoseconds: float
    drift: Drift
    drift_kt: float
    temperature: float
    grade: str
    fluctuations: dict[float, float]
    order: float | None
    trace: EnergyTrace
    trajectory: TrajectoryReport

    def to_dict(self) -> dict[str, Any]:
        """For JSON: numbers, no arrays."""
        return {
            "n_atoms": self.n_atoms,
            "picoseconds": self.picoseconds,
            "drift_mev_per_atom_per_ns": asdict(self.drift),
            "drift_kt_per_dof_per_ns": self.drift_kt,
            "temperature": self.temperature,
            "grade": self.grade,
            "fluctuation_mev_per_atom_by_time_step": {str(k): v for k, v in self.fluctuations.items()},
            "order_in_time_step": self.order,
            "max_bond_deviation": float(self.trajectory.bond_deviation.max()),
            "bonds_intact": self.trajectory.intact,
            "final_rmsd": float(self.trajectory.rmsd[-1]) if self.trajectory.rmsd.size else None,
        }


def grade(drift: Drift) -> str:
    """excellent (≤ 0.1), good (≤ 1), usable (≤ 10 meV/atom/ns), or poor; by the larger of |slope| and its standard error.

    A short run cannot be graded better than its standard error, since it cannot tell.
    """
    value = max(abs(drift.slope), drift.standard_error)  # finite: `fit_drift` sees to that
    return next((name for limit, name in GRADES if value <= limit), "poor")


def degrees_of_freedom(atoms: Atoms) -> int:
    """3N without the momenta that are conserved and were taken out: the total one, and the angular one of a molecule."""
    rotations = 0 if atoms.pbc.any() else int(np.linalg.matrix_rank(inertia_tensor(atoms), rtol=LINEAR))
    return 3 * len(atoms) - 3 - rotations


def measure_nve(
    engine: Engine,
    atoms: Atoms,
    model: str,
    settings: NVESettings,
    scaling: bool = True,
    report: Report | None = None,
) -> NVEReport:
    """Run, and analyse.

    Args:
        engine: From `mlff_distiller.engines.find_engine`.
        atoms: Start structure; not changed. Its constraints are left out: all atoms move.
        model: A shipped name or the path of an artifact.
        settings: Of the long run; its trajectory must have a path.
        scaling: Also run 2 ps with half, the same and twice the time step, all from the end of the long run.
        report: Called with what runs, steps done and steps in all.

    Raises:
        ConfigError: Too few records of the energy to fit a drift to.
        EngineError: The engine stopped; with its words.
        StructureError: The student cannot evaluate the structure, or it is a single atom.
    """
    assert settings.trajectory is not None
    freedom = degrees_of_freedom(atoms)
    if freedom == 0:
        raise StructureError("a single atom at rest never moves; expected a structure of two atoms or more")
    tell = report or _say_nothing
    total = settings.n_equilibration + settings.n_steps
    end = atoms.copy()
    end.set_constraint()  # of a structure file: an atom that is held has no share in the energy
    trace = engine.nve(end, model, settings, lambda done: tell("constant energy", done, total))
    fluctuations = _fluctuations(engine, end, model, settings, tell) if scaling else {}
    drift = fit_drift(trace)
    temperature = 2 * float(trace.kinetic.mean()) / (freedom * units.kB)
    kt = MEV * units.kB * temperature  # meV
    return NVEReport(
        n_atoms=len(atoms),
        picoseconds=settings.n_steps * settings.time_step / 1000,
        drift=drift,
        drift_kt=drift.slope * len(atoms) / freedom / kt,
        temperature=temperature,
        grade=grade(drift),
        fluctuations=fluctuations,
        order=_order(fluctuations) if fluctuations else None,
        trace=trace,
        trajectory=analyse_trajectory(settings.trajectory),
    )


def _fluctuations(
    engine: Engine, atoms: Atoms, model: str, settings: NVESettings, report: Report
) -> dict[float, float]:
    found = {}
    for factor in SCALING_FACTORS:
        time_step = factor * settings.time_step
        n_steps = round(SCALING_TIME / time_step)
        short = replace(
            settings,
            time_step=time_step,
            n_steps=n_steps,
            n_equilibration=0,
            interval=1,
            frame_interval=n_steps,
            trajectory=None,
        )
        trace = engine.nve(
            atoms.copy(),
            model,
            short,
            lambda done, dt=time_step, n=n_steps: report(f"time step {dt:g} fs", done, n),
        )
        found[time_step] = fit_drift(trace).rms_fluctuation
    return found


def _order(fluctuations: dict[float, float]) -> float:
    """Slope of log fluctuation against log time step."""
    return float(np.polyfit(np.log(list(fluctuations)), np.log(list(fluctuations.values())), 1)[0])


def _say_nothing(what: str, done: int, total: int) -> None:
    pass


def frames_path(folder: Path) -> Path:
    """Where the trajectory of a run lies."""
    return folder / "trajectory.xyz"
