"""Padded batches against the batches that they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tests.conftest import random_student
from torch.optim.swa_utils import AveragedModel

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.training import cuda_graphs
from mlff_distiller.training.batches import GraphSet
from mlff_distiller.training.compiled import EnergyForces
from mlff_distiller.training.config import OptimizerConfig, TrainingConfig
from mlff_distiller.training.cuda_graphs import GraphedStep, padded_loss
from mlff_distiller.training.losses import energy_loss, force_loss
from mlff_distiller.training.optimizers import make_optimizers
from mlff_distiller.training.padding import Size, batch_sizes, empty_batch, fill, fits
from mlff_distiller.training.schedules import exponential_average
from mlff_distiller.training.step import PlainStep, Step


@pytest.mark.parametrize("chosen", [range(8), [3, 3, 21], [39]])
def test_padding_changes_neither_loss_nor_gradient(dataset: Dataset, chosen) -> None:
    """In tensors that held a larger batch before, so that what is left of it would show."""
    config = TrainingConfig()
    student = random_student().requires_grad_(True)
    graphs, model = GraphSet(dataset, student), EnergyForces(student)
    size = Size(n_structures=10, n_atoms=80, n_edges=700)
    padded = empty_batch(size, graphs.collate([0]))
    for indices in (range(9), chosen):
        fill(padded, graphs.collate(indices), student.cutoff)
    batch = graphs.collate(chosen)
    energy, forces = model(*batch[:5])
    loss_e = energy_loss(energy, batch.energy, batch.n_atoms, config.loss.huber_delta)
    loss_f = force_loss(forces, batch.forces)
    expected = 5.0 * loss_e + 100.0 * loss_f
    found = padded_loss(model, padded, torch.tensor(5.0), config)
    for a, b in zip(found, (expected, loss_e, loss_f), strict=True):
        torch.testing.assert_close(a, b)
    weights = list(student.parameters())
    for a, b in zip(
        torch.autograd.grad(found[0], weights), torch.autograd.grad(expected, weights), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("low", "high", "most"), [(900, 1400, 3), (5, 60, 9)])
def test_a_few_sizes_hold_every_batch_and_waste_little(low: int, high: int, most: int) -> None:
    """Batches of many molecules, and of one."""
    rng = np.random.default_rng(0)
    n_atoms = rng.integers(low, high, size=500)
    n_edges = 15 * n_atoms
    sizes = batch_sizes(n_atoms, n_edges, batch_size=64)
    assert len(sizes) <= most
    smallest = [
        next(s for s in sizes if a < s.n_atoms and e <= s.n_edges)
        for a, e in zip(n_atoms, n_edges, strict=True)
    ]
    assert sum(s.n_edges for s in smallest) < 1.15 * n_edges.sum()


def test_what_fits(dataset: Dataset) -> None:
    batch = GraphSet(dataset, random_student()).collate(range(4))
    n_atoms, n_edges = len(batch.species), len(batch.edge_vec)
    assert fits(batch, Size(4, n_atoms + 1, n_edges))
    assert not fits(batch, Size(3, n_atoms + 1, n_edges))
    assert not fits(batch, Size(4, n_atoms, n_edges))
    assert not fits(batch, Size(4, n_atoms + 1, n_edges - 1))


class NoRecorder:
    """Runs what would be recorded."""

    def __init__(self, device: torch.device) -> None:
        pass

    def run(self, name: object, function: Callable[[], torch.Tensor]) -> torch.Tensor:
        return function()


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_graphed_steps_are_plain_steps(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, kind: Literal["adamw", "muon"]
) -> None:
    """Without a GPU: gradients, clipping, update, learning rate and average, all but the recording."""
    monkeypatch.setattr(cuda_graphs, "Recorder", NoRecorder)
    config = TrainingConfig(compile=False, optimizer=OptimizerConfig(kind=kind, weight_decay=0.01))
    ends = []
    for graphed in (False, True):
        student = random_student().requires_grad_(True)
        graphs, model = GraphSet(dataset, student), EnergyForces(student)
        average = AveragedModel(student, multi_avg_fn=exponential_average(config.optimizer.ema_decay))
        optimizers = make_optimizers(student, config.optimizer, graphed=False)
        step: Step
        if graphed:
            step = GraphedStep(student, model, optimizers, average, config, [Size(8, 80, 700)])
        else:
            fabric = Fabric(accelerator="cpu")
            step = PlainStep(fabric, student, model, optimizers, average, config, None)
        values = []
        for k in range(4):
            values.append(step.gradients(graphs.collate(range(8 * k, 8 * k + 5)), 5.0 + k, k).tolist())
            step.update(1e-3 / (1 + k))
        ends.append((values, list(student.parameters()), list(average.module.parameters())))
    (plain, *weights), (found, *others) = ends
    np.testing.assert_allclose(found, plain, rtol=1e-6)
    for a, b in zip([*others[0], *others[1]], [*weights[0], *weights[1]], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
