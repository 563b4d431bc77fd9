"""Training in the native engine against automatic differentiation in float64."""

from __future__ import annotations

import gc
import weakref
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from tests.training.conftest import labelled
from tests.training.test_trainer import CONFIG, run
from torch import Tensor, nn

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.errors import ConfigError, MissingDependencyError
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.model.presets import PRESETS, build_student
from mlff_distiller.native import NativePotential, is_built
from mlff_distiller.training import native, trainer
from mlff_distiller.training.batches import Batch, GraphSet
from mlff_distiller.training.compiled import EnergyForces
from mlff_distiller.training.config import TrainingConfig
from mlff_distiller.training.native import NativeEnergyForces

pytestmark = pytest.mark.skipif(not is_built(), reason="the native engine is not built")
ELEMENTS = (1, 6, 8)


def student_of(n_features: int, n_interactions: int, n_rbf: int, cutoff: float = 4.0) -> StudentForceField:
    torch.manual_seed(0)
    student = StudentForceField(
        n_features, n_interactions, n_rbf, cutoff=cutoff, max_z=8, elements=list(ELEMENTS)
    )
    student.set_scales(dict.fromkeys(ELEMENTS, -1.0), energy_scale=1.3, mean_neighbors=9.0)
    return student


@pytest.fixture(scope="module")
def frames(dataset: Dataset) -> Dataset:
    """Molecules, a squeezed one, lone atoms, and cells smaller than the cutoff, in which atoms neighbour their own images."""
    squeezed = molecule("CH3OH")
    squeezed.positions *= 0.62  # within reach of the repulsion
    small = Atoms(
        "OH2",
        [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]],
        cell=[[3, 0, 0], [1, 3.2, 0], [0, 0.5, 3.5]],
        pbc=True,
    )
    layer = Atoms("CO", [[0, 0, 0], [1.2, 0.1, 0]], cell=[3.1, 2.9, 20], pbc=[True, True, False])
    others = [squeezed, Atoms("C"), small, layer, Atoms("O")]
    extra = Dataset.from_atoms([labelled(atoms, str(k)) for k, atoms in enumerate(others)])
    return Dataset.concatenate([dataset.select(np.arange(12)), extra])


def in_float64(batch: Batch) -> Batch:
    return Batch(*(t.double() if t.is_floating_point() else t for t in batch))


def results(model: nn.Module, batch: Batch) -> list[Tensor]:
    """Energies, forces, and the gradients of a loss of both that is not the same for any two atoms or structures."""
    energy, forces = model(*batch[:5])
    weights = torch.linspace(-1.0, 2.0, len(energy), dtype=energy.dtype)
    loss = (weights * energy).sum() + torch.linalg.vector_norm(forces - batch.forces, dim=1).sum()
    return [energy.detach(), forces.detach(), *torch.autograd.grad(loss, list(model.student.parameters()))]


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        assert torch.linalg.norm(a.double() - b) <= tolerance * torch.linalg.norm(b), torch.linalg.norm(
            a.double() - b
        ) / torch.linalg.norm(b)


SIZES = [(10, 1, 5), (22, 2, 9), (32, 3, 8), (50, 4, 12)]  # of one message on; padded and not


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize("sizes", SIZES)
def test_as_automatic_differentiation(
    frames: Dataset, sizes: tuple[int, int, int], isa: str, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = NativePotential(artifact).isa
    if (isa == "avx512" and best != "avx512") or (isa == "avx2" and best == "portable"):
        pytest.skip(f"this processor has no {isa}")
    monkeypatch.setenv("MLFFD_ISA", isa)
    student = student_of(*sizes)
    batch = GraphSet(frames, student).collate(range(len(frames)))
    expected = results(EnergyForces(deepcopy(student).double()), in_float64(batch))
    assert_close(results(NativeEnergyForces(student), batch), expected, 1e-5)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(frames: Dataset, preset: str) -> None:
    torch.manual_seed(1)
    student = build_student(preset, ELEMENTS)
    batch = GraphSet(frames, student).collate(range(8))
    expected = results(EnergyForces(deepcopy(student).double()), in_float64(batch))
    assert_close(results(NativeEnergyForces(student), batch), expected, 1e-5)


def test_threads_share_the_structures(dataset: Dataset) -> None:
    """Some 350 atoms: several shards a thread. Sums are the same each time, and nearly so with other threads."""
    student = student_of(32, 3, 8)
    batch = GraphSet(dataset, student).collate([*range(40)] * 2)
    expected = results(EnergyForces(deepcopy(student).double()), in_float64(batch))
    for n_threads in (2, 3, 64):
        model = NativeEnergyForces(student, n_threads)
        first, second = results(model, batch), results(model, batch)
        assert_close(first, expected, 1e-5)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_batches_of_other_sizes_leave_nothing_behind(frames: Dataset) -> None:
    student = student_of(22, 3, 9)
    graphs, model = GraphSet(frames, student), NativeEnergyForces(student)
    for indices in (range(17), [13], range(3), [14, 15], [13, 16], range(17)):  # 13 and 16 are lone atoms
        batch = graphs.collate(indices)
        fresh = results(NativeEnergyForces(student), batch)
        for a, b in zip(results(model, batch), fresh, strict=True):
            assert torch.equal(a, b)


def test_several_batches_in_one_loss(dataset: Dataset) -> None:
    """As with a curvature term: both forward passes come before the backward pass, and weights change in between runs."""
    student = student_of(22, 2, 9)
    graphs, model = GraphSet(dataset, student), NativeEnergyForces(student)
    batches = [graphs.collate(range(5)), graphs.collate(range(5, 20))]

    def gradients(energy_forces: nn.Module, batches: list[Batch]) -> list[Tensor]:
        loss = sum((energy_forces(*batch[:5])[1] ** 2).sum() for batch in batches)
        return list(torch.autograd.grad(loss, list(energy_forces.student.parameters()), allow_unused=True))

    for _ in range(2):
        reference = EnergyForces(deepcopy(student).double())
        expected = gradients(reference, [in_float64(batch) for batch in batches])
        used = [(a, b) for a, b in zip(gradients(model, batches), expected, strict=True) if b is not None]
        assert_close([a for a, _ in used], [b for _, b in used], 1e-5)
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.mul_(1.1)
    assert len(model._idle) == 2


def test_gradients_are_taken_once(dataset: Dataset) -> None:
    student = student_of(10, 2, 5)
    batch = GraphSet(dataset, student).collate(range(3))
    energy, forces = NativeEnergyForces(student)(*batch[:5])
    loss = energy.sum() + (forces**2).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="can be taken once"):
        loss.backward()


def test_memory_of_an_abandoned_batch_is_freed(dataset: Dataset) -> None:
    student = student_of(10, 2, 5)
    batch = GraphSet(dataset, student).collate(range(3))
    energy, forces = NativeEnergyForces(student)(*batch[:5])
    step = weakref.ref(forces.grad_fn.step)
    assert step() is not None
    del energy, forces
    gc.collect()
    assert step() is None


def test_evaluation_keeps_no_graph(dataset: Dataset) -> None:
    student = student_of(10, 2, 5)
    batch = GraphSet(dataset, student).collate(range(3))
    model = NativeEnergyForces(student).eval()
    for energy, forces in (model(*batch[:5]) for _ in range(2)):
        assert not energy.requires_grad
        assert not forces.requires_grad
    assert len(model._idle) == 1


def test_not_a_number_is_seen(dataset: Dataset) -> None:
    student = student_of(10, 2, 5)
    batch = GraphSet(dataset, student).collate(range(3))
    batch.edge_vec[0] = torch.nan
    energy, forces = NativeEnergyForces(student).eval()(*batch[:5])
    assert energy[0].isnan()
    assert forces[:6].isnan().any()
    assert energy[1:].isfinite().all()


def test_what_cannot_be_read_is_refused(dataset: Dataset) -> None:
    """The engine would read memory that is not the batch's, or add up the wrong numbers."""
    student = student_of(10, 2, 5)
    batch = GraphSet(dataset, student).collate(range(3))
    model = NativeEnergyForces(student)

    def refused(sentence: str, **changes: Tensor) -> None:
        with pytest.raises(ConfigError, match=sentence):
            model(*batch._replace(**changes)[:5])

    def with_sender(atom: int) -> Tensor:
        edge_index = batch.edge_index.clone()
        edge_index[1, batch.edge_index[0] == 0] = atom
        return edge_index

    refused("edges between atoms of the batch", edge_index=with_sender(1000))
    refused("edges between atoms of the batch", edge_index=with_sender(-1))
    refused("edges within a structure", edge_index=with_sender(len(batch.species) - 1))
    refused("species that the student knows", species=batch.species + 2**32)
    refused("atoms of one structure after those of the other", batch=batch.batch.flip(0))
    refused("expected int64 species", edge_index=batch.edge_index.int())
    refused("expected int64 species", edge_index=batch.edge_index[:, 1:])
    refused("expected int64 species", batch=batch.batch[1:])
    refused("float32 on a CPU", edge_vec=batch.edge_vec.double())
    student.double()
    refused("float32 on a CPU")


def test_what_is_changed_later_counts(dataset: Dataset) -> None:
    """Scales, parameters of other strides, frozen ones, and torch's default dtype."""
    student = student_of(10, 2, 5)
    batch = GraphSet(dataset, student).collate(range(6))
    model, eager = NativeEnergyForces(student), EnergyForces(student)
    model(*batch[:5])
    student.energy_scale.fill_(2.5)
    student.painn.message_scale.fill_(0.2)
    weight = student.painn.updates[0].mix.weight
    weight.data = weight.data.t().contiguous().t()
    student.painn.embedding.weight.requires_grad_(False)
    torch.set_default_dtype(torch.float64)
    try:
        found, expected = model(*batch[:5]), eager(*batch[:5])
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    (found[1] ** 2).sum().backward()
    ours = {name: p.grad for name, p in student.named_parameters()}
    student.zero_grad()
    (expected[1] ** 2).sum().backward()
    for name, p in student.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(ours[name], p.grad, rtol=1e-4, atol=1e-5)
    assert ours["painn.embedding.weight"] is None
    assert len(model._idle) == 1


def test_a_frozen_student_keeps_its_memory(dataset: Dataset) -> None:
    student = student_of(10, 2, 5).requires_grad_(False)
    model = NativeEnergyForces(student)
    model(*GraphSet(dataset, student).collate(range(3))[:5])
    assert len(model._idle) == 1


def test_a_library_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "load_library", lambda: object())
    with pytest.raises(MissingDependencyError, match="another version of its training"):
        NativeEnergyForces(student_of(10, 2, 5))
    monkeypatch.undo()
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    with pytest.raises(MissingDependencyError, match="another version of its training"):
        NativeEnergyForces(student_of(10, 2, 5))


def test_runs_end_where_plain_ones_end(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve steps, which rounding drives apart only slowly; the native ones are really taken."""
    made: list[int] = []

    class Counted(NativeEnergyForces):
        def __init__(self, student: StudentForceField, n_threads: int) -> None:
            made.append(n_threads)
            super().__init__(student, n_threads)

        def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
            assert torch.get_num_threads() == 1  # its threads would keep the engine's waiting
            return super().forward(*inputs)

    monkeypatch.setattr(trainer, "NativeEnergyForces", Counted)
    by_engine = run(dataset, tmp_path / "native", TrainingConfig(**{**vars(CONFIG), "threads": 2}))
    assert made == [2, 2]  # to train and to validate
    assert torch.get_num_threads() == 1
    plain = run(dataset, tmp_path / "plain", TrainingConfig(**{**vars(CONFIG), "native": False}))
    assert len(made) == 2
    for name, weight in by_engine.student.named_parameters():
        torch.testing.assert_close(weight, plain.student.get_parameter(name), rtol=0, atol=2e-3)
    for a, b in zip(by_engine.curves, plain.curves, strict=True):
        assert a["valid_loss"] == pytest.approx(b["valid_loss"], rel=1e-3)
