"""Reference energies of another teacher are found, reported, and taken over without touching the forces."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.conftest import random_student
from tests.training.conftest import make_dataset

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.evaluation.metrics import predict_dataset
from mlff_distiller.evaluation.reference_shift import align_references, measure_reference_shift
from mlff_distiller.model.potential import StudentForceField

SHIFT = {1: 0.7, 6: -2.0, 8: 5.5}  # eV


def labelled_by(student: StudentForceField, shift: dict[int, float]) -> Dataset:
    """Structures with the student's own labels, on other reference energies."""
    dataset = make_dataset(24)
    energy, forces = predict_dataset(student, dataset)
    moved = np.bincount(dataset.batch, weights=[shift[z] for z in dataset.atomic_numbers.tolist()])
    return replace(dataset, energy=energy + moved, forces=forces)


@pytest.fixture
def student() -> StudentForceField:
    return random_student()


def test_a_known_shift_is_found(student: StudentForceField) -> None:
    shift = measure_reference_shift(student, labelled_by(student, SHIFT))
    assert shift.by_element == pytest.approx(SHIFT)
    assert shift.after == pytest.approx(0.0, abs=1e-9)
    assert shift.needed
    dataset = make_dataset(24)
    per_atom = [np.mean([SHIFT[z] for z in dataset.atoms(k).numbers.tolist()]) for k in range(len(dataset))]
    assert shift.before == pytest.approx(np.sqrt(np.mean(np.square(per_atom))))


def test_alignment_moves_energies_and_no_force(
    student: StudentForceField, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = labelled_by(student, SHIFT)
    nitrogen = student.reference.e0[student.elements.index(7)].item()
    with caplog.at_level(logging.WARNING):
        align_references(student, dataset)
    energy, forces = predict_dataset(student, dataset)
    assert energy == pytest.approx(dataset.energy, abs=1e-8)
    assert forces == pytest.approx(dataset.forces, abs=1e-6)
    assert student.reference.e0[student.elements.index(7)].item() == nitrogen  # not in the labels
    assert "O +5.500" in caplog.text


def test_energies_that_fit_are_left_alone(
    student: StudentForceField, caplog: pytest.LogCaptureFixture
) -> None:
    before = student.reference.e0.clone()
    shift = align_references(student, labelled_by(student, dict.fromkeys(SHIFT, 0.05)))
    assert not shift.needed
    assert torch.equal(student.reference.e0, before)
    assert caplog.text == ""


def test_one_molecule_determines_the_sum_only(student: StudentForceField) -> None:
    dataset = labelled_by(student, SHIFT)
    methanol = dataset.select(dataset.molecule_id == "CH3OH")
    align_references(student, methanol)
    energy, _ = predict_dataset(student, methanol)
    assert energy == pytest.approx(methanol.energy, abs=1e-6)
