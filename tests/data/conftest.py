"""Labelled molecules, a dimer and a crystal with a stress; their dataset; files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase
import ase.build
import h5py
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.schema import write_dataset


def labelled(atoms: ase.Atoms, molecule_id: str, regime: str, seed: int, **labels: object) -> ase.Atoms:
    """A copy with random energy and forces, or with the labels given."""
    random = np.random.default_rng(seed)
    atoms = atoms.copy()
    atoms.info.update(molecule_id=molecule_id, regime=regime)
    forces = random.normal(size=(len(atoms), 3)).astype(np.float32).astype(np.float64)
    atoms.calc = SinglePointCalculator(atoms, **{"energy": random.normal() - 1000, "forces": forces} | labels)
    return atoms


@pytest.fixture
def frames() -> list[ase.Atoms]:
    """Six frames of three molecules, a dimer, and a crystal that alone has a stress."""
    found = []
    for seed in range(6):
        formula, smiles = [("H2O", "O"), ("CH4", "C"), ("NH3", "N")][seed % 3]
        atoms = ase.build.molecule(formula)
        atoms.rattle(0.05, seed=seed)
        found.append(labelled(atoms, smiles, "rattle", seed))
    water, methane = ase.build.molecule("H2O"), ase.build.molecule("CH4")
    methane.translate([0.0, 0.0, 4.0])
    found.append(labelled(water + methane, "C.O", "dimer", 6))
    salt = ase.build.bulk("NaCl", "rocksalt", 5.6)
    salt.rattle(0.05, seed=7)
    stress = np.array([0.011, -0.022, 1 / 3, 0.004, 0.005, -0.006])
    found.append(labelled(salt, "salt.cif", "periodic", 7, stress=stress))
    return found


@pytest.fixture
def dataset(frames: list[ase.Atoms]) -> Dataset:
    return Dataset.from_atoms(frames, {"teacher": "GFN2-xTB", "sampling": "rattle, σ = 0.05 Å"})


@pytest.fixture
def path(tmp_path: Path, dataset: Dataset) -> Path:
    """A good file."""
    write_dataset(tmp_path / "data.h5", dataset)
    return tmp_path / "data.h5"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The least that a file may hold: two molecules of water, narrow numbers, no cells, no metadata."""
    path = tmp_path / "foreign.hdf5"
    with h5py.File(path, "w") as file:
        file["/structures/atomic_numbers"] = np.array([8, 1, 1, 8, 1, 1], dtype=np.uint8)
        file["/structures/atomic_numbers_splits"] = np.array([0, 3, 6], dtype=">i4")
        file["/structures/positions"] = np.arange(18, dtype=np.float32).reshape(6, 3)
        file["/labels/energy"] = np.array([-3, -4], dtype=np.int16)
        file["/labels/forces"] = np.arange(18, dtype=np.float64).reshape(6, 3)
    return path


@pytest.fixture
def put() -> Callable[[Path, str, object], None]:
    """Replaces an array of a file, by its path in the file."""

    def put_array(path: Path, where: str, values: object) -> None:
        with h5py.File(path, "a") as file:
            if where in file:
                del file[where]
            file[where] = values

    return put_array
