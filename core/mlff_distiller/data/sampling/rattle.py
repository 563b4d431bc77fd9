"""Rattle-relax-repeat trees: structures near and far from the start, strained but not absurd.

After Gardner et al., "Distillation of atomistic foundation models across architectures and chemical
domains" (2025).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms, units

from mlff_distiller.data.sampling.config import RattleConfig
from mlff_distiller.data.sampling.draws import any_of, log_uniform
from mlff_distiller.data.sampling.frames import labelled
from mlff_distiller.data.teachers import Teacher


def rattle_tree(
    atoms: Atoms, teacher: Teacher, rng: np.random.Generator, settings: RattleConfig
) -> Iterator[Atoms]:
    """Labelled frames, each a rattled and partly relaxed copy of a random earlier one or of the start."""
    tree = [labelled(atoms, teacher, "rattle")] if settings.n else []
    for _ in range(settings.n):
        parent = any_of(tree, rng)
        tree.append(_child(parent, teacher, rng, settings))
        yield tree[-1]


def _child(parent: Atoms, teacher: Teacher, rng: np.random.Generator, settings: RattleConfig) -> Atoms:
    """Rattle, then step along the force until the Metropolis test accepts or the steps are used up.

    Step k moves the atom with the largest force by σ/k, a Robbins-Monro sequence: far enough to fix the
    worst contacts, too little to undo the rattling.
    """
    sigma = log_uniform(rng, settings.sigma_min, settings.sigma_max)
    geometry = parent.copy()
    geometry.positions += rng.normal(0, sigma, size=(len(parent), 3))
    child = labelled(geometry, teacher, "rattle")
    for k in range(1, settings.max_relax_steps + 1):
        excess = (child.get_potential_energy() - parent.get_potential_energy()) / len(parent)
        if rng.random() < np.exp(min(0.0, -excess / (units.kB * settings.temperature))):
            break
        forces = child.get_forces()
        largest = np.linalg.norm(forces, axis=1).max()
        geometry.positions += forces * (sigma / (k * max(largest, 1e-12)))
        child = labelled(geometry, teacher, "rattle")
    return child
