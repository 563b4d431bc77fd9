"""Checks of a structure before any number is computed from it: a clear error instead of a wrong number.

Scriptable, so that the exported file makes the same checks with the same words in every engine.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mlff_distiller.errors import StructureError

FURTHEST = 1e9  # Å from the origin, where float64 still resolves 1e-7 Å
MIN_DISTANCE = (
    0.3  # Å; no bond is shorter than half of H2's 0.74 Å, so anything closer is a mistake in the input
)


def check_layout(atomic_numbers: Tensor, positions: Tensor, batch: Tensor, cell: Tensor, pbc: Tensor) -> None:
    """Shapes, and a batch that is sorted and within the number of structures.

    Raises:
        StructureError: A shape or an index that does not fit.
    """
    n_atoms, n_structures = atomic_numbers.shape[0], cell.shape[0]
    if positions.shape != (n_atoms, 3):
        raise StructureError(
            f"expected positions of shape ({n_atoms}, 3) to go with {n_atoms} atomic numbers, got {list(positions.shape)}"
        )
    if cell.shape != (n_structures, 3, 3) or pbc.shape != (n_structures, 3):
        raise StructureError(
            f"expected cell (B, 3, 3) and pbc (B, 3) with the same B, got {list(cell.shape)} and {list(pbc.shape)}"
        )
    check_batch(n_atoms, batch)
    if n_atoms > 0 and (
        bool((batch[1:] < batch[:-1]).any()) or int(batch[0]) < 0 or int(batch[-1]) >= n_structures
    ):
        raise StructureError(
            f"expected batch sorted and within 0 … {n_structures - 1}, as there are {n_structures} cells; "
            "sort the atoms by structure"
        )


def check_batch(n_atoms: int, batch: Tensor) -> None:
    """One structure index for each atom.

    Raises:
        StructureError: Another shape.
    """
    if batch.shape != (n_atoms,):
        raise StructureError(
            f"expected batch of shape ({n_atoms},), one structure index per atom, got {list(batch.shape)}"
        )


def check_edges(n_atoms: int, edge_index: Tensor, edge_vec: Tensor, batch: Tensor) -> None:
    """Shapes of a graph that an engine brings.

    Raises:
        StructureError: A shape that does not fit.
    """
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_vec.shape != (edge_index.shape[1], 3):
        raise StructureError(
            f"expected edge_index (2, E) and edge_vec (E, 3), got {list(edge_index.shape)} and {list(edge_vec.shape)}"
        )
    check_batch(n_atoms, batch)


def check_positions(positions: Tensor, cell: Tensor, pbc: Tensor, furthest: float = FURTHEST) -> None:
    """Finite positions not too far away, and a cell that spans every periodic direction.

    Args:
        positions: (N, 3) Å.
        cell: (B, 3, 3) Å.
        pbc: (B, 3) bool.
        furthest: Å from the origin.

    Raises:
        StructureError: Names the first atom or structure at fault.
    """
    finite = torch.isfinite(positions).all(dim=1)  # (N,)
    if not bool(finite.all()):
        atom = int((~finite).nonzero()[0, 0])
        raise StructureError(
            f"the position of atom {atom} is not finite (NaN or infinite); look for the step that produced it"
        )
    is_far = (positions.abs() > furthest).any(dim=1)  # (N,)
    if bool(is_far.any()):
        atom = int(is_far.nonzero()[0, 0])
        raise StructureError(
            f"the position of atom {atom} is more than 1e9 Å from the origin; look for the step that produced it"
        )
    check_cells(cell, pbc)


def check_cells(cell: Tensor, pbc: Tensor) -> None:
    """Cells that span every periodic direction.

    Args:
        cell: (B, 3, 3) Å.
        pbc: (B, 3) bool.

    Raises:
        StructureError: Names the first structure at fault.
    """
    for b in range(cell.shape[0]):
        n_periodic = int(pbc[b].sum())
        if n_periodic > 0:
            rows = cell[b][pbc[b]].to(torch.float64)  # (n_periodic, 3)
            if not bool(torch.isfinite(rows).all()) or float(torch.linalg.det(rows @ rows.t())) < 1e-12:
                raise StructureError(
                    f"structure {b} is periodic along {n_periodic} direction(s) in which its cell is singular; "
                    "set the cell, or set pbc to False"
                )


def check_species(species: Tensor, atomic_numbers: Tensor, known: str) -> None:
    """Every element is one that the student was trained on.

    Args:
        species: (N,) index of the element in the student's table, -1 where there is none.
        atomic_numbers: (N,).
        known: The student's elements, for the message.

    Raises:
        StructureError: Names the first atom of an unknown element.
    """
    unknown = species < 0
    if bool(unknown.any()):
        atom = int(unknown.nonzero()[0, 0])
        raise StructureError(
            f"atom {atom} has atomic number {int(atomic_numbers[atom])}, which this student does not know; "
            f"it knows {known}. Choose or distil a student with that element"
        )


def check_results(energy: Tensor, forces: Tensor) -> None:
    """Energies and forces that are numbers.

    Args:
        energy: (B,) eV.
        forces: (N, 3) eV/Å.

    Raises:
        StructureError: One is not finite.
    """
    if not bool(torch.isfinite(energy).all() & torch.isfinite(forces).all()):
        raise StructureError(
            "the energy or a force is not finite: too many atoms are too close to one another for this precision; look at the "
            "structure"
        )


def check_distances(edge_index: Tensor, edge_vec: Tensor, minimum: float = MIN_DISTANCE) -> None:
    """No two atoms on top of each other.

    Args:
        edge_index: (2, E).
        edge_vec: (E, 3) Å.
        minimum: Å.

    Raises:
        StructureError: Names the closest pair.
    """
    if edge_vec.shape[0] > 0:
        r2 = (edge_vec * edge_vec).sum(1)
        closest = int(r2.argmin())
        i, j = int(edge_index[0, closest]), int(edge_index[1, closest])
        if bool(torch.isnan(r2[closest])):
            raise StructureError(
                f"the vector from atom {i} to atom {j} is not finite; look for the step that produced it"
            )
        r = float(r2[closest].sqrt())
        if r < minimum:
            pm = int(100.0 * r + 0.5)  # the text is made of integers, since TorchScript cannot format a float
            raise StructureError(
                f"atoms {i} and {j} are {pm} pm apart, less than {int(100.0 * minimum)} pm: "
                "the structure is not physical; look at these atoms"
            )
