"""The potential as a PythonForce, which plain OpenMM (8.6 or later) has: no plugin, any version of torch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlff_distiller.device import default_device
from mlff_distiller.dynamics import StructurePotential, VerletPotential
from mlff_distiller.errors import ConfigError, StructureError, require
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.native import NativePotential
from mlff_distiller_openmm.conversions import KJ_PER_MOL, KJ_PER_MOL_NM
from mlff_distiller_openmm.models import (
    Model,
    check_elements,
    open_structure_potential,
)
from mlff_distiller_openmm.region import Region
from mlff_distiller_openmm.states import read_box, read_positions

if TYPE_CHECKING:
    from openmm import PythonForce, State


class Computation:
    """What OpenMM calls at every step. It can be pickled, hence written to XML, together with its student.

    Args:
        potential: Keeps its neighbour list from step to step.
        numbers: Atomic numbers of the n atoms.
        periodic: Whether OpenMM's box vectors count.
        device: What the user asked for; None means the GPU where there is one, also where the pickled object is read.
        packed: What the potential came from, if that was no file that is still there.
    """

    def __init__(
        self,
        potential: StructurePotential,
        numbers: tuple[int, ...],
        periodic: bool,
        device: str | None = None,
        packed: _Packed | None = None,
    ) -> None:
        self.potential = potential
        self.device = device
        self.packed = packed
        self.numbers = np.array(numbers, dtype=np.int64)  # (n,)
        self.periodic = periodic

    def __call__(self, state: State) -> tuple[float, np.ndarray]:
        """Energy in kJ/mol and forces (n, 3) in kJ/mol/nm of a state.

        Raises:
            StructureError: Another number of particles, positions that are not finite, or atoms on top of each other.
        """
        positions = read_positions(state)
        if len(positions) != len(self.numbers):
            raise StructureError(
                f"the force was made for {len(self.numbers)} atoms, and the System gives it {len(positions)}; give create_force "
                "the topology or the atomic numbers of all particles of this System"
            )
        cell = read_box(state) if self.periodic else np.zeros((3, 3))
        pbc = np.full(3, self.periodic)
        found = self.potential.evaluate(self.numbers, positions, cell, pbc)
        return found.energy * KJ_PER_MOL, found.forces * KJ_PER_MOL_NM

    def __reduce__(self) -> tuple[Callable[..., Computation], tuple[Any, ...]]:
        packed = self.packed or _Packed(self.potential, self.device)
        return _restore, (packed, tuple(self.numbers.tolist()), self.periodic)


class _Packed:
    """A student as the bytes of its artifact, so that the XML file is whole without any other file."""

    def __init__(self, potential: StructurePotential, device: str | None) -> None:
        self.is_native = isinstance(potential, NativePotential)
        if isinstance(potential, VerletPotential):
            source = potential.potential
            self.arguments: tuple[Any, ...] = (device, source.dtype)
            self.skin = potential.neighbors.skin
        elif isinstance(potential, NativePotential):
            source, self.arguments, self.skin = potential, (potential.threads,), potential.skin
        else:
            raise ConfigError(f"expected a student of this package, got {type(potential).__name__}")
        self.artifact = source.path.read_bytes()

    def unpack(self) -> StructurePotential:
        """The student again, in the backend that it had."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            path.write_bytes(self.artifact)
            if self.is_native:
                return NativePotential(path, *self.arguments, skin=self.skin)
            device, dtype = self.arguments
            return VerletPotential(TorchScriptPotential(path, device or default_device(), dtype), self.skin)


def _restore(packed: _Packed, numbers: tuple[int, ...], periodic: bool) -> Computation:
    return Computation(packed.unpack(), numbers, periodic, packed=packed)


def create_pythonforce(
    region: Region, model: Model, device: str | None, dtype: str, threads: int = 1
) -> PythonForce:
    """See `create_force` for arguments and errors."""
    openmm = require("openmm", "openmm")
    potential = open_structure_potential(model, device, dtype, threads)
    check_elements(potential.metadata, region)
    if isinstance(model, TorchScriptPotential):
        device = str(model.device)
    force = openmm.PythonForce(Computation(potential, region.numbers, region.periodic, device))
    force.setUsesPeriodicBoundaryConditions(region.periodic)
    if region.atoms is not None:
        force.setParticles(region.atoms)
    return force
