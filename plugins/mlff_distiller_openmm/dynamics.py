"""Dynamics at constant energy in OpenMM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from ase import Atoms
from ase.io.extxyz import write_extxyz

from mlff_distiller.constant_energy import (
    FRICTION,
    EnergyTrace,
    NVESettings,
    start_velocities,
    stop_drifting,
    trajectory_frame,
)
from mlff_distiller.errors import require
from mlff_distiller_openmm.conversions import ANGSTROM, FS, PS
from mlff_distiller_openmm.models import Model
from mlff_distiller_openmm.states import read_energies, read_positions, read_velocities
from mlff_distiller_openmm.system import AtomsSystem, atoms_system

if TYPE_CHECKING:
    import openmm


def run_openmm_nve(
    atoms: Atoms,
    model: Model = "tiny",
    settings: NVESettings | None = None,
    *,
    backend: str = "auto",
    platform: str = "CPU",
    report: Callable[[int], None] | None = None,
) -> EnergyTrace:
    """Equilibrate with a Langevin thermostat, then run velocity Verlet at constant energy.

    Positions and velocities are double precision on the platforms Reference and CPU.

    Args:
        atoms: A molecule or a fully periodic structure; left at the end of the run, with its velocities.
        model: See `create_force`, and so for ``backend`` and the errors.
        settings: None takes the defaults.
        platform: OpenMM's name of a platform.
        report: Called with the number of steps done, equilibration included, at every record.
    """
    settings = settings or NVESettings()
    openmm = require("openmm", "openmm")
    placed = atoms_system(atoms, model, backend, settings.dtype)
    integrator = openmm.CompoundIntegrator()
    thermostat = openmm.LangevinMiddleIntegrator(settings.temperature, FRICTION / FS, settings.time_step * FS)
    thermostat.setRandomNumberSeed(settings.seed + 1)  # OpenMM takes 0 for a seed from the clock
    integrator.addIntegrator(thermostat)
    integrator.addIntegrator(velocity_verlet(settings.time_step))
    context = openmm.Context(placed.system, integrator, openmm.Platform.getPlatformByName(platform))

    start_velocities(atoms, settings)
    _to_context(atoms, placed, context)
    for done in _steps(integrator, settings.n_equilibration, settings.interval):
        if report is not None:
            report(done)
    if settings.n_equilibration > 0:
        _from_context(atoms, placed, context)
        stop_drifting(atoms)
        _to_context(atoms, placed, context)
    integrator.setCurrentIntegrator(1)

    records = [(0.0, *read_energies(context.getState(energy=True)))]
    with _open_trajectory(settings.trajectory) as stream:
        _write_frame(stream, atoms)
        for done in _steps(integrator, settings.n_steps, settings.interval):
            records.append((done * settings.time_step, *read_energies(context.getState(energy=True))))
            if done % settings.frame_interval == 0:
                _from_context(atoms, placed, context)
                _write_frame(stream, atoms)
            if report is not None:
                report(settings.n_equilibration + done)
        _from_context(atoms, placed, context)
    time, potential, kinetic = np.array(records).T
    return EnergyTrace(time, potential, kinetic, len(atoms))


def velocity_verlet(time_step: float) -> openmm.CustomIntegrator:
    """Velocity Verlet, with positions and velocities at the same time; OpenMM's VerletIntegrator has them half a step apart.

    Args:
        time_step: fs.
    """
    openmm = require("openmm", "openmm")
    integrator = openmm.CustomIntegrator(time_step * FS)
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    integrator.addComputePerDof("x", "x+dt*v")
    integrator.addComputePerDof("v", "v+0.5*dt*f/m")
    return integrator


def _steps(integrator: openmm.Integrator, n_steps: int, interval: int) -> Iterator[int]:
    """Make the steps, and yield the number done every ``interval`` steps."""
    for done in range(interval, n_steps + 1, interval):
        integrator.step(interval)
        yield done
    integrator.step(n_steps % interval)


def _to_context(atoms: Atoms, placed: AtomsSystem, context: openmm.Context) -> None:
    context.setPositions(placed.to_openmm(atoms.positions) / ANGSTROM)
    context.setVelocities(placed.to_openmm(atoms.get_velocities()) * PS / ANGSTROM)


def _from_context(atoms: Atoms, placed: AtomsSystem, context: openmm.Context) -> None:
    state = context.getState(positions=True, velocities=True)
    atoms.positions = placed.from_openmm(read_positions(state))
    atoms.set_velocities(placed.from_openmm(read_velocities(state)))


def _open_trajectory(path: Path | None) -> AbstractContextManager[TextIO | None]:
    return nullcontext() if path is None else open(path, "w", encoding="utf-8")


def _write_frame(stream: TextIO | None, atoms: Atoms) -> None:
    if stream is not None:
        write_extxyz(stream, [trajectory_frame(atoms)], write_results=False)
