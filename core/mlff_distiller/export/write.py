"""Write a student in every format that is asked for, verified against the live model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.atomic_file import make_folder, rename_file
from mlff_distiller.errors import ArtifactError, ConfigError
from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.onnx import OnnxPotential, save_onnx
from mlff_distiller.export.torchscript import TorchScriptPotential, save_torchscript
from mlff_distiller.export.verify import check_structures, require_agreement
from mlff_distiller.model.committee import CommitteeForceField, LiveModel

SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}


def write_artifacts(
    model: LiveModel, name: str, provenance: Provenance, folder: Path, formats: Sequence[str]
) -> dict[str, Path]:
    """Export, load each file again, and compare it with the live model; a file that disagrees is removed.

    Args:
        model: A student or a committee, float32.
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
    make_folder(folder)
    return {
        which: write_artifact(model, name, provenance, folder / f"{name}{suffix_of(which)}")
        for which in formats
    }


def write_artifact(model: LiveModel, name: str, provenance: Provenance, path: Path) -> Path:
    """One file in the format that its suffix names; see `write_artifacts`."""
    model = model.cpu().eval()
    metadata = describe(model, name, provenance)
    structures = check_structures(model.elements, model.cutoff)
    exact = deepcopy(model).double()  # the file's rounding is judged, and not the live model's on top of it
    partial = path.with_name(f".unverified-{path.name}")  # takes its name only when it agrees
    try:
        if path.suffix == SUFFIXES["onnx"]:
            if isinstance(model, CommitteeForceField):
                raise ArtifactError(
                    "a committee has no ONNX form; export it as TorchScript (.pt), or its members one by one"
                )
            save_onnx(partial, model, metadata, structures_graph(list(structures.values()), model.cutoff))
            require_agreement(exact, OnnxPotential(partial), structures, "the ONNX export")
        else:
            save_torchscript(partial, model, metadata)
            require_agreement(exact, TorchScriptPotential(partial), structures, "the TorchScript export")
        rename_file(partial, path)
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
