"""The edges of a whole dataset, found once.  S structures, A atoms and E edges in all.

A dataset is many small molecules: a call for each costs more than the search. All pairs of all open structures are compared
together, in blocks; periodic and large structures go to the cell list.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.graph import edge_vectors
from mlff_distiller.neighbors import vesin_neighbors

BLOCK_PAIRS = 1_000_000  # pairs held at once: some 100 MB
MANY_ATOMS = 300  # from here a cell list is faster than all pairs


def dataset_edges(dataset: Dataset, cutoff: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, np.ndarray]:
    """Every directed pair of atoms closer than the cutoff, as `vesin_neighbors` gives them for each structure.

    Args:
        dataset: S structures.
        cutoff: Å.
        dtype: Of the vectors; distances are compared in float64.

    Returns:
        Edges (2, E) int32 as atoms of their own structure, sorted by structure and receiver; vectors (E, 3) in Å from
        receivers to senders; number of edges of each structure (S,) int64.
    """
    sizes = np.diff(dataset.splits)
    by_pairs = ~dataset.pbc.any(axis=1) & (sizes < MANY_ATOMS)
    edges: list[Tensor] = []
    vectors: list[Tensor] = []
    counts: list[np.ndarray] = []
    for start, end in _blocks(sizes, by_pairs):
        found = _compare_pairs if by_pairs[start] else _search_cells
        edge_index, vector, count = found(dataset, start, end, cutoff)
        edges.append(edge_index.to(torch.int32))
        vectors.append(vector.to(dtype))
        counts.append(count)
    return torch.cat(edges, dim=1), torch.cat(vectors), np.concatenate(counts)


def _blocks(sizes: np.ndarray, by_pairs: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of structures: open ones together up to the bound on pairs, each of the others alone."""
    blocks: list[tuple[int, int]] = []
    start, n_pairs = 0, 0
    for s, (size, open_) in enumerate(zip(sizes.tolist(), by_pairs.tolist(), strict=True)):
        n_pairs += size**2
        if s > start and not (open_ and by_pairs[start] and n_pairs <= BLOCK_PAIRS):
            blocks.append((start, s))
            start, n_pairs = s, size**2
    return [*blocks, (start, len(sizes))]


def _compare_pairs(
    dataset: Dataset, start: int, end: int, cutoff: float
) -> tuple[Tensor, Tensor, np.ndarray]:
    first, last = dataset.splits[start], dataset.splits[end]
    positions = torch.from_numpy(dataset.positions[first:last])
    size = torch.from_numpy(np.diff(dataset.splits[start : end + 1]))
    origin = torch.from_numpy(dataset.splits[start:end] - first)
    n_partners = torch.repeat_interleave(size, size)  # (atoms of the block,)
    i = torch.repeat_interleave(torch.arange(len(positions)), n_partners)  # (pairs,)
    row_start = torch.cumsum(n_partners, 0) - n_partners - torch.repeat_interleave(origin, size)
    j = torch.arange(len(i)) - row_start[i]
    delta = positions[j] - positions[i]
    kept = ((delta * delta).sum(1) < cutoff**2) & (i != j)
    i, j = i[kept], j[kept]
    structure = torch.repeat_interleave(torch.arange(end - start), size)[i]  # (E,)
    count = torch.bincount(structure, minlength=end - start)
    return torch.stack([i, j]) - origin[structure], delta[kept], count.numpy()


def _search_cells(dataset: Dataset, start: int, end: int, cutoff: float) -> tuple[Tensor, Tensor, np.ndarray]:
    """The same for one structure, of any cell."""
    atoms = slice(dataset.splits[start], dataset.splits[end])
    positions, cells = torch.from_numpy(dataset.positions[atoms]), torch.from_numpy(dataset.cells[start:end])
    edge_index, shifts = vesin_neighbors(positions, cells[0], torch.from_numpy(dataset.pbc[start]), cutoff)
    same = torch.zeros(len(positions), dtype=torch.int64)
    vectors = edge_vectors(positions, edge_index, shifts, cells, same)
    return edge_index, vectors, np.array([edge_index.shape[1]])
