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
from mlff_distiller.graph import edge_vectors
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.neighbors import vesin_neighbors


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

    Raises:
        TrainingError: The dataset is empty or holds an element that the student does not know.
    """

    def __init__(self, dataset: Dataset, student: StudentForceField) -> None:
        if len(dataset) == 0:
            raise TrainingError("the dataset holds no structures; there is nothing to learn from")
        self.dtype = student.energy_scale.dtype
        self.names = dataset.molecule_id
        self.sha256 = dataset.sha256()
        self.atom_splits = dataset.splits
        numbers = torch.from_numpy(dataset.atomic_numbers)
        unknown = sorted(set(numbers.tolist()) - set(student.elements))
        if unknown:
            raise TrainingError(
                f"the dataset holds atomic numbers {unknown}, which are not among the student's elements "
                f"({student.element_names}); train a student with these elements or leave those structures out"
            )
        self.species = student.species_of[numbers]
        self.forces = torch.from_numpy(dataset.forces).to(self.dtype)
        e0 = student.reference.e0.numpy()[self.species.numpy()]  # (A,) float64
        self.energy = torch.from_numpy(dataset.energy - np.add.reduceat(e0, dataset.splits[:-1])).to(
            self.dtype
        )
        self._find_edges(dataset, student.cutoff)

    def _find_edges(self, dataset: Dataset, cutoff: float) -> None:
        edges, vectors, counts = [], [], [0]
        positions, cells, pbc = (torch.from_numpy(x) for x in (dataset.positions, dataset.cells, dataset.pbc))
        for s in range(len(dataset)):
            x = positions[dataset.splits[s] : dataset.splits[s + 1]]
            edge_index, shifts = vesin_neighbors(x, cells[s], pbc[s], cutoff)
            one_batch = torch.zeros(x.shape[0], dtype=torch.int64)
            vectors.append(edge_vectors(x, edge_index, shifts, cells[s : s + 1], one_batch).to(self.dtype))
            edges.append(edge_index.to(torch.int32))
            counts.append(edge_index.shape[1])
        self.edge_splits = np.cumsum(counts)
        self.edge_index = torch.cat(edges, dim=1)
        self.edge_vec = torch.cat(vectors)

    def __len__(self) -> int:
        return len(self.atom_splits) - 1

    @property
    def mean_neighbors(self) -> float:
        """Mean number of edges per atom."""
        return self.edge_vec.shape[0] / self.species.shape[0]

    def collate(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Put the structures ``indices`` into one batch."""
        atom_ranges = [(self.atom_splits[s], self.atom_splits[s + 1]) for s in indices]
        edge_ranges = [(self.edge_splits[s], self.edge_splits[s + 1]) for s in indices]
        n_atoms = torch.tensor([end - start for start, end in atom_ranges])
        offsets = torch.cumsum(n_atoms, 0) - n_atoms
        edge_index = torch.cat(
            [self.edge_index[:, a:b].long() + o for (a, b), o in zip(edge_ranges, offsets, strict=True)],
            dim=1,
        )
        return Batch(
            species=torch.cat([self.species[a:b] for a, b in atom_ranges]),
            edge_index=edge_index,
            edge_vec=torch.cat([self.edge_vec[a:b] for a, b in edge_ranges]),
            batch=torch.repeat_interleave(torch.arange(len(indices)), n_atoms),
            n_atoms=n_atoms.to(self.dtype),
            energy=self.energy[torch.as_tensor(indices)],
            forces=torch.cat([self.forces[a:b] for a, b in atom_ranges]),
        )

    def chunks(self, max_atoms: int) -> Iterator[Batch]:
        """All structures in order, in batches of at most ``max_atoms`` atoms (or one structure)."""
        for start, end in chunk_bounds(self.atom_splits, max_atoms):
            yield self.collate(range(start, end))


def shuffled_batches(n_structures: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch: a permutation that depends on seed and epoch alone, so that resuming is exact."""
    order = np.random.default_rng([seed, epoch]).permutation(n_structures)
    return [order[start : start + batch_size] for start in range(0, n_structures, batch_size)]
