"""The curvature term against the Hessian of a known potential, and against a run without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.calculators.lj import LennardJones
from tests.conftest import random_student
from tests.training.conftest import labelled

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.errors import CheckpointError, TrainingError
from mlff_distiller.training.hessian import HessianPairs, displaced_pairs, hessian_loss


def labelled_pairs(dataset: Dataset, step: float = 0.01) -> Dataset:
    frames = displaced_pairs(dataset, step, seed=3)
    relabelled = []
    for k in range(len(frames)):
        atoms = frames.atoms(k)
        regime = atoms.info["regime"]
        labelled(atoms, atoms.info["molecule_id"])
        atoms.info["regime"] = regime
        relabelled.append(atoms)
    return Dataset.from_atoms(relabelled)


def test_pairs_lie_around_their_frame(dataset: Dataset) -> None:
    pairs = displaced_pairs(dataset, 0.01, seed=0)
    for k in (0, 11):
        forward, backward = pairs.atoms(2 * k).positions, pairs.atoms(2 * k + 1).positions
        np.testing.assert_allclose((forward + backward) / 2, dataset.atoms(k).positions, atol=1e-12)
        assert np.sqrt(((forward - backward) ** 2).sum(axis=1).mean()) == pytest.approx(0.02)


def test_loss_is_the_error_of_hessian_times_direction(dataset: Dataset) -> None:
    """For a student that predicts no forces at all: the mean norm of the teacher's own H v, from its full Hessian."""
    one = dataset.select([2])
    pairs = HessianPairs(labelled_pairs(one, step=1e-3), random_student())
    drawn = pairs.collate([0])
    loss = hessian_loss(torch.zeros_like(drawn.batch.forces), drawn)

    frames = displaced_pairs(one, 1e-3, seed=3)
    v = frames.atoms(0).positions - frames.atoms(1).positions
    v /= np.linalg.norm(v)
    atoms = one.atoms(0)
    atoms.calc = LennardJones(sigma=1.2, epsilon=0.5, rc=6.0, smooth=True)
    hessian_v = np.zeros((len(atoms), 3))
    for column, component in np.ndenumerate(v):  # H v = Σ_k v_k ∂g/∂x_k, one column of the Hessian at a time
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions[column] += sign * 1e-4
            hessian_v -= component * sign * moved.get_forces() / 2e-4
    assert loss.item() == pytest.approx(np.linalg.norm(hessian_v, axis=1).mean(), rel=1e-3)


def test_a_frame_without_its_partner_is_left_out(dataset: Dataset) -> None:
    frames = labelled_pairs(dataset.select(np.arange(4)))
    pairs = HessianPairs(frames.select([0, 1, 3, 4, 5, 6]), random_student())
    assert len(pairs) == 2


def test_frames_of_different_pairs_are_no_pair(dataset: Dataset) -> None:
    """Of two frames of one molecule, the backward frame of the first and the forward frame of the second failed."""
    two = dataset.select(np.flatnonzero(dataset.molecule_id == dataset.molecule_id[0])[:2])
    moved = replace(two, positions=two.positions + np.repeat([[0.0], [0.5]], two.n_atoms, axis=0))
    frames = labelled_pairs(moved)
    with pytest.raises(TrainingError, match="no such pair"):
        HessianPairs(frames.select([0, 3]), random_student())


def test_ordinary_frames_are_no_pairs(dataset: Dataset) -> None:
    with pytest.raises(TrainingError, match="mlffd pairs"):
        HessianPairs(dataset, random_student())


def test_the_term_teaches_curvature(dataset: Dataset, tmp_path: Path) -> None:
    """With the term, the error of H v on the pairs ends lower than without it, and resuming stays exact."""
    from tests.training.test_trainer import small_student

    from mlff_distiller.training.batches import GraphSet
    from mlff_distiller.training.compiled import EnergyForces
    from mlff_distiller.training.config import LossConfig, OptimizerConfig, TrainingConfig
    from mlff_distiller.training.trainer import train

    few = dataset.select(np.arange(8))
    errors = {}
    for weight in (0.0, 30.0):
        student = small_student(dataset)
        pairs = HessianPairs(labelled_pairs(few), student)
        config = TrainingConfig(
            epochs=150,
            validate_every=150,
            batch_size=8,
            compile=False,
            loss=LossConfig(force_weight=1.0, hessian_weight=weight, hessian_pairs=8),
            optimizer=OptimizerConfig(learning_rate=5e-3),
        )
        result = train(
            student,
            GraphSet(few, student),
            GraphSet(few, student),
            config,
            tmp_path / str(weight),
            pairs=pairs,
        )
        drawn = pairs.collate(range(len(pairs)))
        _, forces = EnergyForces(result.student)(*drawn.batch[:5])
        errors[weight] = hessian_loss(forces, drawn).item()
    assert errors[30.0] < 0.8 * errors[0.0]


def test_frames_that_are_left_out_are_counted(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    HessianPairs(labelled_pairs(dataset.select(np.arange(4))).select([0, 1, 3]), random_student())
    assert "1 of 3 frames of the curvature term are left out" in caplog.text


def test_a_run_does_not_go_on_with_other_pairs(dataset: Dataset, tmp_path: Path) -> None:
    from tests.training.test_trainer import CONFIG, small_student

    from mlff_distiller.training.batches import GraphSet
    from mlff_distiller.training.config import LossConfig, TrainingConfig
    from mlff_distiller.training.trainer import train

    config = TrainingConfig(**{**vars(CONFIG), "epochs": 1, "loss": LossConfig(hessian_weight=1.0)})
    few = dataset.select(np.arange(8))

    def run(step: float) -> None:
        student = small_student(dataset)
        pairs = HessianPairs(labelled_pairs(few, step), student)
        train(student, GraphSet(few, student), GraphSet(few, student), config, tmp_path, pairs=pairs)

    run(0.01)
    run(0.01)
    with pytest.raises(CheckpointError, match="a run on other data"):
        run(0.02)
