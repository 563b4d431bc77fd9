"""Periodic structures: rattled and strained cells. N atoms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms

from mlff_distiller.data.sampling.config import PeriodicConfig
from mlff_distiller.data.sampling.draws import log_uniform
from mlff_distiller.data.sampling.frames import labelled
from mlff_distiller.data.teachers import Teacher


def strained_cells(
    atoms: Atoms, teacher: Teacher, rng: np.random.Generator, settings: PeriodicConfig
) -> Iterator[Atoms]:
    """Labelled frames, strained and rattled; what is periodic in part (slabs, wires) is only rattled."""
    for _ in range(settings.n):
        geometry = strained(atoms, random_strain(rng, settings.strain)) if atoms.pbc.all() else atoms.copy()
        sigma = log_uniform(rng, settings.sigma_min, settings.sigma_max)
        geometry.positions += rng.normal(0, sigma, size=geometry.positions.shape)
        yield labelled(geometry, teacher, "periodic")


def random_strain(rng: np.random.Generator, scale: float) -> np.ndarray:
    """(3, 3) symmetric strain; each of its six components is normal with standard deviation ``scale``."""
    upper = np.triu(rng.normal(0, scale, size=(3, 3)))
    return upper + np.triu(upper, 1).T


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """A copy whose cell vectors and positions, as rows, are multiplied by 1 + ε with ε (3, 3)."""
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return copy
