"""The potential as a TorchForce of openmm-torch: one scripted module, with no Python in a step."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.errors import StructureError
from mlff_distiller.export.torchscript import compile_script
from mlff_distiller.graph import checked_graph
from mlff_distiller_openmm.conversions import ANGSTROM, KJ_PER_MOL, KJ_PER_MOL_NM
from mlff_distiller_openmm.models import Model, check_elements, open_torchscript
from mlff_distiller_openmm.openmm_torch import load_openmm_torch
from mlff_distiller_openmm.region import Region, find_region

if TYPE_CHECKING:
    from openmm.app import Topology


class OpenMMModule(nn.Module):
    """What openmm-torch calls at every step: N particles, n of them in the region; OpenMM's units.

    Args:
        student: The scripted student.
        cutoff: Å.
        region: The atoms, and how many particles there are.
    """

    if TYPE_CHECKING:
        atoms: Tensor
        atomic_numbers: Tensor
        pbc: Tensor

    def __init__(self, student: torch.jit.ScriptModule, cutoff: float, region: Region) -> None:
        super().__init__()
        self.student = student
        self.cutoff = cutoff
        self.n_particles = region.n_particles
        atoms = range(region.n_particles) if region.atoms is None else region.atoms
        self.register_buffer("atoms", torch.tensor(atoms))  # (n,)
        self.register_buffer("atomic_numbers", torch.tensor(region.numbers))  # (n,)
        self.register_buffer("pbc", torch.tensor([True] * 3))
        self.angstrom, self.kj_per_mol, self.kj_per_mol_nm = ANGSTROM, KJ_PER_MOL, KJ_PER_MOL_NM

    def forward(self, positions: Tensor, box_vectors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Energy and forces of a step.

        Args:
            positions: (N, 3) nm, in the precision and on the device of OpenMM's platform.
            box_vectors: (3, 3) nm; openmm-torch gives them to a force that uses periodic boundary conditions.

        Returns:
            energy () kJ/mol, float64, and forces (N, 3) kJ/mol/nm, zero outside the region.

        Raises:
            StructureError: Positions that are not finite, atoms on top of each other, another number of particles.
        """
        if positions.shape[0] != self.n_particles:
            raise StructureError(
                f"expected {self.n_particles} particles, as when this module was made, got {positions.shape[0]}; "
                "make it again for this System"
            )
        device = self.atoms.device  # the platform's, unless the user chose another
        x = self.angstrom * positions.detach().to(device, torch.float64).index_select(0, self.atoms)  # (n, 3)
        cell: Tensor | None = None
        pbc: Tensor | None = None
        if box_vectors is not None:
            cell = self.angstrom * box_vectors.detach().to(device, torch.float64)
            pbc = self.pbc
        graph = checked_graph(self.atomic_numbers, x, None, cell, pbc, self.cutoff)
        prediction = self.student.compute(
            graph.atomic_numbers, graph.edge_index, graph.edge_vec, graph.batch, graph.cell
        )
        forces = torch.zeros(self.n_particles, 3, dtype=torch.float64, device=device)
        forces.index_copy_(0, self.atoms, self.kj_per_mol_nm * prediction.forces)
        energy = self.kj_per_mol * prediction.energy.sum()
        return energy.to(positions.device), forces.to(positions.device, positions.dtype)


def torchforce_module(region: Region, model: Model, device: str | None, dtype: str) -> torch.jit.ScriptModule:
    """The scripted module of a region; it needs no openmm-torch. See `create_force` for arguments and errors."""
    potential = open_torchscript(
        model, device or "cpu", dtype
    )  # openmm-torch moves it to the platform's device
    check_elements(potential.metadata, region)
    student = copy.deepcopy(potential.module)  # OpenMM may move it to another device
    module = OpenMMModule(student, potential.cutoff, region).to(potential.device)
    return compile_script(module)


def create_torchforce(region: Region, model: Model, device: str | None, dtype: str) -> Any:
    """See `create_force` for arguments and errors."""
    openmmtorch = load_openmm_torch()
    force = openmmtorch.TorchForce(torchforce_module(region, model, device, dtype))
    force.setOutputsForces(True)
    force.setUsesPeriodicBoundaryConditions(region.periodic)
    return force


def save_torchforce_module(
    path: str | Path,
    topology_or_numbers: Topology | Sequence[int],
    model: Model = "tiny",
    *,
    atoms: Iterable[int] | None = None,
    dtype: str = "float32",
) -> None:
    """Write the module of a TorchForce, for scripts that know openmm-torch alone.

    They say ``force = TorchForce(path)`` and ``force.setOutputsForces(True)``, and for a periodic system
    ``force.setUsesPeriodicBoundaryConditions(True)``: the module takes box vectors, and does without.

    Args:
        path: File to write, all or nothing.
        topology_or_numbers: See `create_force`, and so for the other arguments and errors.

    Raises:
        OutputError: The file cannot be written.
    """
    region = find_region(topology_or_numbers, atoms, periodic=False)  # decided by the Force that loads it
    module = torchforce_module(region, model, None, dtype)
    replace_file(path, [module.save_to_buffer()])
