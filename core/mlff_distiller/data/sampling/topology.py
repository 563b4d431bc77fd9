"""Which atoms are bonded, which bonds can turn, and which atoms lie on one side of a bond.

N atoms, B bonds, R rotatable bonds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mlff_distiller.bonds import find_bonds

DOUBLE_BOND_RATIO = 0.90  # C=C 0.88, C=N 0.87, C=O 0.86 of that sum; amide C-N 0.92, biaryl C-C 0.97


@dataclass(frozen=True)
class Topology:
    """The bonds of one structure.

    Attributes:
        n_atoms: N.
        bonds: (B, 2) int64, each bond once.
        rotatable: (R, 2) int64, the bonds that are single, in no ring, and not at the end of the molecule.
    """

    n_atoms: int
    bonds: np.ndarray
    rotatable: np.ndarray

    @staticmethod
    def without_bonds(n_atoms: int) -> Topology:
        """For crystals and liquids, where a covalent bond is not a well-defined thing to watch or turn."""
        none = np.zeros((0, 2), dtype=np.int64)
        return Topology(n_atoms, none, none)

    @staticmethod
    def from_distances(atoms: Atoms) -> Topology:
        """Guess the bonds from the distances and the covalent radii; a short bond counts as a double bond."""
        bonds, lengths = find_bonds(atoms)
        degree = np.bincount(bonds.ravel(), minlength=len(atoms))
        single = lengths > DOUBLE_BOND_RATIO * covalent_radii[atoms.numbers][bonds].sum(axis=1)
        inner = (degree[bonds] > 1).all(axis=1)
        candidates = bonds[single & inner]
        acyclic = [side_of_bond(len(atoms), bonds, i, j) is not None for i, j in candidates]
        return Topology(len(atoms), bonds, candidates[np.array(acyclic, dtype=bool)])

    def side(self, i: int, j: int) -> np.ndarray | None:
        """(N,) bool, the atoms on j's side of the bond i-j, or None if the bond is in a ring."""
        return side_of_bond(self.n_atoms, self.bonds, i, j)


def side_of_bond(n_atoms: int, bonds: np.ndarray, i: int, j: int) -> np.ndarray | None:
    """(N,) bool, the atoms that stay connected to j when the bond i-j is cut, or None if i does too."""
    cut = (bonds == (i, j)).all(axis=1) | (bonds == (j, i)).all(axis=1)
    rows, columns = bonds[~cut].T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n_atoms, n_atoms))
    labels = connected_components(graph, directed=False)[1]
    return None if labels[i] == labels[j] else labels == labels[j]


def bond_lengths(positions: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """(B,) lengths in Å of the bonds (B, 2) of a molecule with positions (N, 3) Å."""
    return np.linalg.norm(positions[bonds[:, 0]] - positions[bonds[:, 1]], axis=1)
