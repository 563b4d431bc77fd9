"""Neighbour lists: every directed pair of atoms closer than the cutoff, periodic images included.

N atoms, E edges. Row 0 of ``edge_index`` (2, E) is the receiver i, row 1 the sender j; both directions of each pair
are present, and a pair occurs once for every image within the cutoff (an atom may neighbour its own images). There is
no maximum number of neighbours: it would make the forces discontinuous.

``vesin_neighbors`` (linear cost, the default) and ``torch_neighbors`` (TorchScript, quadratic cost) give the same edges.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_PAIRS = 2_000_000  # pairs held at once by torch_neighbors: bounds its memory to about 100 MB


@torch.jit.unused
def vesin_neighbors(positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """All pairs within the cutoff, by the cell list of the vesin library.

    Args:
        positions: (N, 3) Å, wrapped or not.
        cell: (3, 3) Å, rows are lattice vectors; rows of open directions are ignored.
        pbc: (3,) bool.
        cutoff: Å.

    Returns:
        edge_index (2, E) int64 sorted by receiver, and shifts (E, 3) int64 in units of the lattice vectors, on the
        device of the positions.
    """
    import numpy as np
    import vesin

    neighbor_list = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    i, j, shifts = neighbor_list.compute(
        points=positions.detach().to("cpu", torch.float64).numpy(),
        box=complete_cell(cell.detach().to("cpu", torch.float64), pbc.cpu()).numpy(),
        periodic=pbc.cpu().numpy(),
        quantities="ijS",
    )
    edge_index = torch.from_numpy(np.stack([i, j]).astype(np.int64))
    return edge_index.to(positions.device), torch.from_numpy(shifts.astype(np.int64)).to(positions.device)


def torch_neighbors(
    positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float, block_pairs: int = BLOCK_PAIRS
) -> tuple[Tensor, Tensor]:
    """All pairs within the cutoff, by comparing every atom with every atom and image, in blocks of receivers.

    Scriptable, on any device. Result and order of the receivers as for `vesin_neighbors`, and so the arguments, but for
    ``block_pairs``, the number of pairs held at once.
    """
    x = positions.detach().to(torch.float64)
    n_atoms = x.shape[0]
    lattice = complete_cell(cell.detach().to(torch.float64), pbc)
    offsets = torch.floor(torch.linalg.solve(lattice.t(), x.t()).t()) * pbc.to(torch.float64)  # (N, 3)
    wrapped = x - offsets @ lattice
    shifts = _image_shifts(lattice, pbc, cutoff)  # (M, 3)
    images = shifts @ lattice  # (M, 3)

    block = max(1, block_pairs // max(1, n_atoms * images.shape[0]))
    receivers: list[Tensor] = []
    senders: list[Tensor] = []
    edge_shifts: list[Tensor] = []
    for start in range(0, n_atoms, block):
        center = wrapped[start : start + block]
        delta = (
            wrapped[None, :, None, :] + images[None, None, :, :] - center[:, None, None, :]
        )  # (block, N, M, 3)
        distance2 = (delta * delta).sum(-1)
        close = (distance2 < cutoff * cutoff).nonzero()  # (E', 3): receiver in block, sender, image
        i = close[:, 0] + start
        j = close[:, 1]
        s = shifts[close[:, 2]]
        keep = (i != j) | (s != 0.0).any(dim=1)
        i, j, s = i[keep], j[keep], s[keep]
        receivers.append(i)
        senders.append(j)
        edge_shifts.append(s + offsets[i] - offsets[j])  # undo the wrapping
    if n_atoms == 0:
        empty = torch.zeros(0, dtype=torch.int64, device=x.device)
        return torch.stack([empty, empty]), torch.zeros(0, 3, dtype=torch.int64, device=x.device)
    edge_index = torch.stack([torch.cat(receivers), torch.cat(senders)])
    return edge_index, torch.cat(edge_shifts).round().to(torch.int64)


def neighbor_list(positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """`vesin_neighbors` in Python, `torch_neighbors` inside TorchScript, where no Python library can be called."""
    if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        return torch_neighbors(positions, cell, pbc, cutoff)
    return vesin_neighbors(positions, cell, pbc, cutoff)


def complete_cell(cell: Tensor, pbc: Tensor) -> Tensor:
    """Replace the rows of open directions, so that any mixture of pbc has an invertible cell.

    The new rows are orthonormal and orthogonal to the periodic ones: they change no periodic image.

    Args:
        cell: (3, 3) Å.
        pbc: (3,) bool.

    Returns:
        (3, 3) Å. Singular only if the periodic rows themselves are linearly dependent.
    """
    n_periodic = int(pbc.sum())
    if n_periodic == 3:
        return cell
    complete = torch.zeros_like(cell)
    complete[pbc] = cell[pbc]
    # the right singular vectors with zero singular value span the complement of the periodic rows
    _, _, vh = torch.linalg.svd(complete, full_matrices=True)
    complete[~pbc] = vh[n_periodic:]
    return complete


def _image_shifts(lattice: Tensor, pbc: Tensor, cutoff: float) -> Tensor:
    """(M, 3) float64: every lattice translation that can bring a wrapped atom within the cutoff of another."""
    inverse = torch.linalg.inv(lattice)
    heights = 1.0 / torch.linalg.vector_norm(inverse, dim=0)  # (3,) distances between lattice planes
    reach = torch.ceil(cutoff / heights).to(torch.int64) * pbc.to(torch.int64)
    ranges: list[Tensor] = []
    for axis in range(3):
        n = int(reach[axis])
        ranges.append(torch.arange(-n, n + 1, dtype=torch.float64, device=lattice.device))
    return torch.cartesian_prod(ranges[0], ranges[1], ranges[2])
