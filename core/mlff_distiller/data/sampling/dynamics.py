"""Molecular dynamics with the teacher: the geometries that a user of the student will meet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms, units
from ase.md.langevinbaoab import LangevinBAOAB

from mlff_distiller.data.sampling.config import DynamicsConfig
from mlff_distiller.data.sampling.frames import labelled
from mlff_distiller.data.teachers import Teacher


def heated_dynamics(
    atoms: Atoms, teacher: Teacher, rng: np.random.Generator, settings: DynamicsConfig
) -> Iterator[Atoms]:
    """Labelled frames of one Langevin trajectory that passes through the temperatures in ascending order.

    Args:
        atoms: N atoms at a minimum, or close to it.
        teacher: Gives the forces of the trajectory and the labels.
        rng: Momenta and thermostat.
        settings: Temperatures, and how many frames of each.
    """
    system = atoms.copy()
    system.calc = teacher.calculator
    teacher.calculator.reset()  # what was computed before must not matter
    potential_temperature = 0.0  # of the vibrations' potential energy, which is none at the minimum
    for temperature in sorted(settings.temperatures) if settings.n else []:
        # Half of this surplus of kinetic energy becomes potential energy within a vibration or two
        # (equipartition).
        draw_momenta(system, 2 * temperature - potential_temperature, rng)
        dynamics = langevin(system, temperature, settings.time_step, settings.friction, rng)
        dynamics.run(_n_steps(settings.equilibration, settings.time_step))
        for k in range(settings.n):
            if k:
                dynamics.run(_n_steps(settings.spacing, settings.time_step))
            yield labelled(system, teacher, f"md-{temperature:.0f}K")
        potential_temperature = temperature


def draw_momenta(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Set Maxwell-Boltzmann momenta at ``temperature`` (K), the centre of mass at rest."""
    masses = atoms.get_masses()[:, None]  # (N, 1) u
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())


def langevin(
    atoms: Atoms, temperature: float, time_step: float, friction: float, rng: np.random.Generator
) -> LangevinBAOAB:
    """A Langevin integrator; ``time_step`` in fs, ``friction`` in 1/fs, ``temperature`` in K.

    BAOAB (Leimkuhler and Matthews, J. Chem. Phys. 138, 174102, 2013) samples the positions of a harmonic
    oscillator exactly at any stable step, so 1.5 fs is short enough for bonds to hydrogen. The centre of mass
    is not held: that would not sample the canonical ensemble, and a drift of the whole changes no label.
    """
    return LangevinBAOAB(
        atoms, timestep=time_step * units.fs, temperature_K=temperature, T_tau=units.fs / friction, rng=rng
    )


def _n_steps(duration: float, time_step: float) -> int:
    return max(1, round(duration / time_step))
