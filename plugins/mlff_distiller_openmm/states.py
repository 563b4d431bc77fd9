"""What OpenMM says of a state, in the units of the core."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlff_distiller.errors import require
from mlff_distiller_openmm.conversions import ANGSTROM, KJ_PER_MOL, KJ_PER_MOL_NM, PS


def read_positions(state: Any) -> np.ndarray:
    """(N, 3) Å."""
    return state.getPositions(asNumpy=True).value_in_unit(_units().nanometer) * ANGSTROM


def read_velocities(state: Any) -> np.ndarray:
    """(N, 3) in ASE's unit of velocity."""
    unit = _units()
    velocities = state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond)
    return velocities * (ANGSTROM / PS)


def read_box(state: Any) -> np.ndarray:
    """(3, 3) Å, rows are box vectors."""
    return state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(_units().nanometer) * ANGSTROM


def read_forces(state: Any) -> np.ndarray:
    """(N, 3) eV/Å."""
    unit = _units()
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return forces / KJ_PER_MOL_NM


def read_energies(state: Any) -> tuple[float, float]:
    """Potential and kinetic energy, eV."""
    kilojoule = _units().kilojoule_per_mole
    potential = state.getPotentialEnergy().value_in_unit(kilojoule) / KJ_PER_MOL
    return potential, state.getKineticEnergy().value_in_unit(kilojoule) / KJ_PER_MOL


def _units() -> Any:
    return require("openmm", "openmm").unit
