"""Collation against graphs that are built from scratch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from tests.conftest import needs_cuda, random_student
from tests.training.conftest import labelled

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.errors import TrainingError
from mlff_distiller.evaluation.metrics import dataset_graph
from mlff_distiller.graph import Graph
from mlff_distiller.training import edges
from mlff_distiller.training.batches import Batch, GraphSet, shuffled_batches


def test_collated_batch_is_the_graph_of_its_structures(dataset: Dataset) -> None:
    student = random_student()
    chosen = [7, 3, 3, 39]
    batch = GraphSet(dataset, student).collate(chosen)
    expected = dataset_graph(dataset.select(chosen), 0, 4, student.cutoff)
    torch.testing.assert_close(in_order(batch), in_order(expected))
    assert torch.equal(batch.batch, expected.batch)
    assert torch.equal(batch.species, student.species(expected.atomic_numbers))
    assert batch.n_atoms.tolist() == dataset.n_atoms[chosen].tolist()
    np.testing.assert_allclose(batch.forces.numpy(), dataset.select(chosen).forces)


@needs_cuda
def test_a_set_on_a_gpu_gives_the_same_batches(dataset: Dataset) -> None:
    graphs = GraphSet(dataset, random_student())
    expected = graphs.collate([7, 3, 3, 39])
    graphs.move_to(torch.device("cuda"))
    batch = graphs.collate([7, 3, 3, 39])
    assert all(tensor.is_cuda for tensor in batch)
    assert all(torch.equal(a.cpu(), b) for a, b in zip(batch, expected, strict=True))


def in_order(graph: Batch | Graph) -> torch.Tensor:
    """(E, 5): receiver, sender and vector of every edge, sorted, since the order of edges is free."""
    rows = torch.cat([graph.edge_index.T.to(graph.edge_vec.dtype), graph.edge_vec], dim=1).numpy()
    return torch.from_numpy(rows[np.lexsort(np.round(rows.T[::-1], 6))])


@pytest.mark.parametrize("block_pairs", [10, 1_000_000])
def test_edges_of_molecules_and_crystals_small_and_large(
    monkeypatch: pytest.MonkeyPatch, block_pairs: int
) -> None:
    """A lone atom, molecules, periodic cells of both kinds, and a cluster that is too large to compare all pairs."""
    monkeypatch.setattr(edges, "BLOCK_PAIRS", block_pairs)
    cluster = bulk("C", "fcc", cubic=True, a=5.3) * (5, 5, 5)
    cluster.pbc = False
    structures = [Atoms("C"), Atoms("C2", [(0, 0, 0), (0, 0, 3.8)]), bulk("C", "fcc", a=5.3), cluster]
    structures += [Atoms("C3", [(0, 0, 0), (0, 0, 3.8), (0, 0, 9.0)]), bulk("C", "fcc", a=5.3, cubic=True)]
    structures[-1].pbc = (True, False, True)
    frames = [labelled(atoms, str(k)) for k, atoms in enumerate(structures)]
    mixed = Dataset.from_atoms([frames[k] for k in (1, 0, 2, 4, 1, 3, 5, 0, 4)])
    student = random_student()
    batch = GraphSet(mixed, student).collate(range(len(mixed)))
    torch.testing.assert_close(in_order(batch), in_order(dataset_graph(mixed, 0, len(mixed), student.cutoff)))


def test_reference_energies_are_subtracted_in_float64(dataset: Dataset) -> None:
    student = random_student(dtype=torch.float32)
    graphs = GraphSet(dataset, student)
    e0 = dict(zip(student.elements, student.reference.e0.tolist(), strict=True))
    for k in (0, 17):
        atoms = dataset.atoms(k)
        expected = atoms.get_potential_energy() - sum(e0[int(z)] for z in atoms.numbers)
        assert graphs.energy[k].item() == pytest.approx(expected, rel=1e-6)


def test_chunks_cover_everything_once_within_the_bound(dataset: Dataset) -> None:
    graphs = GraphSet(dataset, random_student())
    sizes = [chunk.n_atoms.tolist() for chunk in graphs.chunks(20)]
    assert [n for chunk in sizes for n in chunk] == dataset.n_atoms.tolist()
    assert all(sum(chunk) <= 20 for chunk in sizes)
    assert [len(chunk) for chunk in map(list, (c.n_atoms for c in graphs.chunks(1)))] == [1] * len(dataset)


def test_batches_of_an_epoch_are_a_permutation_that_depends_on_seed_and_epoch() -> None:
    first = shuffled_batches(50, 8, seed=1, epoch=3)
    assert sorted(np.concatenate(first)) == list(range(50))
    assert all((a == b).all() for a, b in zip(first, shuffled_batches(50, 8, seed=1, epoch=3), strict=True))
    assert any((a != b).any() for a, b in zip(first, shuffled_batches(50, 8, seed=1, epoch=4), strict=True))


def test_unknown_elements_and_empty_sets_are_refused(dataset: Dataset) -> None:
    from mlff_distiller.model.potential import StudentForceField

    student = StudentForceField(16, 1, 8, elements=[1, 6])
    with pytest.raises(TrainingError, match=r"atomic numbers \[8\].*H C"):
        GraphSet(dataset, student)
    with pytest.raises(TrainingError, match="no structures"):
        GraphSet(dataset.select([]), student)
