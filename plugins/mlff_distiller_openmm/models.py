"""From what a user calls a model to a potential that can compute. A native backend for CPUs will be chosen here."""

from __future__ import annotations

from pathlib import Path

import torch

from mlff_distiller.errors import StructureError
from mlff_distiller.model.potential import Potential
from mlff_distiller.registry import load
from mlff_distiller_openmm.region import Region


def open_potential(model: str | Path | Potential, device: str | None, dtype: str) -> Potential:
    """A potential from a shipped name or a path; one that is loaded already is taken as it is, with its device and dtype.

    Args:
        model: See `create_force`.
        device: Any torch device; None takes the GPU where there is one.
        dtype: ``float32`` or ``float64``.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: Unknown dtype, or a device that is not there.
    """
    if not isinstance(model, str | Path):
        return model
    return load(model, device or ("cuda" if torch.cuda.is_available() else "cpu"), dtype)


def check_elements(potential: Potential, region: Region) -> None:
    """Refuse elements that the potential does not know before any step is made, by asking it for the free atoms.

    Raises:
        StructureError: Names the particle and its element.
    """
    numbers = torch.tensor(region.numbers)
    no_edges = torch.zeros(2, 0, dtype=torch.int64)
    try:
        potential.compute(
            numbers, no_edges, torch.zeros(0, 3), torch.zeros_like(numbers), torch.zeros(1, 3, 3)
        )
    except StructureError as error:
        counted = "" if region.atoms is None else " (atoms are counted within atoms=)"
        raise StructureError(f"{error}{counted}") from None
