"""Errors against sums written out by hand, and memory that does not grow with the dataset."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import random_student
from tests.training.conftest import make_dataset

from mlff_distiller.data.dataset import Dataset, chunk_bounds
from mlff_distiller.errors import StructureError
from mlff_distiller.evaluation.metrics import force_errors, measure_accuracy, predict_dataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_dataset(12)


def test_force_errors_by_hand() -> None:
    labels = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 2.0]])
    predicted = labels + [[0.3, 0.0, 0.0], [0.0, -0.1, 0.0]]
    errors = force_errors(predicted, labels)
    assert errors.mae == pytest.approx(0.4 / 6)
    assert errors.rmse == pytest.approx(np.sqrt(0.1 / 6))
    assert errors.r2 == pytest.approx(1 - 0.1 / (2.0 + 0.0 + 2.0))
    assert errors.label_rms == pytest.approx(1.0)


def test_perfect_predictions(dataset: Dataset) -> None:
    accuracy = measure_accuracy(dataset, dataset.energy, dataset.forces.astype(float))
    assert accuracy.forces.r2 == 1.0
    assert accuracy.energy.mae == 0.0
    assert set(accuracy.forces_by_element) == {"H", "C", "O"}
    assert set(accuracy.forces_by_regime) == {"rattle"}
    assert sum(errors.n_atoms for errors in accuracy.forces_by_element.values()) == len(
        dataset.atomic_numbers
    )


def test_errors_are_sorted_into_their_groups(dataset: Dataset) -> None:
    """An error on oxygen alone is nobody else's."""
    forces = dataset.forces.astype(float)
    forces[dataset.atomic_numbers == 8] += 0.5
    accuracy = measure_accuracy(dataset, dataset.energy, forces)
    assert accuracy.forces_by_element["O"].mae == pytest.approx(0.5)
    assert accuracy.forces_by_element["C"].mae == accuracy.forces_by_element["H"].mae == 0.0


def test_energy_shift_of_a_molecule_is_no_error_within_it(dataset: Dataset) -> None:
    shift = np.where(dataset.molecule_id == "H2CO", 0.5, 0.0) * dataset.n_atoms
    accuracy = measure_accuracy(dataset, dataset.energy + shift, dataset.forces.astype(float))
    assert accuracy.energy.mae == pytest.approx(0.5 * (dataset.molecule_id == "H2CO").mean())
    assert accuracy.energy.mae_shifted == pytest.approx(0.0, abs=1e-12)


def test_molecules_with_one_frame_say_nothing_of_errors_within_a_molecule() -> None:
    dataset = make_dataset(6)  # CH3OH H2CO HCOOH CH3CHO CH3OH H2CO
    error = np.array([1.0, 2.0, 9.0, 9.0, 3.0, 2.0])
    accuracy = measure_accuracy(
        dataset, dataset.energy + error * dataset.n_atoms, dataset.forces.astype(float)
    )
    assert accuracy.energy.mae_shifted == pytest.approx(np.mean([1.0, 1.0, 0.0, 0.0]))
    lonely = dataset.select([0, 1, 2])
    assert measure_accuracy(lonely, lonely.energy, lonely.forces.astype(float)).energy.mae_shifted is None


def test_a_structure_that_cannot_be_evaluated_is_named_with_the_atoms_within_it(dataset: Dataset) -> None:
    positions = dataset.positions.copy()
    first = dataset.splits[7]
    positions[first + 1] = positions[first] + [0.1, 0.0, 0.0]
    with pytest.raises(StructureError, match=r"structure 7: atoms 0 and 1 are 10 pm"):
        predict_dataset(random_student(), replace(dataset, positions=positions))


@pytest.mark.parametrize("name", ["", "frames.xyz"])
def test_molecules_without_ids_are_told_apart_by_their_composition(name: str) -> None:
    dataset = make_dataset(6)
    error = np.where(dataset.molecule_id == "H2CO", 0.5, 0.0) * dataset.n_atoms
    unnamed = replace(dataset, molecule_id=np.full(len(dataset), name))
    accuracy = measure_accuracy(unnamed, dataset.energy + error, dataset.forces.astype(float))
    assert accuracy.energy.mae_shifted == pytest.approx(0.0, abs=1e-12)


def test_predictions_are_those_of_single_structures(dataset: Dataset) -> None:
    student = random_student()
    energy, forces = predict_dataset(student, dataset, max_atoms=10)
    for k in range(len(dataset)):
        atoms = dataset.atoms(k)
        one = student.predict(torch.from_numpy(atoms.numbers).long(), torch.from_numpy(atoms.positions))
        assert energy[k] == pytest.approx(one.energy.item(), abs=1e-9)
        np.testing.assert_allclose(forces[dataset.splits[k] : dataset.splits[k + 1]], one.forces, atol=1e-9)


@pytest.mark.parametrize("max_atoms", [1, 3, 7, 100])
def test_chunks_cover_all_structures_in_order(max_atoms: int) -> None:
    splits = np.array([0, 3, 5, 5 + 9, 15, 16, 18])
    bounds = list(chunk_bounds(splits, max_atoms))
    assert [a for a, _ in bounds] == [0, *(b for _, b in bounds[:-1])]
    assert bounds[-1][1] == 6
    assert all(b == a + 1 or splits[b] - splits[a] <= max_atoms for a, b in bounds)


ROOT = Path(__file__).parents[2]
MEMORY_SCRIPT = """
import resource, sys
import numpy as np, torch
from mlff_distiller.evaluation.force_analysis import analyse_forces
from mlff_distiller.errors import StructureError
from mlff_distiller.evaluation.metrics import measure_accuracy, predict_dataset
from mlff_distiller.evaluation.report import evaluate_predictions
from mlff_distiller.model.presets import build_student
from mlff_distiller.training.batches import GraphSet
from mlff_distiller.training.compiled import EnergyForces
from mlff_distiller.training.config import LossConfig, TrainingConfig
from mlff_distiller.training.validation import validation_errors
from tests.training.conftest import make_dataset

torch.set_num_threads(1)
preset, n_structures = sys.argv[1], int(sys.argv[2])
base = make_dataset(500)
student = build_student(preset, elements=[1, 6, 8])
many = base.select(np.arange(n_structures) % 500)
energy, forces = predict_dataset(student, many)
measure_accuracy(many, energy, forces)
evaluate_predictions(many, energy, forces, preset)
analyse_forces(many, "labels", [(preset, energy, forces)]).to_dict()
max_atoms = TrainingConfig().max_atoms
validation_errors(EnergyForces(student).eval(), GraphSet(many, student), LossConfig(), max_atoms, torch.device("cpu"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "n_structures"), [("ultra-tiny", 10_000), ("original", 1_000)])
def test_ten_thousand_structures_with_forces_stay_under_two_gigabytes(preset: str, n_structures: int) -> None:
    """Evaluation, force analysis and validation, in a process of their own so that the peak is theirs.

    What a chunk takes depends on the preset, what the set takes on the number of structures: one test for each.
    """
    run = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, preset, str(n_structures)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert float(run.stdout) < 2.0
