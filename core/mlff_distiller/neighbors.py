"""Neighbour lists: every directed pair of atoms closer than the cutoff, periodic images included.

N atoms, E edges. Row 0 of ``edge_index`` (2, E) is the receiver i, row 1 the sender j; both directions of each pair
are present, and a pair occurs once for every image within the cutoff (an atom may neighbour its own images). There is
no maximum number of neighbours: it would make the forces discontinuous.

``vesin_neighbors`` (linear cost, the default), ``torch_neighbors`` (TorchScript, quadratic cost) and
``torch_cell_neighbors`` (TorchScript, linear cost) give the same edges.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_PAIRS = 2_000_000  # pairs held at once by torch_neighbors: bounds its memory to about 100 MB
CACHED_PAIRS = (
    300_000  # the same of torch_cell_neighbors, whose gathers are three times faster within a CPU's cache
)
FAR = 1e5  # Å: vesin ends the process, with a division by zero, on atoms in a row of some 1e6 Å
FEW_ATOMS = 100  # up to here comparing all pairs is faster than sorting atoms into bins


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

    extent = torch.cat([positions.detach().flatten(), cell[pbc].detach().flatten()]).abs()
    if extent.numel() > 0 and float(extent.max()) > FAR:
        return torch_cell_neighbors(positions, cell, pbc, cutoff)
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
    lattice = complete_cell(cell.detach().to(torch.float64), pbc)
    wrapped, offsets = _wrap(positions.detach().to(torch.float64), lattice, pbc)
    n_atoms = wrapped.shape[0]
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
        empty = torch.zeros(0, dtype=torch.int64, device=wrapped.device)
        return torch.stack([empty, empty]), torch.zeros(0, 3, dtype=torch.int64, device=wrapped.device)
    edge_index = torch.stack([torch.cat(receivers), torch.cat(senders)])
    return edge_index, torch.cat(edge_shifts).round().to(torch.int64)


def torch_cell_neighbors(
    positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float, block_pairs: int = CACHED_PAIRS
) -> tuple[Tensor, Tensor]:
    """All pairs within the cutoff, by sorting the atoms into bins that are at least one cutoff wide, where there is room.

    Scriptable, on any device, at a cost that is linear in the number of atoms at a given density, however much empty space
    there is. A cell smaller than the cutoff is one bin, whose images further away are searched as well. Arguments and
    result as for `torch_neighbors`.
    """
    lattice = complete_cell(cell.detach().to(torch.float64), pbc)
    wrapped, offsets = _wrap(positions.detach().to(torch.float64), lattice, pbc)
    n_atoms = wrapped.shape[0]
    if n_atoms == 0:
        return torch_neighbors(positions, cell, pbc, cutoff)
    bins, n_bins, reach = _bins(wrapped, lattice, pbc, cutoff)
    stencil = _grid(reach, torch.int64)  # (M, 3) differences between the bins of neighbours

    sorted_bins, order = torch.sort(_flat_index(bins, n_bins))
    in_order = wrapped[order]  # atoms of one bin lie together
    fullest = int(torch.unique_consecutive(sorted_bins, return_counts=True)[1].max())
    block = max(1, block_pairs // (stencil.shape[0] * fullest))
    edges: list[Tensor] = []
    edge_shifts: list[Tensor] = []
    for start in range(0, n_atoms, block):
        target = bins[start : start + block, None, :] + stencil  # (block, M, 3)
        shifts = torch.div(target, n_bins, rounding_mode="floor")  # lattice translations of those bins
        exists = ((shifts == 0) | pbc).all(dim=2)
        wanted = torch.where(exists, _flat_index(target - shifts * n_bins, n_bins), -1).flatten()
        first = torch.searchsorted(sorted_bins, wanted)  # (block × M,)
        count = torch.searchsorted(sorted_bins, wanted, right=True) - first
        # one candidate pair for each atom in each of these bins: P in all, each with its row of (receiver, bin)
        row = torch.repeat_interleave(count)  # (P,)
        sender = torch.arange(row.shape[0], device=row.device) + (first - count.cumsum(0) + count)[row]
        apart = shifts.to(torch.float64) @ lattice - wrapped[start : start + block, None, :]  # (block, M, 3)
        distance2 = _squared_sum(in_order, sender, apart.reshape(-1, 3), row)
        close = (distance2 < cutoff * cutoff).nonzero().squeeze(1)  # (E',)
        row, j = row[close], order[sender[close]]
        i = start + torch.div(row, stencil.shape[0], rounding_mode="floor")
        s = shifts.reshape(-1, 3)[row]
        keep = (i != j) | (s != 0).any(dim=1)
        i, j, s = i[keep], j[keep], s[keep]
        edges.append(torch.stack([i, j]))
        edge_shifts.append(s.to(torch.float64) + offsets[i] - offsets[j])  # undo the wrapping
    return torch.cat(edges, dim=1), torch.cat(edge_shifts).round().to(torch.int64)


def scripted_neighbors(
    positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float, few_atoms: int = FEW_ATOMS
) -> tuple[Tensor, Tensor]:
    """The faster of the two searches that TorchScript can do; see `vesin_neighbors` for arguments and result."""
    if positions.shape[0] <= few_atoms:
        return torch_neighbors(positions, cell, pbc, cutoff)
    return torch_cell_neighbors(positions, cell, pbc, cutoff)


def neighbor_list(positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """`vesin_neighbors` in Python, `scripted_neighbors` inside TorchScript, where no Python library can be called."""
    if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
        return scripted_neighbors(positions, cell, pbc, cutoff)
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


def _wrap(x: Tensor, lattice: Tensor, pbc: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (N, 3) within the cell along periodic directions, and the lattice translations (N, 3) taken off."""
    offsets = torch.floor(torch.linalg.solve(lattice.t(), x.t()).t()) * pbc.to(torch.float64)
    return x - offsets @ lattice, offsets


def _plane_distances(inverse: Tensor) -> Tensor:
    """(3,) Å between lattice planes, from the inverse of the lattice."""
    return 1.0 / torch.linalg.vector_norm(inverse, dim=0)


def _grid(reach: Tensor, dtype: torch.dtype) -> Tensor:
    """(M, 3): all triples of integers within ±reach (3,)."""
    ranges: list[Tensor] = []
    for axis in range(3):
        n = int(reach[axis])
        ranges.append(torch.arange(-n, n + 1, dtype=dtype, device=reach.device))
    return torch.cartesian_prod(ranges[0], ranges[1], ranges[2])


def _image_shifts(lattice: Tensor, pbc: Tensor, cutoff: float) -> Tensor:
    """(M, 3) float64: every lattice translation that can bring a wrapped atom within the cutoff of another."""
    heights = _plane_distances(torch.linalg.inv(lattice))
    reach = torch.ceil(cutoff / heights).to(torch.int64) * pbc.to(torch.int64)
    return _grid(reach, torch.float64)


def _bins(wrapped: Tensor, lattice: Tensor, pbc: Tensor, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """The bin (N, 3) of each atom, the number of bins (3,) and how many bins away neighbours can be (3,).

    Along periodic directions the cell is cut into equal bins; along open ones, whose lattice vectors are orthonormal, bins one
    cutoff wide start at the first atom.
    """
    inverse = torch.linalg.inv(lattice)
    heights = _plane_distances(inverse)
    fractional = wrapped @ inverse  # (N, 3), in Å along open directions
    origin = torch.where(pbc, 0.0, fractional.min(dim=0)[0])
    periodic_bins = torch.floor(heights / cutoff).clamp(min=1.0)
    scale = torch.where(pbc, periodic_bins, heights / cutoff)  # bins per unit of the fractional coordinate
    bins = torch.floor((fractional - origin) * scale).clamp(min=0.0).to(torch.int64)
    n_bins = torch.where(pbc, periodic_bins.to(torch.int64), bins.max(dim=0)[0] + 1)
    reach = torch.where(pbc, torch.ceil(cutoff * periodic_bins / heights), 1.0).to(torch.int64)
    return torch.minimum(bins, n_bins - 1), n_bins, reach  # rounding can put an atom just behind the last bin


def _flat_index(bins: Tensor, n_bins: Tensor) -> Tensor:
    """One number (...,) for each bin (..., 3)."""
    return (bins[..., 0] * n_bins[1] + bins[..., 1]) * n_bins[2] + bins[..., 2]


def _squared_sum(a: Tensor, a_rows: Tensor, b: Tensor, b_rows: Tensor) -> Tensor:
    """|a + b|² (P,) of chosen rows, axis by axis: several times faster than sums over a dimension of three."""
    total = torch.zeros(a_rows.shape[0], dtype=a.dtype, device=a.device)
    for axis in range(3):
        d = a[:, axis].index_select(0, a_rows) + b[:, axis].index_select(0, b_rows)
        total += d * d
    return total
