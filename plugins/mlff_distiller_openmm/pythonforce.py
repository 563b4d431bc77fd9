"""The potential as a PythonForce, which plain OpenMM (8.6 or later) has: no plugin, any version of torch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlff_distiller.errors import require
from mlff_distiller.export.artifact import METADATA_ENTRY
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.graph import checked_graph
from mlff_distiller.model.potential import Potential
from mlff_distiller_openmm.conversions import KJ_PER_MOL, KJ_PER_MOL_NM
from mlff_distiller_openmm.models import check_elements, open_potential
from mlff_distiller_openmm.region import Region
from mlff_distiller_openmm.states import read_box, read_positions

if TYPE_CHECKING:
    from openmm import PythonForce, State


class Computation:
    """What OpenMM calls at every step. It can be pickled, hence written to XML, together with its potential.

    Args:
        potential: Any backend.
        numbers: Atomic numbers of the n atoms.
        periodic: Whether OpenMM's box vectors count.
    """

    def __init__(self, potential: Potential, numbers: tuple[int, ...], periodic: bool) -> None:
        self.potential = potential
        self.numbers = torch.tensor(numbers)  # (n,)
        self.pbc = torch.tensor([True] * 3) if periodic else None

    def __call__(self, state: State) -> tuple[float, np.ndarray]:
        """Energy in kJ/mol and forces (n, 3) in kJ/mol/nm of a state.

        Raises:
            StructureError: Positions that are not finite, or atoms on top of each other.
        """
        positions = torch.from_numpy(read_positions(state))
        cell = None if self.pbc is None else torch.from_numpy(read_box(state))
        graph = checked_graph(self.numbers, positions, None, cell, self.pbc, self.potential.cutoff)
        prediction = self.potential.compute(*graph)
        return prediction.energy.item() * KJ_PER_MOL, prediction.forces.cpu().numpy() * KJ_PER_MOL_NM

    def __reduce__(self) -> tuple[Callable[..., Computation], tuple[Any, ...]]:
        potential: Any = self.potential
        if isinstance(potential, TorchScriptPotential):
            potential = _PackedPotential(potential)
        return _restore, (potential, tuple(self.numbers.tolist()), self.pbc is not None)


class _PackedPotential:
    """A TorchScript potential as bytes, since torch does not pickle scripted modules."""

    def __init__(self, potential: TorchScriptPotential) -> None:
        extra_files = {METADATA_ENTRY: potential.metadata.to_json()}
        self.artifact = potential.module.save_to_buffer(_extra_files=extra_files)
        self.device = str(potential.device)
        self.dtype = str(potential.module.energy_scale.dtype).removeprefix("torch.")

    def unpack(self) -> TorchScriptPotential:
        """The potential again."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            path.write_bytes(self.artifact)
            return TorchScriptPotential(path, self.device, self.dtype)


def _restore(
    potential: Potential | _PackedPotential, numbers: tuple[int, ...], periodic: bool
) -> Computation:
    if isinstance(potential, _PackedPotential):
        potential = potential.unpack()
    return Computation(potential, numbers, periodic)


def create_pythonforce(
    region: Region, model: str | Path | Potential, device: str | None, dtype: str
) -> PythonForce:
    """See `create_force` for arguments and errors."""
    openmm = require("openmm", "openmm")
    potential = open_potential(model, device, dtype)
    check_elements(potential, region)
    force = openmm.PythonForce(Computation(potential, region.numbers, region.periodic))
    force.setUsesPeriodicBoundaryConditions(region.periodic)
    if region.atoms is not None:
        force.setParticles(region.atoms)
    return force
