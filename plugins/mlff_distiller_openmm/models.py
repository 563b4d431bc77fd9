"""From what a user calls a model to a student that can compute."""

from __future__ import annotations

from pathlib import Path

from ase.data import chemical_symbols

from mlff_distiller.device import default_device
from mlff_distiller.dynamics import SKIN, StructurePotential, VerletPotential, load_for_dynamics
from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller.export.artifact import Metadata
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.native import NativePotential
from mlff_distiller.registry import load
from mlff_distiller_openmm.region import Region

Model = str | Path | TorchScriptPotential | NativePotential


def open_structure_potential(
    model: Model, device: str | None, dtype: str, threads: int = 1
) -> StructurePotential:
    """A student for a PythonForce: on the native engine where that can be.

    Args:
        model: A shipped name, a path, or a loaded potential, which is taken as it is.
        device: Any torch device; None takes the GPU where there is one.
        dtype: ``float32`` or ``float64``.
        threads: Of the native engine.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: Unknown dtype, a device that is not there, or a number of threads out of range.
    """
    if isinstance(model, str | Path):
        return load_for_dynamics(model, device or default_device(), dtype, threads=threads)
    _check_type(model)
    return VerletPotential(model, SKIN) if isinstance(model, TorchScriptPotential) else model


def open_torchscript(model: Model, device: str | None, dtype: str) -> TorchScriptPotential:
    """A student for a TorchForce; arguments and errors as for `open_structure_potential`."""
    if isinstance(model, TorchScriptPotential):
        return model
    _check_type(model)
    path = model.path if isinstance(model, NativePotential) else model
    return load(path, device or default_device(), dtype)


def runs_on_cpu(model: Model, device: str | None) -> bool:
    """Whether a student opened with these arguments runs on the CPU; a loaded one stays where it is."""
    if isinstance(model, NativePotential):
        return True
    place = model.device if isinstance(model, TorchScriptPotential) else device or default_device()
    return str(place).startswith("cpu")


def _check_type(model: Model) -> None:
    """Tell callers without a type checker.

    Raises:
        ConfigError: Nothing that can be run.
    """
    if not isinstance(model, Model):
        raise ConfigError(
            "expected a shipped name, the path of an artifact or what mlff_distiller.load gives, "
            f"not {type(model).__name__}; export it first"
        )


def check_elements(metadata: Metadata, region: Region) -> None:
    """Refuse elements that the student does not know before any step is made.

    Raises:
        StructureError: Names the particle and its element.
    """
    known = metadata.elements
    for index, number in enumerate(region.numbers):
        if chemical_symbols[number] not in known:
            counted = "" if region.atoms is None else " (atoms are counted within atoms=)"
            raise StructureError(
                f"atom {index} has atomic number {number}, which this student does not know; it knows "
                f"{' '.join(known)}. Choose or distil a student with that element{counted}"
            )
