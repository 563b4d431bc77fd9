"""Constant-energy dynamics, and the drift of its total energy.

The drift is the slope of the total energy against time, in meV per atom and ns: it does not depend on how long one looks, nor
on where the zero of energy is, as a percentage of |E| would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, ZeroRotation, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from mlff_distiller.units import MEV

FS_PER_NS = 1e6
N_BLOCKS = 10  # blocks for the standard error: longer than the correlation time of the fluctuation


@dataclass(frozen=True)
class EnergyTrace:
    """Energies along a run of T records.

    Attributes:
        time: (T,) fs.
        potential: (T,) eV.
        kinetic: (T,) eV.
        n_atoms: N.
    """

    time: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    n_atoms: int

    @property
    def total(self) -> np.ndarray:
        """(T,) eV."""
        return self.potential + self.kinetic


@dataclass(frozen=True)
class Drift:
    """Slope of the total energy with its standard error, and what is left after the slope is taken out."""

    slope: float  # meV/atom/ns
    standard_error: float  # meV/atom/ns
    rms_fluctuation: float  # meV/atom


def run_nve(
    atoms: Atoms,
    temperature: float,
    n_steps: int,
    time_step: float = 0.5,
    n_equilibration: int = 1000,
    interval: int = 5,
    seed: int = 0,
    report: Callable[[int], None] | None = None,
) -> EnergyTrace:
    """Equilibrate with a Langevin thermostat, then run at constant energy.

    Args:
        atoms: With a calculator; moved in place.
        temperature: K, of the equilibration.
        n_steps: Steps at constant energy.
        time_step: fs.
        n_equilibration: Steps with the thermostat.
        interval: Steps between records.
        seed: Of velocities and thermostat.
        report: Called with the number of steps done, equilibration included, every ``interval`` steps.
    """
    rng = np.random.default_rng(seed)
    thermalize_momenta(atoms, temperature, rng=rng)
    dt = time_step * units.fs
    thermostat = Langevin(
        atoms, dt, temperature_K=temperature, friction=0.02 / units.fs, rng=rng, fixcm=False
    )
    if report is not None:
        thermostat.attach(lambda: report(thermostat.nsteps), interval=interval)
    thermostat.run(n_equilibration)
    Stationary(atoms)
    if not atoms.pbc.any():
        ZeroRotation(atoms)

    records: list[tuple[float, float, float]] = []
    dynamics = VelocityVerlet(atoms, dt)

    def record() -> None:
        time = dynamics.nsteps * time_step
        records.append((time, float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())))
        if report is not None:
            report(n_equilibration + dynamics.nsteps)

    dynamics.attach(record, interval=interval)
    dynamics.run(n_steps)
    time, potential, kinetic = np.array(records).T
    return EnergyTrace(time, potential, kinetic, len(atoms))


def fit_drift(trace: EnergyTrace) -> Drift:
    """Least-squares slope of the total energy per atom, with a standard error from block averages.

    The fluctuation of the total energy in time is correlated, so the residuals are averaged over blocks, which are nearly
    independent, and the error of the slope is that of a line through the block means.
    """
    energy = MEV * trace.total / trace.n_atoms  # meV/atom
    slope, intercept = np.polyfit(trace.time, energy, 1)
    residual = energy - (slope * trace.time + intercept)
    blocks = np.array([block.mean() for block in np.array_split(residual, N_BLOCKS)])
    centers = np.array([block.mean() for block in np.array_split(trace.time, N_BLOCKS)])
    spread = float(((centers - centers.mean()) ** 2).sum())
    error = np.sqrt((np.square(blocks).sum() / (N_BLOCKS - 2)) / spread)
    return Drift(
        slope=float(slope * FS_PER_NS),
        standard_error=float(error * FS_PER_NS),
        rms_fluctuation=float(np.sqrt((residual**2).mean())),
    )
