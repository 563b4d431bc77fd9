"""Thermal displacements along normal modes, from a Hessian by finite differences of the teacher's forces.

N atoms, M modes. The vibrations are classical: the variance of a mass-weighted coordinate is kT/ω².
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms, units
from scipy.linalg import orth

from mlff_distiller.data.sampling.config import ModeConfig, RelaxConfig
from mlff_distiller.data.sampling.conformers import relaxation_path
from mlff_distiller.data.sampling.frames import labelled
from mlff_distiller.data.teachers import Teacher

TIGHT_RELAXATION = RelaxConfig(max_steps=100, max_force=0.01)  # modes are those of a minimum


def thermal_displacements(
    atoms: Atoms, teacher: Teacher, rng: np.random.Generator, settings: ModeConfig
) -> Iterator[Atoms]:
    """Labelled frames displaced from the minimum along all modes; none for a molecule that is too large."""
    if settings.n == 0 or not 2 <= len(atoms) <= settings.max_atoms:
        return
    minimum = relaxation_path(atoms, teacher, TIGHT_RELAXATION)[-1]
    frequencies, modes = normal_modes(minimum, teacher, settings)
    for temperature in settings.temperatures:
        for _ in range(settings.n):
            amplitudes = (
                rng.normal(size=len(frequencies)) * np.sqrt(units.kB * temperature) / frequencies
            )  # (M,)
            geometry = minimum.copy()
            geometry.positions += np.einsum("m,mnx->nx", amplitudes, modes)
            yield labelled(geometry, teacher, f"mode-{temperature:.0f}K")


def normal_modes(atoms: Atoms, teacher: Teacher, settings: ModeConfig) -> tuple[np.ndarray, np.ndarray]:
    """The vibrations of a molecule or crystal at a minimum that are stiffer than ``settings.min_wavenumber``.

    Returns:
        Angular frequencies (M,) in ASE's units, sqrt(eV/(Å² u)), and the modes (M, N, 3) in 1/sqrt(u): a
        displacement in Å is a mode times an amplitude in Å sqrt(u).
    """
    weights = 1 / np.sqrt(np.repeat(atoms.get_masses(), 3))  # (3N,)
    internal = _without_rigid_motion(atoms)  # (3N, 3N)
    hessian = weights[:, None] * force_hessian(atoms, teacher, settings.step) * weights
    eigenvalues, vectors = np.linalg.eigh(internal @ hessian @ internal)
    stiff = eigenvalues > (settings.min_wavenumber * units.invcm / units._hbar * units._e / units.second) ** 2
    modes = (weights[:, None] * vectors[:, stiff]).T.reshape(-1, len(atoms), 3)
    return np.sqrt(eigenvalues[stiff]), modes


def force_hessian(atoms: Atoms, teacher: Teacher, step: float) -> np.ndarray:
    """(3N, 3N) second derivatives of the energy, eV/Å², by central differences of ``step`` Å, symmetrised."""
    rows = []
    for index in np.ndindex(atoms.positions.shape):
        forces = []
        for sign in (1, -1):
            displaced = atoms.copy()
            displaced.positions[index] += sign * step
            forces.append(teacher.label(displaced).get_forces().ravel())
        rows.append(-(forces[0] - forces[1]) / (2 * step))
    hessian = np.array(rows)
    return (hessian + hessian.T) / 2


def _without_rigid_motion(atoms: Atoms) -> np.ndarray:
    """(3N, 3N) projector, in mass-weighted coordinates, onto motions without translation and, of a molecule, rotation."""
    roots = np.sqrt(atoms.get_masses())[:, None]  # (N, 1)
    centred = atoms.positions - atoms.get_center_of_mass()
    translations = [(roots * axis).ravel() for axis in np.eye(3)]
    rotations = [(roots * np.cross(axis, centred)).ravel() for axis in np.eye(3) if not atoms.pbc.any()]
    rigid = orth(np.array([*translations, *rotations]).T)  # (3N, 6), (3N, 5) if linear, (3N, 3) if periodic
    return np.eye(3 * len(atoms)) - rigid @ rigid.T
