"""The compiled step against plain double backward."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from tests.conftest import DEVICES
from tests.training.conftest import labelled

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.model.presets import build_student
from mlff_distiller.training.batches import GraphSet
from mlff_distiller.training.compiled import CompiledEnergyForces, EnergyForces


def loss_gradients(model, batch) -> list[torch.Tensor]:
    energy, forces = model(*batch[:5])
    loss = ((energy - batch.energy) ** 2).mean() + torch.linalg.vector_norm(
        forces - batch.forces, dim=1
    ).mean()
    return list(torch.autograd.grad(loss, list(model.student.parameters())))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_same_values_and_parameter_gradients(dataset: Dataset, device: str) -> None:
    """In float64, on batches of several sizes: cut second-order terms would show as errors of per cents.

    The batch sizes are those of the network (16 features, 8 radial functions), which a tracer could merge.
    """
    torch.manual_seed(0)
    student = StudentForceField(16, 2, 8, cutoff=4.0, max_z=8, elements=[1, 6, 8]).double()
    graphs = GraphSet(dataset, student)
    graphs.move_to(torch.device(device))
    student.to(device)
    eager = EnergyForces(student)
    compiled = CompiledEnergyForces(student)
    for indices in (range(16), range(8), range(3), range(20, 39), range(1)):
        batch = graphs.collate(indices)
        for a, b in zip(eager(*batch[:5]), compiled(*batch[:5]), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        for a, b in zip(loss_gradients(eager, batch), loss_gradients(compiled, batch), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_batches_of_one_structure_and_without_edges(dataset: Dataset) -> None:
    """In float32, for which torch's compiler fails on some sizes of one."""
    torch.manual_seed(0)
    student = build_student("ultra-tiny", [1, 6, 8])
    graphs = GraphSet(dataset, student)
    eager, compiled = EnergyForces(student), CompiledEnergyForces(student)
    lone_atoms = GraphSet(Dataset.from_atoms([labelled(Atoms("C"), "C"), labelled(Atoms("O"), "O")]), student)
    batches = [
        graphs.collate(range(1)),
        graphs.collate(range(5)),
        lone_atoms.collate([0, 1]),
        graphs.collate(range(1)),
    ]
    for batch in batches:
        for a, b in zip(loss_gradients(eager, batch), loss_gradients(compiled, batch), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
