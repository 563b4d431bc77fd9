"""The distilled potentials in OpenMM-ML: ``MLPotential("distilled-tiny").createSystem(topology)``.

OpenMM-ML imports this module when it is imported itself, so nothing heavy is imported here. The forces are PythonForces, as
all of OpenMM-ML's are: it copies them, and openmm-torch 1.5 crashes when a TorchForce is copied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

from mlff_distiller.errors import ConfigError

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

ANY_MODEL = "distilled"
PREFIX = "distilled-"
OF_EMBEDDINGS = {"linkAtomDistances", "mlLongRange"}  # options that OpenMM-ML reads itself, but passes on


class DistilledPotentialFactory(MLPotentialImplFactory):
    """Makes the implementation of ``distilled-tiny``, ``distilled-ultra-tiny``, ``distilled-original`` and ``distilled``."""

    def createImpl(
        self, name: str, model: Any = None, device: str | None = None, dtype: str = "float32", **unknown: Any
    ) -> DistilledPotentialImpl:
        """The implementation of a name; the arguments are those of ``MLPotential(name, ...)``.

        Args:
            name: ``distilled-<shipped name>``, or ``distilled``, which needs ``model``.
            model: A path or a loaded potential.
            device: See `create_force`.
            dtype: See `create_force`.

        Raises:
            ConfigError: An unknown option, a missing or a superfluous model.
        """
        if unknown:
            raise ConfigError(
                f"unknown option {', '.join(unknown)} of MLPotential({name!r}); there are model, device, dtype"
            )
        if (model is None) == (name == ANY_MODEL):
            raise ConfigError(
                f'expected MLPotential("{ANY_MODEL}", model=path) or MLPotential("{PREFIX}tiny"), '
                f"got {name!r} with model={model!r}"
            )
        return DistilledPotentialImpl(name.removeprefix(PREFIX) if model is None else model, device, dtype)


class DistilledPotentialImpl(MLPotentialImpl):
    """Adds the potential to a System; see `create_force` for the arguments."""

    def __init__(self, model: Any, device: str | None, dtype: str) -> None:
        self.model, self.device, self.dtype = model, device, dtype

    def addForces(
        self,
        topology: Topology,
        system: openmm.System,
        atoms: Iterable[int] | None,
        forceGroup: int,
        **args: Any,
    ) -> None:
        """Called by ``createSystem`` and ``createMixedSystem``; periodic if the topology or the System has a box.

        Raises:
            ConfigError: An unknown option.
            StructureError: An element that the student does not know.
        """
        from mlff_distiller_openmm.force import create_force

        unknown = set(args) - OF_EMBEDDINGS
        if unknown:
            raise ConfigError(
                f"unknown option {', '.join(sorted(unknown))}; device and dtype belong to MLPotential(...)"
            )
        periodic = topology.getPeriodicBoxVectors() is not None or system.usesPeriodicBoundaryConditions()
        system.addForce(
            create_force(
                topology,
                self.model,
                backend="pythonforce",
                atoms=atoms,
                periodic=periodic,
                force_group=forceGroup,
                device=self.device,
                dtype=self.dtype,
            )
        )

    def getMLLongRange(self) -> bool:
        """Interactions end at the receptive field."""
        return False
