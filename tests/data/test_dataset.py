"""A dataset keeps what it was given: through selection, concatenation, and back to ASE."""

from __future__ import annotations

import dataclasses

import ase
import ase.build
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.dataset import LAYOUT, Dataset
from mlff_distiller.errors import DatasetError


def assert_same_frame(found: ase.Atoms, expected: ase.Atoms) -> None:
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    np.testing.assert_array_equal(found.positions, expected.positions)
    np.testing.assert_array_equal(found.cell.array, expected.cell.array)
    np.testing.assert_array_equal(found.pbc, expected.pbc)
    assert found.info == expected.info
    assert found.calc is not None
    assert expected.calc is not None
    assert set(found.calc.results) == set(expected.calc.results)
    for name, value in expected.calc.results.items():
        np.testing.assert_array_equal(found.calc.results[name], value)


def test_frames_survive_the_dataset(frames, dataset):
    assert len(dataset) == len(frames)
    for i, frame in enumerate(frames):
        assert_same_frame(dataset.atoms(i), frame)


def test_layout(frames, dataset):
    assert dataset.n_atoms.tolist() == [len(frame) for frame in frames]
    assert dataset.batch.tolist() == [i for i, frame in enumerate(frames) for _ in frame]
    for name, (dtype, _) in LAYOUT.items():
        assert np.issubdtype(getattr(dataset, name).dtype, dtype), name
    assert np.isnan(dataset.stress[:-1]).all()
    assert repr(dataset) == f"Dataset({len(frames)} structures, {sum(map(len, frames))} atoms)"


@pytest.mark.parametrize("indices", [[7, 0, 3, 3], [-1, -8], np.arange(8)[::-1], [0]])
def test_select_by_index(frames, dataset, indices):
    chosen = dataset.select(indices)
    assert len(chosen) == len(indices)
    assert chosen.metadata == dataset.metadata
    for k, i in enumerate(indices):
        assert_same_frame(chosen.atoms(k), frames[i])


def test_select_by_mask(frames, dataset):
    mask = dataset.regime == "dimer"
    assert_same_frame(dataset.select(mask).atoms(0), frames[6])
    assert len(dataset.select(mask)) == 1


@pytest.mark.parametrize("nothing", [[], np.zeros(8, dtype=bool), np.zeros(0, dtype=np.int64)])
def test_select_nothing(dataset, nothing):
    empty = dataset.select(nothing)
    assert len(empty) == 0
    assert empty.positions.shape == (0, 3)
    assert empty.cells.shape == (0, 3, 3)


def test_selection_without_any_stress_has_none(dataset):
    assert dataset.select([0, 1]).stress is None
    assert dataset.select([0, 7]).stress is not None


@pytest.mark.parametrize("indices", [[8], [-9], [0.5], [[0, 1]], [True, False]])
def test_select_refuses(dataset, indices):
    with pytest.raises(DatasetError):
        dataset.select(indices)


def test_atoms_refuses_an_index_outside(dataset):
    assert_same_frame(dataset.atoms(-1), dataset.atoms(7))
    with pytest.raises(DatasetError, match="structure 8: the dataset holds 8"):
        dataset.atoms(8)


def test_concatenate(frames, dataset):
    other = dataclasses.replace(dataset.select([2, 0]), metadata={"teacher": "Orb", "seed": "1"})
    joined = Dataset.concatenate([other, dataset])
    for k, i in enumerate([2, 0, *range(8)]):
        assert_same_frame(joined.atoms(k), frames[i])
    assert joined.metadata == {
        "teacher": "Orb; GFN2-xTB",
        "seed": "1; not recorded",
        "sampling": f"not recorded; {dataset.metadata['sampling']}",
    }


def test_cells_count_in_the_hash_of_periodic_structures_only(dataset):
    periodic = dataset.select(dataset.pbc.any(axis=1))
    assert periodic.sha256() != dataclasses.replace(periodic, cells=1.1 * periodic.cells).sha256()
    free = dataset.select(~dataset.pbc.any(axis=1))
    assert free.sha256() == dataclasses.replace(free, cells=free.cells + 1.0).sha256()


def test_concatenate_undoes_a_partition(dataset):
    parts = [dataset.select([0, 1, 2]), dataset.select([]), dataset.select(range(3, 8))]
    joined = Dataset.concatenate(parts)
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(joined, name), getattr(dataset, name))
    assert joined.metadata == dataset.metadata


def test_concatenate_refuses_nothing():
    with pytest.raises(DatasetError, match="at least one"):
        Dataset.concatenate([])


def test_from_no_atoms():
    empty = Dataset.from_atoms([])
    assert len(empty) == 0
    assert empty.stress is None


def test_from_atoms_takes_a_live_calculator_that_has_run():
    copper = ase.build.bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=0)
    copper.calc = EMT()
    energy, forces, stress = copper.get_potential_energy(), copper.get_forces(), copper.get_stress()
    dataset = Dataset.from_atoms([copper])
    assert dataset.energy[0] == energy
    np.testing.assert_array_equal(dataset.forces, forces.astype(np.float32))
    assert dataset.stress is not None
    np.testing.assert_array_equal(dataset.stress[0], stress)


def test_from_atoms_takes_a_full_stress_and_drops_one_without_a_volume():
    stress = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    frames = [ase.Atoms("H", cell=cell, pbc=True) for cell in ([3, 3, 3], [3, 3, 0])]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((1, 3)))
        atoms.calc.results["stress"] = stress
    np.testing.assert_array_equal(Dataset.from_atoms(frames).stress, [[1, 2, 3, 4, 5, 6], [np.nan] * 6])


def test_from_atoms_refuses_what_is_not_labelled(frames):
    frames[3].calc = None
    with pytest.raises(DatasetError, match=r"Frame 3 .* no labels"):
        Dataset.from_atoms(frames)


def test_from_atoms_refuses_missing_forces(frames):
    del frames[2].calc.results["forces"]
    with pytest.raises(DatasetError, match=r"Frame 2 .* no forces; its calculator holds: energy"):
        Dataset.from_atoms(frames)


def test_from_atoms_refuses_stale_labels(frames):
    frames[4].positions[0, 0] += 0.1
    with pytest.raises(DatasetError, match=r"Frame 4 .* changed after it was labelled: other positions"):
        Dataset.from_atoms(frames)


@pytest.mark.parametrize(
    ("name", "value"), [("energy", [1.0, 2.0]), ("energy", "low"), ("forces", np.ones(3))]
)
def test_from_atoms_refuses_misshapen_labels(frames, name, value):
    frames[1].calc.results[name] = value
    with pytest.raises(DatasetError, match=f"Frame 1: expected .*{name}"):
        Dataset.from_atoms(frames)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("forces", np.zeros((3, 3)), r"Dataset\.forces: expected the shape \(A, 3\) = \(34, 3\)"),
        ("energy", np.zeros((8, 1)), r"Dataset\.energy: expected the shape \(S,\) = \(8,\)"),
        ("splits", [0, 34, 3], r"Dataset\.splits: structure 1 ends before it starts"),
    ],
)
def test_construction_refuses_inconsistent_arrays(dataset, name, value, message):
    with pytest.raises(DatasetError, match=message):
        dataclasses.replace(dataset, **{name: value})
