"""Muon against its definition and torch's own, and which weights it gets."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import random_student

from mlff_distiller.training.config import OptimizerConfig
from mlff_distiller.training.muon import RMS, Muon, orthogonalized
from mlff_distiller.training.optimizers import make_optimizers

SHAPES = [(30, 12), (12, 30), (12, 12), (30, 12), (3, 50)]


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (20, 20)])
def test_singular_vectors_stay_and_singular_values_become_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, *shape, generator=generator) * torch.tensor([1e-6, 1.0, 1e6])[:, None, None]
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    found = left.mT @ orthogonalized(matrices) @ right.mT
    values = found.diagonal(dim1=-2, dim2=-1)
    assert torch.all((values > 0.3) & (values < 1.25))
    torch.testing.assert_close(found, torch.diag_embed(values), rtol=0, atol=1e-4)
    assert torch.equal(orthogonalized(torch.zeros(1, *shape)), torch.zeros(1, *shape))


def test_steps_are_those_of_torch_but_for_its_bfloat16() -> None:
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(shape, generator=generator) for shape in SHAPES]
    ours, theirs = ([torch.nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    idle = torch.nn.Parameter(torch.ones(2, 2))
    found = Muon([*ours, idle], lr=0.1, weight_decay=0.05)
    rate = RMS / 0.2 * 0.1  # torch's is fixed at 0.2
    expected = torch.optim.Muon(theirs, lr=rate, weight_decay=0.005 / rate, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        found.step()
        expected.step()
    for a, b, start in zip(ours, theirs, starts, strict=True):
        assert torch.linalg.norm(a - b) < 0.03 * torch.linalg.norm(b - start)
    assert torch.equal(idle, torch.ones(2, 2))  # it has no gradient


def test_adamw_alone_decays_matrices_only() -> None:
    student = random_student().requires_grad_(True)
    (adamw,) = make_optimizers(student, OptimizerConfig(weight_decay=0.5), graphed=False)
    decay = {id(w): group["weight_decay"] for group in adamw.param_groups for w in group["params"]}
    found = {name: decay[id(weight)] for name, weight in student.named_parameters()}
    assert {name for name, value in found.items() if value} == {
        name
        for name, weight in student.named_parameters()
        if weight.ndim == 2 and "embedding" not in name and "initial_message.phi" not in name
    }
    assert set(found.values()) == {0.0, 0.5}


def test_every_weight_is_trained_by_one_optimizer() -> None:
    student = random_student().requires_grad_(True)
    muon, adamw = make_optimizers(student, OptimizerConfig(kind="muon"), graphed=False)
    parts = [
        {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        for optimizer in (muon, adamw)
    ]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {id(weight) for weight in student.parameters()}
    by_adamw = {name for name, weight in student.named_parameters() if id(weight) in parts[1]}
    assert {name for name, weight in student.named_parameters() if weight.ndim != 2} < by_adamw
    assert {"painn.embedding.weight", "painn.readout.2.weight"} < by_adamw
    assert {name for name, _ in student.named_parameters() if "filter" in name} < by_adamw
    assert "painn.readout.0.weight" not in by_adamw
