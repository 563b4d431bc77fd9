"""Energy and forces of an ASE structure through an OpenMM Context: what `mlffd verify` compares."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from mlff_distiller.errors import require
from mlff_distiller_openmm.conversions import ANGSTROM
from mlff_distiller_openmm.states import read_energies, read_forces
from mlff_distiller_openmm.system import atoms_system


def openmm_results(
    atoms: Atoms,
    model: Any = "tiny",
    backend: str = "auto",
    dtype: str = "float32",
    platform: str = "Reference",
) -> tuple[float, np.ndarray]:
    """Evaluate a structure in OpenMM.

    Args:
        atoms: A molecule or a fully periodic structure.
        model: See `create_force`, and so for ``backend`` and ``dtype``.
        platform: OpenMM's name of a platform.

    Returns:
        energy eV, and forces (N, 3) eV/Å.

    Raises:
        StructureError: Periodic along some directions only, or an element that the student does not know.
        openmm.OpenMMException: What the student refuses during the evaluation, with its sentence.
    """
    openmm = require("openmm", "openmm")
    placed = atoms_system(atoms, model, backend, dtype)
    integrator = openmm.VerletIntegrator(0.0)
    context = openmm.Context(placed.system, integrator, openmm.Platform.getPlatformByName(platform))
    context.setPositions(placed.to_openmm(atoms.positions) / ANGSTROM)
    state = context.getState(energy=True, forces=True)
    energy, _ = read_energies(state)
    return energy, placed.from_openmm(read_forces(state))
