"""The distilled potential as an OpenMM Force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mlff_distiller.errors import ConfigError
from mlff_distiller_openmm.models import Model, runs_on_cpu
from mlff_distiller_openmm.openmm_torch import has_openmm_torch
from mlff_distiller_openmm.pythonforce import create_pythonforce
from mlff_distiller_openmm.region import find_region
from mlff_distiller_openmm.torchforce import create_torchforce

if TYPE_CHECKING:
    from openmm import Force
    from openmm.app import Topology

BACKENDS = ("torchforce", "pythonforce")
MAX_FORCE_GROUP = 31  # of OpenMM


def create_force(
    topology_or_numbers: Topology | Sequence[int],
    model: Model = "tiny",
    *,
    backend: str = "auto",
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
    force_group: int = 0,
    device: str | None = None,
    dtype: str = "float32",
    threads: int = 1,
) -> Force:
    """A Force for ``system.addForce``: full energies of the student in kJ/mol, exact forces in kJ/mol/nm.

    Args:
        topology_or_numbers: An ``openmm.app.Topology``, or the atomic numbers of all particles.
        model: ``original``, ``tiny``, ``ultra-tiny``, the path of an artifact, or a loaded potential, which keeps its own
            device and dtype.
        backend: ``torchforce`` (needs openmm-torch), ``pythonforce`` (plain OpenMM 8.6 or later), or ``auto``: the first
            on a GPU where openmm-torch works, otherwise the second, which has the native engine on a CPU.
        atoms: Indices of the particles that the potential acts on; it sees no others, and puts no forces on them.
            None means all.
        periodic: Whether the potential sees periodic images. None means: if the topology has box vectors.
        force_group: 0 … 31.
        device: Any torch device. None means the GPU where there is one; a TorchForce follows OpenMM's platform.
        dtype: Of the network, ``float32`` or ``float64``; sums are float64 in both.
        threads: Of the native engine, where it computes.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: An unknown backend or dtype; a force group, indices or threads out of range; a device that is not there.
        MissingDependencyError: OpenMM or openmm-torch is not installed, or does not fit the installed torch.
        StructureError: An element that the student does not know, or a particle without one.
    """
    if backend != "auto" and backend not in BACKENDS:
        raise ConfigError(f"expected backend auto, {' or '.join(BACKENDS)}, got {backend!r}")
    if not 0 <= force_group <= MAX_FORCE_GROUP:
        raise ConfigError(f"expected a force_group within 0 … {MAX_FORCE_GROUP}, got {force_group}")
    if backend == "auto":
        backend = "pythonforce" if runs_on_cpu(model, device) or not has_openmm_torch() else "torchforce"
    region = find_region(topology_or_numbers, atoms, periodic)
    if backend == "pythonforce":
        force = create_pythonforce(region, model, device, dtype, threads)
    else:
        force = create_torchforce(region, model, device, dtype)
    force.setForceGroup(force_group)
    return force
