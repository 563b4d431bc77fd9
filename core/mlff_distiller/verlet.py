"""A neighbour list with a Verlet skin: found once, used until an atom has moved half of the skin.  N atoms, E edges."""

from __future__ import annotations

import torch
from torch import Tensor

from mlff_distiller.checks import check_layout, check_positions
from mlff_distiller.errors import ConfigError
from mlff_distiller.graph import Graph, edge_vectors
from mlff_distiller.neighbors import vesin_neighbors


class VerletList:
    """Turns the positions of one structure, step after step, into graphs, and searches only when it must.

    Displacements are plain Cartesian ones of the positions as they come, so an atom that is wrapped back into the cell counts
    as moved and the list is made anew: slower for that step, never wrong. The edges that it gives are those
    within the cutoff, whatever the skin.

    Args:
        cutoff: Å.
        skin: Å; 0 searches at every step.

    Raises:
        ConfigError: A negative skin.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        if not skin >= 0:
            raise ConfigError(f"expected a skin of 0 Å or more, got {skin}")
        self.cutoff, self.skin = cutoff, skin
        self.n_searches = 0
        self._built_for: tuple[Tensor, Tensor, Tensor] | None = None  # positions, cell, pbc
        self._edge_index = torch.zeros(2, 0, dtype=torch.int64)
        self._shifts = torch.zeros(0, 3, dtype=torch.int64)

    def graph(self, atomic_numbers: Tensor, positions: Tensor, cell: Tensor, pbc: Tensor) -> Graph:
        """The structure as a graph.

        Args:
            atomic_numbers: (N,) int64.
            positions: (N, 3) Å, float64, on the CPU.
            cell: (3, 3) Å; rows of open directions are ignored.
            pbc: (3,) bool.

        Raises:
            StructureError: Positions that are not finite, or a singular cell where pbc is set.
        """
        batch = torch.zeros_like(atomic_numbers)
        check_layout(atomic_numbers, positions, batch, cell[None], pbc[None])
        check_positions(positions, cell[None], pbc[None])
        periodic_cell = torch.where(pbc[:, None], cell, 0.0)[None]  # (1, 3, 3)
        if not self._is_current(positions, cell, pbc):
            self._edge_index, self._shifts = vesin_neighbors(positions, cell, pbc, self.cutoff + self.skin)
            self._built_for = (positions.clone(), cell.clone(), pbc.clone())
            self.n_searches += 1
        edge_vec = edge_vectors(positions, self._edge_index, self._shifts, periodic_cell, batch)  # (E', 3)
        within = (edge_vec * edge_vec).sum(1) < self.cutoff**2
        return Graph(atomic_numbers, self._edge_index[:, within], edge_vec[within], batch, periodic_cell)

    def _is_current(self, positions: Tensor, cell: Tensor, pbc: Tensor) -> bool:
        if self._built_for is None or self.skin == 0:
            return False
        old_positions, old_cell, old_pbc = self._built_for
        if (
            positions.shape != old_positions.shape
            or not torch.equal(cell, old_cell)
            or not torch.equal(pbc, old_pbc)
        ):
            return False
        moved = torch.linalg.vector_norm(positions - old_positions, dim=1)
        return positions.shape[0] == 0 or float(moved.max()) <= 0.5 * self.skin
