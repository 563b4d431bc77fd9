"""Training batches: neighbour lists computed once, then collated by slicing.

S structures, A atoms and E edges in a whole set; B, N, E in a batch. Frames never move during training, so the edge
vectors themselves are kept (20 bytes an edge) and an epoch never searches a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlff_distiller.data.dataset import Dataset, chunk_bounds
from mlff_distiller.errors import TrainingError
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.edges import dataset_edges


class Batch(NamedTuple):
    """B structures with N atoms and E edges in the network's dtype."""

    species: Tensor  # (N,) int64 rows in the student's tables
    edge_index: Tensor  # (2, E) int64
    edge_vec: Tensor  # (E, 3) Å
    batch: Tensor  # (N,) int64
    n_atoms: Tensor  # (B,)
    energy: Tensor  # (B,) eV, reference energies subtracted
    forces: Tensor  # (N, 3) eV/Å

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))


class GraphSet:
    """A labelled dataset with its edges, ready to be collated for one student.

    Args:
        dataset: S labelled structures.
        student: Gives the cutoff, the species table and the reference energies.
        sha256: What checkpoints know the set by; None means the hash of the dataset.

    Raises:
        TrainingError: The dataset is empty or holds an element that the student does not know.
    """

    def __init__(self, dataset: Dataset, student: StudentForceField, sha256: str | None = None) -> None:
        if len(dataset) == 0:
            raise TrainingError("the dataset holds no structures; there is nothing to learn from")
        self.dtype = student.energy_scale.dtype
        self.names = dataset.molecule_id
        self.sha256 = sha256 or dataset.sha256()
        self.atom_splits = dataset.splits
        numbers = torch.from_numpy(dataset.atomic_numbers)
        unknown = sorted(set(numbers.tolist()) - set(student.elements))
        if unknown:
            raise TrainingError(
                f"the dataset holds atomic numbers {unknown}, which are not among the student's elements "
                f"({student.element_names}); train a student with these elements or leave those structures out"
            )
        species = student.species_of[numbers]
        e0 = student.reference.e0.numpy()[species.numpy()]  # (A,) float64
        energy = torch.from_numpy(dataset.energy - np.add.reduceat(e0, dataset.splits[:-1]))
        edge_index, edge_vec, n_edges = dataset_edges(dataset, student.cutoff, self.dtype)
        self.edge_splits = np.concatenate([[0], np.cumsum(n_edges)])
        self._tensors = _Tensors(
            species=species,
            forces=torch.from_numpy(dataset.forces).to(self.dtype),
            energy=energy.to(self.dtype),
            edge_index=edge_index,
            edge_vec=edge_vec,
            first_atom=torch.from_numpy(self.atom_splits[:-1]),
            n_atoms=torch.from_numpy(np.diff(self.atom_splits)),
            first_edge=torch.from_numpy(self.edge_splits[:-1]),
            n_edges=torch.from_numpy(n_edges),
        )

    def __len__(self) -> int:
        return len(self.atom_splits) - 1

    @property
    def energy(self) -> Tensor:
        """(S,) eV, reference energies subtracted."""
        return self._tensors.energy

    @property
    def forces(self) -> Tensor:
        """(A, 3) eV/Å."""
        return self._tensors.forces

    def move_to(self, device: torch.device) -> None:
        """Keep the set on a GPU, where batches are then put together, if it takes at most a quarter of the free memory."""
        if device.type != "cuda":
            return
        size = sum(tensor.nbytes for tensor in self._tensors)
        if size <= torch.cuda.mem_get_info(device)[0] / 4:
            self._tensors = _Tensors(*(tensor.to(device) for tensor in self._tensors))

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Put the structures ``indices`` into one batch, without waiting for the GPU where the set is on one."""
        own, chosen = self._tensors, np.asarray(indices, dtype=np.int64)
        n_atoms_in_all, n_edges_in_all = (
            int((splits[chosen + 1] - splits[chosen]).sum())
            for splits in (self.atom_splits, self.edge_splits)
        )
        k = _without_waiting(torch.from_numpy(chosen), own.energy.device)
        n_atoms, n_edges = own.n_atoms[k], own.n_edges[k]
        atoms = _ranges(own.first_atom[k], n_atoms, n_atoms_in_all)
        edges = _ranges(own.first_edge[k], n_edges, n_edges_in_all)
        offsets = torch.cumsum(n_atoms, 0) - n_atoms
        return Batch(
            species=own.species.index_select(0, atoms),
            edge_index=own.edge_index.index_select(1, edges) + _repeat(offsets, n_edges, n_edges_in_all),
            edge_vec=own.edge_vec.index_select(0, edges),
            batch=_repeat(torch.arange(len(chosen), device=k.device), n_atoms, n_atoms_in_all),
            n_atoms=n_atoms.to(self.dtype),
            energy=own.energy[k],
            forces=own.forces.index_select(0, atoms),
        )

    def chunks(self, max_atoms: int) -> Iterator[Batch]:
        """All structures in order, in batches of at most ``max_atoms`` atoms (or one structure)."""
        for start, end in chunk_bounds(self.atom_splits, max_atoms):
            yield self.collate(range(start, end))


class _Tensors(NamedTuple):
    """What a `GraphSet` keeps, on one device."""

    species: Tensor  # (A,)
    forces: Tensor  # (A, 3)
    energy: Tensor  # (S,)
    edge_index: Tensor  # (2, E) int32, as atoms of their own structure
    edge_vec: Tensor  # (E, 3)
    first_atom: Tensor  # (S,)
    n_atoms: Tensor  # (S,)
    first_edge: Tensor  # (S,)
    n_edges: Tensor  # (S,)


def _without_waiting(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy on the device; from ordinary memory, CUDA would first finish all work in its queue."""
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def _repeat(values: Tensor, counts: Tensor, in_all: int) -> Tensor:
    return torch.repeat_interleave(values, counts, output_size=in_all)


def _ranges(first: Tensor, counts: Tensor, in_all: int) -> Tensor:
    """The numbers first[k] … first[k] + counts[k] - 1 of all k, one after the other: (in_all,)."""
    skipped = first - (torch.cumsum(counts, 0) - counts)
    return _repeat(skipped, counts, in_all) + torch.arange(in_all, device=first.device)


def shuffled_batches(n_structures: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: a permutation that depends on seed and epoch alone, so that resuming is exact."""
    order = np.random.default_rng([seed, epoch]).permutation(n_structures)
    return [order[start : start + batch_size] for start in range(0, n_structures, batch_size)]
