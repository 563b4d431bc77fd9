"""ASE structures as OpenMM Systems with one force. OpenMM wants its own orientation of the box: results are turned back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms

from mlff_distiller.checks import check_cells
from mlff_distiller.errors import StructureError, require
from mlff_distiller_openmm.conversions import ANGSTROM
from mlff_distiller_openmm.force import create_force

if TYPE_CHECKING:
    import openmm


@dataclass(frozen=True)
class AtomsSystem:
    """A structure in OpenMM.

    Attributes:
        system: With masses, box and the potential as its only force.
        rotation: (3, 3) from ASE's frame to OpenMM's: x_openmm = x_ase @ rotation. A reflection where the cell is left-handed.
    """

    system: openmm.System
    rotation: np.ndarray

    def to_openmm(self, vectors: np.ndarray) -> np.ndarray:
        """(N, 3) in ASE's frame → OpenMM's."""
        return vectors @ self.rotation

    def from_openmm(self, vectors: np.ndarray) -> np.ndarray:
        """(N, 3) in OpenMM's frame → ASE's."""
        return vectors @ self.rotation.T


def atoms_system(atoms: Atoms, model: Any, backend: str, dtype: str) -> AtomsSystem:
    """Put a structure and its potential into a System.

    Args:
        atoms: A molecule or a fully periodic structure.
        model: See `create_force`, and so for ``backend`` and ``dtype``.

    Raises:
        StructureError: Periodic along some directions only, which OpenMM does not know. See also `create_force`.
    """
    openmm = require("openmm", "openmm")
    if atoms.pbc.any() and not atoms.pbc.all():
        raise StructureError(
            f"OpenMM knows molecules and fully periodic structures, got pbc = {atoms.pbc.tolist()}; "
            "make the open directions periodic with a vacuum wider than the student's receptive field"
        )
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(float(mass))
    rotation = np.eye(3)
    if atoms.pbc.all():
        box, rotation = reduced_box(atoms.cell.array)
        system.setDefaultPeriodicBoxVectors(*(box / ANGSTROM))
    periodic = bool(atoms.pbc.all())
    system.addForce(
        create_force(atoms.numbers.tolist(), model, backend=backend, periodic=periodic, dtype=dtype)
    )
    return AtomsSystem(system, rotation)


def reduced_box(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same lattice with box vectors as OpenMM wants them: lower triangular, positive, and no longer than need be.

    Args:
        cell: (3, 3) Å, rows are lattice vectors.

    Returns:
        box (3, 3) Å, and the orthogonal matrix (3, 3) from the old frame to the new one.

    Raises:
        StructureError: A singular cell.
    """
    check_cells(torch.from_numpy(cell[None]), torch.ones(1, 3, dtype=torch.bool))
    q, r = np.linalg.qr(cell.T)  # cell = rᵀ qᵀ, and rᵀ is lower triangular
    signs = np.sign(np.diag(r))
    box = (signs[:, None] * r).T
    # the order matters: each step keeps what the steps before have made small
    box[2] -= box[1] * np.round(box[2, 1] / box[1, 1])
    box[2] -= box[0] * np.round(box[2, 0] / box[0, 0])
    box[1] -= box[0] * np.round(box[1, 0] / box[0, 0])
    return np.tril(box), q * signs
