"""Batches of a few fixed sizes, as CUDA graphs need them.  B structures, N atoms and E edges in a batch.

What is added belongs to a structure of its own, which the loss leaves out. Its atoms neighbour only themselves, beyond the
cutoff, where messages are zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlff_distiller.training.batches import Batch

# Of the edges in a batch. Three sizes waste 7 % on batches of 64 molecules; small or very unequal batches need more.
FEW, MORE = (0.5, 0.9, 1.0), (0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.97, 1.0)
WASTE = 1.1  # edges of padded over edges of real batches from which more sizes are taken
SPARE_ATOMS = 32  # at least: many edges of padding at one atom would wait for each other


class Size(NamedTuple):
    """What a padded batch has room for; at least one of its atoms is padding."""

    n_structures: int
    n_atoms: int
    n_edges: int


class PaddedBatch(NamedTuple):
    """Tensors that every batch of a size is copied into."""

    tensors: Batch  # one structure more than there is room for: the padding
    n_structures: Tensor  # (), real ones
    n_atoms: Tensor  # (), real ones


def batch_sizes(n_atoms: np.ndarray, n_edges: np.ndarray, batch_size: int) -> list[Size]:
    """A few sizes, the smallest first, that hold all batches of a run.

    Args:
        n_atoms: Of each batch.
        n_edges: Of each batch.
        batch_size: The most structures in a batch.
    """
    few, more = (
        sorted({max(2, int(q)) for q in np.quantile(n_edges, qs, method="higher")}) for qs in (FEW, MORE)
    )
    padded = np.array(few)[np.searchsorted(few, n_edges)]
    limits = few if padded.sum() <= WASTE * n_edges.sum() else more
    return [Size(batch_size, int(n_atoms[n_edges <= limit].max()) + SPARE_ATOMS, limit) for limit in limits]


def empty_batch(size: Size, like: Batch) -> PaddedBatch:
    """Room for a batch of a size, with the dtypes and on the device of an example."""
    n_structures, n_atoms, n_edges = size.n_structures + 1, size.n_atoms, size.n_edges
    tensors = Batch(
        species=like.species.new_zeros(n_atoms),
        edge_index=like.edge_index.new_zeros(2, n_edges),
        edge_vec=like.edge_vec.new_zeros(n_edges, 3),
        batch=like.batch.new_zeros(n_atoms),
        n_atoms=like.n_atoms.new_zeros(n_structures),
        energy=like.energy.new_zeros(n_structures),
        forces=like.forces.new_zeros(n_atoms, 3),
    )
    return PaddedBatch(tensors, like.n_atoms.new_zeros(()), like.n_atoms.new_zeros(()))


def fits(batch: Batch, size: Size) -> bool:
    """Whether a batch can be padded to a size."""
    return (
        len(batch.energy) <= size.n_structures
        and len(batch.species) < size.n_atoms
        and len(batch.edge_vec) <= size.n_edges
    )


def fill(padded: PaddedBatch, batch: Batch, cutoff: float) -> None:
    """Copy a batch into the tensors of its size and pad the rest, without waiting for the device."""
    own = padded.tensors
    n_structures, n_atoms, n_edges = len(batch.energy), len(batch.species), len(batch.edge_vec)
    for new, old in zip(batch, own, strict=True):
        along = 1 if new is batch.edge_index else 0
        old.narrow(along, 0, new.shape[along]).copy_(new)
    own.species[n_atoms:] = 0
    own.batch[n_atoms:] = len(own.energy) - 1
    own.energy[n_structures:] = 0.0
    own.n_atoms[n_structures:] = 1.0
    added = torch.arange(own.edge_index.shape[1] - n_edges, device=own.edge_index.device)
    own.edge_index[:, n_edges:] = n_atoms + added % (len(own.species) - n_atoms)
    own.edge_vec[n_edges:] = cutoff  # each component: beyond the cutoff
    padded.n_structures.fill_(n_structures)
    padded.n_atoms.fill_(n_atoms)
