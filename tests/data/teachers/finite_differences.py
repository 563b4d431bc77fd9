"""Forces and stress from energies alone, by central differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms

Label = Callable[[Atoms], Atoms]


def numerical_forces(label: Label, atoms: Atoms, first: int | None = None, step: float = 1e-4) -> np.ndarray:
    """Forces (n, 3) eV/Å on the first n atoms (on all if None)."""
    forces = np.zeros((first or len(atoms), 3))
    for atom, axis in np.ndindex(*forces.shape):
        moved = [atoms.copy(), atoms.copy()]
        for sign, structure in zip((1, -1), moved, strict=True):
            structure.positions[atom, axis] += sign * step
        forces[atom, axis] = -_slope(label, moved, step)
    return forces


def numerical_stress(label: Label, atoms: Atoms, step: float = 1e-3) -> np.ndarray:
    """Stress (6,) eV/Å^3, dE/d(strain) / V, in the order xx yy zz yz xz xy."""
    stress = np.zeros(6)
    for component, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strained = [atoms.copy(), atoms.copy()]
        for sign, structure in zip((1, -1), strained, strict=True):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            structure.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        stress[component] = _slope(label, strained, step) / atoms.get_volume()
    return stress


def _slope(label: Label, pair: list[Atoms], step: float) -> float:
    plus, minus = (label(structure).get_potential_energy() for structure in pair)
    return (plus - minus) / (2 * step)
