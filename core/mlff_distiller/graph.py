"""Flat batches of structures as graphs, and the arithmetic on them.

B structures, N atoms, E edges. ``edge_index`` (2, E): row 0 receiver i, row 1 sender j. ``edge_vec`` (E, 3) points from
i to j. ``batch`` (N,) int64 gives each atom's structure and is sorted. A `Graph` is all that a potential needs: whoever
knows the positions (an engine, a dataset) makes the edges, and whoever knows the network never sees a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mlff_distiller.checks import check_layout, check_positions
from mlff_distiller.errors import StructureError
from mlff_distiller.neighbors import neighbor_list


class Graph(NamedTuple):
    """A batch of B structures with N atoms and E edges in all."""

    atomic_numbers: Tensor  # (N,) int64
    edge_index: Tensor  # (2, E) int64
    edge_vec: Tensor  # (E, 3) Å
    batch: Tensor  # (N,) int64
    cell: Tensor  # (B, 3, 3) Å, zero rows where a structure is not periodic


def sum_edges(messages: Tensor, receivers: Tensor, n_atoms: int) -> Tensor:
    """Sum the messages (E, ...) that arrive at each atom: (n_atoms, ...)."""
    total = torch.zeros([n_atoms] + list(messages.shape[1:]), dtype=messages.dtype, device=messages.device)
    return total.index_add(0, receivers, messages)


def sum_atoms(values: Tensor, batch: Tensor, n_structures: int) -> Tensor:
    """Sum per-atom values (N, ...) over each structure: (n_structures, ...)."""
    total = torch.zeros([n_structures] + list(values.shape[1:]), dtype=values.dtype, device=values.device)
    return total.index_add(0, batch, values)


def edge_vectors(
    positions: Tensor, edge_index: Tensor, shifts: Tensor, cell: Tensor, batch: Tensor
) -> Tensor:
    """Vectors from receivers to senders, differentiable in the positions and the cells.

    Args:
        positions: (N, 3) Å.
        edge_index: (2, E).
        shifts: (E, 3) in units of the lattice vectors.
        cell: (B, 3, 3) Å.
        batch: (N,).

    Returns:
        (E, 3) Å.
    """
    i, j = edge_index[0], edge_index[1]
    edge_cell = cell[batch[i]]  # (E, 3, 3)
    translation = (shifts.to(cell.dtype).unsqueeze(1) @ edge_cell).squeeze(1)  # (E, 3)
    return positions[j] + translation - positions[i]


def build_graph(
    atomic_numbers: Tensor, positions: Tensor, batch: Tensor, cell: Tensor, pbc: Tensor, cutoff: float
) -> Graph:
    """Find the neighbours of every structure of a batch and put them into one graph.

    Args:
        atomic_numbers: (N,) int64.
        positions: (N, 3) Å.
        batch: (N,) int64, sorted.
        cell: (B, 3, 3) Å.
        pbc: (B, 3) bool.
        cutoff: Å.
    """
    n_structures = cell.shape[0]
    counts = torch.bincount(batch, minlength=n_structures)
    edges: list[Tensor] = []
    shifts: list[Tensor] = []
    start = 0
    for b in range(n_structures):
        end = start + int(counts[b])
        local_edges, local_shifts = neighbor_list(positions[start:end], cell[b], pbc[b], cutoff)
        edges.append(local_edges + start)
        shifts.append(local_shifts)
        start = end
    edge_index = torch.cat(edges, dim=1)
    edge_vec = edge_vectors(positions, edge_index, torch.cat(shifts), cell, batch)
    return Graph(atomic_numbers, edge_index, edge_vec, batch, cell)


@torch.jit.unused
def concatenate_graphs(graphs: Sequence[Graph]) -> Graph:
    """Several graphs, each of one structure or more, as one."""
    n_atoms = torch.tensor([0] + [graph.batch.shape[0] for graph in graphs]).cumsum(0)
    n_structures = torch.tensor([0] + [graph.cell.shape[0] for graph in graphs]).cumsum(0)
    return Graph(
        torch.cat([graph.atomic_numbers for graph in graphs]),
        torch.cat([graph.edge_index + n_atoms[k] for k, graph in enumerate(graphs)], dim=1),
        torch.cat([graph.edge_vec for graph in graphs]),
        torch.cat([graph.batch + n_structures[k] for k, graph in enumerate(graphs)]),
        torch.cat([graph.cell for graph in graphs]),
    )


def checked_graph(
    atomic_numbers: Tensor,
    positions: Tensor,
    batch: Tensor | None,
    cell: Tensor | None,
    pbc: Tensor | None,
    cutoff: float,
) -> Graph:
    """`build_graph` for a user's input: fills in the defaults and refuses what could only give wrong numbers.

    Args:
        atomic_numbers: (N,) int64.
        positions: (N, 3) Å.
        batch: (N,) int64, sorted structure index of each atom; None means one structure.
        cell: (B, 3, 3) or (3, 3) Å, rows are lattice vectors; None means no cell.
        pbc: (B, 3) or (3,) bool; needed with a cell.
        cutoff: Å.

    Raises:
        StructureError: No tensors, shapes that do not fit, positions that are not finite, a singular cell where pbc is set.
    """
    for name, value in (("atomic_numbers", atomic_numbers), ("positions", positions)):
        if not isinstance(value, Tensor):
            raise StructureError(
                f"{name}: expected a torch tensor, got {type(value).__name__}; torch.as_tensor makes one of an array"
            )
    if batch is None:
        batch = torch.zeros_like(atomic_numbers)
    if cell is None:
        if pbc is not None and bool(pbc.any()):
            raise StructureError("pbc is set, but there is no cell; give the cell, or leave out pbc")
        n_structures = int(batch[-1]) + 1 if batch.shape[0] > 0 else 1
        cell = torch.zeros(n_structures, 3, 3, dtype=positions.dtype, device=positions.device)
        pbc = torch.zeros(n_structures, 3, dtype=torch.bool, device=positions.device)
    if pbc is None:
        raise StructureError(
            "there is a cell, but no pbc; say along which lattice vectors the structure is periodic"
        )
    cell, pbc = cell.reshape(-1, 3, 3), pbc.reshape(-1, 3).to(torch.bool)  # 1 is true: it is no row number
    check_layout(atomic_numbers, positions, batch, cell, pbc)
    check_positions(positions, cell, pbc)
    # an open direction has no lattice vector: a molecule in a box has no volume and no stress
    periodic_cell = torch.where(pbc.unsqueeze(2), cell, torch.zeros_like(cell))
    return build_graph(atomic_numbers, positions, batch, periodic_cell, pbc, cutoff)
