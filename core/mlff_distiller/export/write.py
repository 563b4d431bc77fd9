"""Write a student in every format that is asked for, verified against the live model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.errors import ConfigError
from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.onnx import OnnxPotential, save_onnx
from mlff_distiller.export.torchscript import TorchScriptPotential, save_torchscript
from mlff_distiller.export.verify import check_structures, require_agreement
from mlff_distiller.model.potential import StudentForceField

SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}


def write_artifacts(
    student: StudentForceField, name: str, provenance: Provenance, folder: Path, formats: Sequence[str]
) -> dict[str, Path]:
    """Export, load each file again, and compare it with the live model; a file that disagrees is removed.

    Args:
        student: float32.
        name: File stem, and the name inside the artifact.
        provenance: Goes into the artifact.
        folder: Made if it is not there.
        formats: Of ``torchscript`` and ``onnx``.

    Returns:
        The files by format.

    Raises:
        ArtifactError: A format disagrees with the live model, or cannot be written.
        ConfigError: Unknown format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {
        which: write_artifact(student, name, provenance, folder / f"{name}{suffix_of(which)}")
        for which in formats
    }


def write_artifact(student: StudentForceField, name: str, provenance: Provenance, path: Path) -> Path:
    """One file in the format that its suffix names; see `write_artifacts`."""
    student = student.cpu().eval()
    metadata = describe(student, name, provenance)
    structures = check_structures(student.elements, student.cutoff)
    partial = path.with_name(f".unverified-{path.name}")  # takes its name only when it agrees
    try:
        if path.suffix == SUFFIXES["onnx"]:
            save_onnx(partial, student, metadata, structures_graph(list(structures.values()), student.cutoff))
            require_agreement(student, OnnxPotential(partial), structures, "the ONNX export")
        else:
            save_torchscript(partial, student, metadata)
            require_agreement(student, TorchScriptPotential(partial), structures, "the TorchScript export")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def suffix_of(which: str) -> str:
    """File suffix of a format.

    Raises:
        ConfigError: Unknown format.
    """
    if which not in SUFFIXES:
        raise ConfigError(f"unknown format {which!r}; choose one of {', '.join(SUFFIXES)}")
    return SUFFIXES[which]
