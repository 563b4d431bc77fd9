"""Strained geometries that short dynamics does not reach: turned torsions, compressed and stretched bonds.

N atoms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from mlff_distiller.data.sampling.config import BondConfig, TorsionConfig
from mlff_distiller.data.sampling.draws import any_of
from mlff_distiller.data.sampling.frames import labelled
from mlff_distiller.data.sampling.topology import Topology
from mlff_distiller.data.teachers import Teacher


def turned_torsions(
    starts: Sequence[Atoms],
    topology: Topology,
    teacher: Teacher,
    rng: np.random.Generator,
    settings: TorsionConfig,
) -> Iterator[Atoms]:
    """Labelled frames, each a random start with one rotatable bond turned.

    Fewer than asked for when the two sides clash at every attempt.
    """
    if len(topology.rotatable) == 0:
        return
    for _ in range(settings.n):
        for _ in range(settings.max_attempts):
            i, j = any_of(topology.rotatable.tolist(), rng)
            geometry = turn_torsion(any_of(starts, rng), topology, i, j, rng.uniform(-np.pi, np.pi))
            if _clearance(geometry, topology, i, j) >= settings.min_distance:
                yield labelled(geometry, teacher, "torsion")
                break


def scaled_bonds(
    starts: Sequence[Atoms],
    topology: Topology,
    teacher: Teacher,
    rng: np.random.Generator,
    settings: BondConfig,
) -> Iterator[Atoms]:
    """Labelled frames, each a random start with one bond compressed or stretched."""
    if len(topology.bonds) == 0:
        return
    for _ in range(settings.n):
        i, j = any_of(topology.bonds.tolist(), rng)
        scale = rng.uniform(settings.scale_min, settings.scale_max)
        geometry = scale_bond(any_of(starts, rng), topology, i, j, scale)
        yield labelled(geometry, teacher, "bond")


def turn_torsion(atoms: Atoms, topology: Topology, i: int, j: int, angle: float) -> Atoms:
    """A copy in which j's side of the acyclic bond i-j is turned about it by ``angle`` (radians)."""
    turned = atoms.copy()
    side = _side(topology, i, j)
    axis = atoms.positions[j] - atoms.positions[i]
    rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    turned.positions[side] = rotation.apply(atoms.positions[side] - atoms.positions[j]) + atoms.positions[j]
    return turned


def scale_bond(atoms: Atoms, topology: Topology, i: int, j: int, scale: float) -> Atoms:
    """A copy in which the bond i-j has ``scale`` times its length.

    The two sides of the bond move rigidly; in a ring, only the two atoms themselves move.
    """
    scaled = atoms.copy()
    shift = (scale - 1) * (atoms.positions[j] - atoms.positions[i])
    side = topology.side(i, j)
    if side is None:
        scaled.positions[i] -= shift / 2
        scaled.positions[j] += shift / 2
    else:
        scaled.positions[side] += shift
    return scaled


def _side(topology: Topology, i: int, j: int) -> np.ndarray:
    side = topology.side(i, j)
    if side is None:
        raise ValueError(f"the bond {i}-{j} is in a ring and cannot turn")
    return side


def _clearance(atoms: Atoms, topology: Topology, i: int, j: int) -> float:
    """Smallest distance (Å) between the two sides of a bond, its own two atoms left out."""
    side = _side(topology, i, j)
    others = ~np.isin(np.arange(len(atoms)), (i, j))
    moved, fixed = atoms.positions[side & others], atoms.positions[~side & others]
    return float(cdist(moved, fixed).min())
