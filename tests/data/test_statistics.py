"""Statistics against sums done by hand or by ASE, and reference energies that are known."""

from __future__ import annotations

import dataclasses
import json
import math

import ase
import ase.build
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.statistics import dataset_statistics, fit_reference_energies
from mlff_distiller.errors import DatasetError


def zero_labels(*frames: ase.Atoms) -> Dataset:
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)))
    return Dataset.from_atoms(frames)


# Statistics


def test_counts(dataset):
    found = dataset_statistics(dataset)
    assert (found.n_structures, found.n_atoms, found.n_with_stress) == (8, 34, 1)
    assert found.n_molecules == 4  # O, C, N and salt.cif: the dimer C.O is no fifth
    assert found.elements == {"H": 24, "C": 3, "N": 2, "O": 3, "Na": 1, "Cl": 1}
    assert list(found.elements) == ["H", "C", "N", "O", "Na", "Cl"]
    assert found.regimes == {"dimer": 1, "periodic": 1, "rattle": 6}
    assert dataclasses.astuple(found.atoms_per_structure) == (2, 4, 8)
    assert found.periodic_fraction == 1 / 8


def test_energies_and_forces(frames, dataset):
    found = dataset_statistics(dataset)
    per_atom = [frame.get_potential_energy() / len(frame) for frame in frames]
    assert found.energy_per_atom.min == pytest.approx(min(per_atom))
    assert found.energy_per_atom.median == pytest.approx(np.median(per_atom))
    assert found.energy_per_atom.max == pytest.approx(max(per_atom))
    forces = np.concatenate([frame.get_forces() for frame in frames])
    assert found.force_rms == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-6)
    carbon = np.concatenate([frame.get_forces()[frame.symbols == "C"] for frame in frames])
    assert found.force_rms_by_element["C"] == pytest.approx(np.sqrt(np.mean(carbon**2)), rel=1e-6)
    salt = frames[7].get_forces()
    assert found.force_rms_by_regime["periodic"] == pytest.approx(np.sqrt(np.mean(salt**2)), rel=1e-6)
    norms = np.linalg.norm(forces, axis=1)
    assert found.max_force == pytest.approx(norms.max(), rel=1e-6)
    assert found.max_force_structure == dataset.batch[norms.argmax()]


def test_shortest_distance(frames, dataset):
    found = dataset_statistics(dataset)
    shortest = []
    for frame in frames[:7]:
        distances = frame.get_all_distances()
        np.fill_diagonal(distances, np.inf)
        shortest.append(distances.min())
    assert found.min_distance == pytest.approx(min(shortest))
    assert found.min_distance_structure == int(np.argmin(shortest))


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (ase.Atoms("H"), None),
        (ase.Atoms("Ar", cell=[7.0, 9, 11], pbc=True), 7.0),
        (ase.Atoms("Ar", cell=[7.0, 9, 0], pbc=[False, True, False]), 9.0),
        (ase.Atoms("Ar2", [[0, 0, 0.5], [0, 0, 10.5]], cell=[20, 20, 11], pbc=True), 1.0),
        (ase.Atoms("Ar2", [[0, 0, 0], [0, 0, 10]], cell=[20, 20, 11], pbc=[True, True, False]), 10.0),
        (ase.Atoms("H2", [[0, 0, 0], [0, 0, 50]]), 50.0),
        (ase.Atoms("H2", [[1, 1, 1], [1, 1, 1]], cell=[5, 5, 5], pbc=True), 0.0),
        (ase.build.bulk("Cu", "fcc", 3.6), 3.6 / math.sqrt(2)),
    ],
)
def test_shortest_distance_with_images(atoms, expected):
    found = dataset_statistics(zero_labels(atoms))
    if expected is None:
        assert found.min_distance is None
        assert found.min_distance_structure is None
    else:
        assert found.min_distance == pytest.approx(expected)


def test_unknown_names(dataset):
    bare = dataclasses.replace(dataset, molecule_id=np.full(8, ""), regime=np.full(8, ""))
    found = dataset_statistics(bare)
    assert found.n_molecules == 0
    assert found.regimes == {"unknown": 8}
    assert found.force_rms_by_regime == {"unknown": pytest.approx(found.force_rms)}


def test_to_dict_is_json(dataset):
    found = dataset_statistics(dataset)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain == found.to_dict()
    assert plain["atoms_per_structure"] == {"min": 2.0, "median": 4.0, "max": 8.0}


def test_no_structures(dataset):
    with pytest.raises(DatasetError, match="at least one structure"):
        dataset_statistics(dataset.select([]))


# Reference energies


def with_energies(dataset: Dataset, reference: dict[int, float]) -> Dataset:
    per_atom = np.array([reference[z] for z in dataset.atomic_numbers])
    return dataclasses.replace(dataset, energy=np.add.reduceat(per_atom, dataset.splits[:-1]))


def test_known_reference_energies_are_found():
    frames = [ase.build.molecule(name) for name in ("H2O", "H2", "CH4", "CH3OH", "C2H6", "N2", "NH3")]
    reference = {1: -13.6, 6: -1030.5, 7: -1485.3, 8: -2042.1}
    found = fit_reference_energies(with_energies(zero_labels(*frames), reference))
    assert list(found) == [1, 6, 7, 8]
    assert found == pytest.approx(reference, rel=1e-10)
    assert all(type(z) is int and type(e0) is float for z, e0 in found.items())


def test_the_fit_weighs_structures_by_their_error_per_atom():
    """H and H9 that disagree: minimise (1 - x)² + (0 - x)² per atom, not per structure."""
    dataset = zero_labels(ase.Atoms("H"), ase.Atoms("H9", positions=np.arange(27).reshape(9, 3)))
    found = fit_reference_energies(dataclasses.replace(dataset, energy=np.array([1.0, 0.0])))
    assert found == {1: pytest.approx(0.5)}


def test_compositions_that_do_not_determine_all():
    """Water only: the smallest of all solutions of E_O + 2 E_H = E is E_O = E/5, E_H = 2E/5."""
    dataset = zero_labels(ase.build.molecule("H2O"), ase.build.molecule("H2O"))
    found = fit_reference_energies(dataclasses.replace(dataset, energy=np.array([-10.0, -10.0])))
    assert found == {1: pytest.approx(-4.0), 8: pytest.approx(-2.0)}


@pytest.mark.parametrize("energy", [np.zeros(0), np.array([0.0, np.nan])])
def test_nothing_to_fit(energy):
    dataset = zero_labels(ase.Atoms("H"), ase.Atoms("O")).select(range(len(energy)))
    with pytest.raises(DatasetError, match="finite energies to fit"):
        fit_reference_energies(dataclasses.replace(dataset, energy=energy))
