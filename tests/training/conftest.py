"""Labelled frames whose teacher is a known function, so that nothing depends on a quantum-chemistry package."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.dataset import Dataset

MOLECULES = ("CH3OH", "H2CO", "HCOOH", "CH3CHO")


def labelled(atoms: Atoms, name: str) -> Atoms:
    """Labels of a weak Lennard-Jones teacher."""
    atoms.calc = LennardJones(sigma=1.2, epsilon=0.5, rc=6.0, smooth=True)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    atoms.calc = SinglePointCalculator(atoms, energy=energy - 50.0 * len(atoms), forces=forces)
    atoms.info.update(molecule_id=name, regime="rattle")
    return atoms


def make_dataset(n_frames: int, seed: int = 0) -> Dataset:
    """Rattled frames of four molecules in turn."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n_frames):
        atoms = molecule(MOLECULES[k % len(MOLECULES)])
        atoms.positions *= 1.2  # out of the steep wall
        atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
        frames.append(labelled(atoms, MOLECULES[k % len(MOLECULES)]))
    return Dataset.from_atoms(frames, {"teacher": "lennard-jones"})


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return make_dataset(40)
