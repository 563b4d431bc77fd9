"""Dynamics at constant energy: what to run, what comes out, and the run in ASE. The other engines are in the plugins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from mlff_distiller.data.structures import from_arrays, to_arrays
from mlff_distiller.units import FS_PER_PS

LINEAR = (
    1e-9  # smallest over largest moment of inertia below which a molecule has no rotation about that axis
)
FRICTION = 0.02  # 1/fs, of the thermostat before a run at constant energy


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
class NVESettings:
    """A run at constant energy after an equilibration with a Langevin thermostat, in any engine.

    Attributes:
        temperature: K, of the equilibration.
        n_steps: Steps at constant energy.
        time_step: fs.
        n_equilibration: Steps with the thermostat; 0 starts from the velocities that the structure has.
        interval: Steps between records of the energies.
        frame_interval: Steps between frames of the trajectory, a multiple of ``interval``.
        seed: Of velocities and thermostat.
        dtype: Of the network, ``float32`` or ``float64``.
        trajectory: Extended XYZ file for the frames; None writes none.
    """

    temperature: float = 300.0
    n_steps: int = 20_000
    time_step: float = 0.5
    n_equilibration: int = 2_000
    interval: int = 10
    frame_interval: int = 100
    seed: int = 0
    dtype: str = "float32"
    trajectory: Path | None = None

    @classmethod
    def of_length(cls, picoseconds: float, equilibration: float = 1.0, time_step: float = 0.5) -> NVESettings:
        """Settings of a run with 200 records of the energies or more, or one a step, and at most 2,000 frames.

        Args:
            picoseconds: At constant energy.
            equilibration: ps with the thermostat before.
            time_step: fs.
        """
        n_steps = max(20, round(FS_PER_PS * picoseconds / time_step))
        interval = max(1, min(10, n_steps // 200))
        return cls(
            n_steps=n_steps,
            time_step=time_step,
            n_equilibration=round(FS_PER_PS * equilibration / time_step),
            interval=interval,
            frame_interval=interval * max(1, n_steps // 10_000),
        )


def run_nve(atoms: Atoms, settings: NVESettings, report: Callable[[int], None] | None = None) -> EnergyTrace:
    """Equilibrate with a Langevin thermostat, then run velocity Verlet at constant energy, in ASE.

    Args:
        atoms: With a calculator; moved in place.
        settings: What to run.
        report: Called with the number of steps done, equilibration included.
    """
    rng = np.random.default_rng(settings.seed)
    start_velocities(atoms, settings)
    dt = settings.time_step * units.fs
    thermostat = Langevin(
        atoms, dt, temperature_K=settings.temperature, friction=FRICTION / units.fs, rng=rng, fixcm=False
    )
    if report is not None:
        thermostat.attach(lambda: report(thermostat.nsteps), interval=settings.interval)
    if settings.n_equilibration > 0:
        thermostat.run(settings.n_equilibration)
        stop_drifting(atoms)

    records: list[tuple[float, float, float]] = []
    dynamics = VelocityVerlet(atoms, dt)

    def record() -> None:
        time = dynamics.nsteps * settings.time_step
        records.append((time, float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())))
        if report is not None:
            report(settings.n_equilibration + dynamics.nsteps)

    dynamics.attach(record, interval=settings.interval)
    if settings.trajectory is not None:
        settings.trajectory.unlink(missing_ok=True)
        dynamics.attach(append_frame, settings.frame_interval, settings.trajectory, atoms)
    dynamics.run(settings.n_steps)
    time, potential, kinetic = np.array(records).T
    return EnergyTrace(time, potential, kinetic, len(atoms))


def start_velocities(atoms: Atoms, settings: NVESettings) -> None:
    """Thermal velocities without drift, or the structure's own without it, where it has some and there is no equilibration."""
    if settings.n_equilibration > 0 or not atoms.get_momenta().any():
        thermalize_momenta(atoms, settings.temperature, rng=np.random.default_rng(settings.seed))
    stop_drifting(atoms)


def stop_drifting(atoms: Atoms) -> None:
    """Take out the total momentum, and the angular momentum of a molecule: what `degrees_of_freedom` does not count."""
    Stationary(atoms, preserve_temperature=False)
    if not atoms.pbc.any():
        stop_rotating(atoms)


def stop_rotating(atoms: Atoms) -> None:
    """Take out the angular momentum about the center of mass; ASE's `ZeroRotation` divides by zero for a linear molecule."""
    arms = atoms.positions - atoms.get_center_of_mass()
    # The pseudo-inverse leaves out the axis of a linear molecule, about which there is no rotation.
    inverse = np.linalg.pinv(inertia_tensor(atoms), rcond=LINEAR, hermitian=True)
    angular_velocity = inverse @ atoms.get_angular_momentum()
    atoms.set_velocities(atoms.get_velocities() - np.cross(angular_velocity, arms))


def inertia_tensor(atoms: Atoms) -> np.ndarray:
    """About the center of mass, (3, 3) in ASE's mass unit times Å²; of rank 2 for a linear molecule, 0 for an atom."""
    arms = atoms.positions - atoms.get_center_of_mass()
    second_moment = np.einsum("i,ij,ik->jk", atoms.get_masses(), arms, arms)
    return np.trace(second_moment) * np.eye(3) - second_moment


def append_frame(path: Path, atoms: Atoms) -> None:
    """One more frame of an extended XYZ trajectory, as `trajectory_frame`."""
    write(path, trajectory_frame(atoms), format="extxyz", append=True)


def trajectory_frame(atoms: Atoms) -> Atoms:
    """Elements, positions and cell, and the charges and spins that a teacher needs to label the frame."""
    return from_arrays(to_arrays(atoms))
