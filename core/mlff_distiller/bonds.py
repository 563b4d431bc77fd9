"""Which atoms are bonded, by the distances and the covalent radii.  N atoms, B bonds."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

BOND_FACTOR = 1.25  # a bond is shorter than this times the sum of the covalent radii


def find_bonds(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Bonded pairs (B, 2), i < j, and their lengths (B,) Å; across the boundaries of a periodic cell too."""
    i, j, lengths = neighbor_list("ijd", atoms, (BOND_FACTOR * covalent_radii[atoms.numbers]).tolist())
    once = i < j
    return np.stack([i[once], j[once]], axis=1), lengths[once]
