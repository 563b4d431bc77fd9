"""Dimers and small clusters: randomly oriented molecules in contact, for intermolecular forces.

N_A, N_B: atoms of two molecules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from mlff_distiller.data.sampling.config import ContactConfig
from mlff_distiller.data.sampling.draws import log_uniform, unit_vector
from mlff_distiller.data.sampling.dynamics import draw_momenta, langevin
from mlff_distiller.data.sampling.frames import labelled
from mlff_distiller.data.teachers import Teacher
from mlff_distiller.errors import SamplingError

TIME_STEP = 1.5  # fs
FRICTION = 0.05  # 1/fs
MAX_DIRECTIONS = 100  # a miss is rare: it takes a hole in a molecule that lets another through


def cluster_frames(
    molecules: Sequence[Atoms], teacher: Teacher, rng: np.random.Generator, settings: ContactConfig
) -> Iterator[Atoms]:
    """Labelled frames of one cluster: as placed ("dimer"), then ``n_dynamics`` of dynamics from there ("dimer-300K")."""
    regime = "dimer" if len(molecules) == 2 else "cluster"
    system = place(molecules, rng, settings)
    yield labelled(system, teacher, regime)
    if settings.n_dynamics == 0:
        return
    system.calc = teacher.calculator
    teacher.calculator.reset()  # what was computed before must not matter
    draw_momenta(system, settings.temperature, rng)
    dynamics = langevin(system, settings.temperature, TIME_STEP, FRICTION, rng)
    for _ in range(settings.n_dynamics):
        dynamics.run(settings.dynamics_steps)
        yield labelled(system, teacher, f"{regime}-{settings.temperature:.0f}K")


def place(molecules: Sequence[Atoms], rng: np.random.Generator, settings: ContactConfig) -> Atoms:
    """Put the molecules together one by one, each in contact with those before it; not labelled."""
    cluster = randomly_turned(molecules[0], rng)
    for molecule in molecules[1:]:
        distance = log_uniform(rng, settings.distance_min, settings.distance_max)
        cluster += _in_contact(cluster, randomly_turned(molecule, rng), distance, rng)
    return cluster


def contact_shift(
    fixed: np.ndarray, moved: np.ndarray, direction: np.ndarray, distance: float
) -> float | None:
    """How far to move a molecule so that its closest contact is exactly ``distance``.

    A pair with separation r = moved - fixed is ``distance`` apart after a shift t along the unit vector u
    where |r + t u| = distance, that is t = -r·u ± sqrt(distance² - |r|² + (r·u)²). The largest such t of all
    pairs is the last contact on the way out.

    Args:
        fixed: (N_A, 3) Å.
        moved: (N_B, 3) Å.
        direction: (3,) unit vector.
        distance: Å.

    Returns:
        The shift along ``direction`` in Å, or None if no pair ever comes as close as ``distance``.
    """
    separation = (moved[None] - fixed[:, None]).reshape(-1, 3)  # (N_A N_B, 3)
    along = separation @ direction
    discriminant = distance**2 - (separation**2).sum(axis=1) + along**2
    meets = discriminant >= 0
    return float((np.sqrt(discriminant[meets]) - along[meets]).max()) if meets.any() else None


def randomly_turned(molecule: Atoms, rng: np.random.Generator) -> Atoms:
    """A copy without labels, centred and in a random orientation."""
    turned = molecule.copy()
    turned.info = {}
    rotation = Rotation.from_quat(rng.normal(size=4))  # uniform: a normal distribution has no direction
    turned.positions = rotation.apply(molecule.positions - molecule.positions.mean(axis=0))
    return turned


def _in_contact(cluster: Atoms, added: Atoms, distance: float, rng: np.random.Generator) -> Atoms:
    """The added molecule, moved from the cluster's centre in a random direction in which the two touch."""
    for _ in range(MAX_DIRECTIONS):
        direction = unit_vector(rng)
        shift = contact_shift(cluster.positions, added.positions, direction, distance)
        if shift is not None:
            added.positions += shift * direction
            return added
    raise SamplingError(
        f"Found no direction in which {added.symbols} comes within {distance:.2f} Å of {cluster.symbols}. "
        "Raise the minimum distance of dimers or clusters."
    )
