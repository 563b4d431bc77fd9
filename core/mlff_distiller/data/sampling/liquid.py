"""Boxes of a molecular liquid at a given density, as start structures for teachers that do periodic systems.

n molecules of M atoms each.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from mlff_distiller.data.sampling.clusters import randomly_turned
from mlff_distiller.errors import SamplingError

SHRINKAGE = 0.97  # of the box in one step
MAX_SWEEPS = 500  # of moves after one step
MAX_TRANSLATION = 0.3  # Å, standard deviation of a move
MAX_ROTATION = 0.3  # radians, standard deviation of a move


def molecular_liquid(
    molecule: Atoms, n_molecules: int, density: float, rng: np.random.Generator, min_distance: float = 1.7
) -> Atoms:
    """A cubic periodic box of rigid copies of a molecule, disordered and without overlaps.

    The copies start far apart on a lattice. The box shrinks step by step; after each, molecules that overlap
    are moved and turned at random, and a move stays if it does not add to the overlap.

    Args:
        molecule: The M atoms of one molecule.
        n_molecules: Copies in the box.
        density: g/cm³.
        rng: Orientations and moves.
        min_distance: Between atoms of different molecules, Å.

    Raises:
        SamplingError: The box is too small for a molecule and its own image, or too dense to fill.
    """
    target = _box_length(molecule, n_molecules, density)
    diameter = float(pdist(molecule.positions).max()) if len(molecule) > 1 else 0.0
    if target < diameter + min_distance:
        raise SamplingError(
            f"{n_molecules} copies of {molecule.symbols} at {density} g/cm³ fill a box of {target:.1f} Å, "
            f"too small for a molecule {diameter:.1f} Å long. Use more molecules."
        )
    copies = np.array([randomly_turned(molecule, rng).positions for _ in range(n_molecules)])  # (n, M, 3)
    n_sites = int(np.ceil(n_molecules ** (1 / 3)))
    length = max(target, n_sites * (diameter + min_distance))
    sites = rng.permutation(np.array(list(np.ndindex((n_sites,) * 3))))[:n_molecules]  # (n, 3)
    copies += (sites * (length / n_sites))[:, None]
    while length > target:
        scale = max(SHRINKAGE, target / length)
        copies += (scale - 1) * copies.mean(axis=1, keepdims=True)
        length *= scale
        _remove_overlaps(copies, length, min_distance, rng)
    numbers = np.tile(molecule.numbers, n_molecules)
    return Atoms(numbers, copies.reshape(-1, 3), cell=[target] * 3, pbc=True)


def _box_length(molecule: Atoms, n_molecules: int, density: float) -> float:
    """Edge in Å of the cube that holds the molecules at a density in g/cm³."""
    gram_per_cm3 = units.kg * 1e-3 / (units.m * 1e-2) ** 3  # in u/Å³
    return float((n_molecules * molecule.get_masses().sum() / (density * gram_per_cm3)) ** (1 / 3))


def _remove_overlaps(
    copies: np.ndarray, length: float, min_distance: float, rng: np.random.Generator
) -> None:
    """Move molecules (n, M, 3), in place, until no two overlap."""
    for _ in range(MAX_SWEEPS):
        overlaps = [_overlap(copies[k], k, copies, length, min_distance) for k in range(len(copies))]
        if not any(overlaps):
            return
        for k in np.flatnonzero(overlaps).tolist():
            moved = _random_move(copies[k], rng)
            if _overlap(moved, k, copies, length, min_distance) <= _overlap(
                copies[k], k, copies, length, min_distance
            ):
                copies[k] = moved
    raise SamplingError(
        f"Found no arrangement without overlaps in a box of {length:.1f} Å. "
        "Lower the density or the minimum distance."
    )


def _overlap(molecule: np.ndarray, k: int, copies: np.ndarray, length: float, min_distance: float) -> float:
    """Sum in Å over atom pairs of how much too close molecule k, at (M, 3), is to the others."""
    others = np.delete(copies, k, axis=0).reshape(-1, 3)
    vectors = others[None] - molecule[:, None]
    vectors -= length * np.round(vectors / length)  # nearest images
    return float(np.clip(min_distance - np.linalg.norm(vectors, axis=2), 0, None).sum())


def _random_move(molecule: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A molecule (M, 3), turned about its centre and shifted."""
    centre = molecule.mean(axis=0)
    rotation = Rotation.from_rotvec(rng.normal(0, MAX_ROTATION, size=3))
    return rotation.apply(molecule - centre) + centre + rng.normal(0, MAX_TRANSLATION, size=3)
