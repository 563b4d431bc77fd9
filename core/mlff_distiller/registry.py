"""Students by name or path: those shipped with the package, and the user's own files."""

from __future__ import annotations

from pathlib import Path

import torch

from mlff_distiller.errors import ArtifactError, ConfigError
from mlff_distiller.export.artifact import Metadata, read_metadata
from mlff_distiller.export.torchscript import TorchScriptPotential, model_from_artifact, student_from_artifact
from mlff_distiller.model.committee import LiveModel
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.checkpoint import student_from_checkpoint

PRETRAINED = Path(__file__).parent / "pretrained"
CHECKPOINT_SUFFIX = ".ckpt"


def list_models() -> dict[str, Metadata]:
    """The shipped students with their metadata, the largest first."""
    models = [read_metadata(path) for path in PRETRAINED.glob("*/*.pt")]
    return {model.name: model for model in sorted(models, key=lambda model: -model.n_parameters)}


def is_shipped(source: str | Path) -> bool:
    """Whether this is the name of a student that comes with the package."""
    return str(source) in {path.stem for path in PRETRAINED.glob("*/*.pt")}


def artifact_path(source: str | Path) -> Path:
    """The file of a shipped name or of a path.

    Raises:
        ArtifactError: Neither a shipped name nor an existing file.
        ConfigError: Neither a name nor a path at all.
    """
    if not isinstance(source, str | Path):
        raise ConfigError(
            f"expected a shipped name or the path of a student, got {type(source).__name__}; export it first"
        )
    if is_shipped(source):
        return PRETRAINED / str(source) / f"{source}.pt"
    path = Path(source).expanduser()
    if path.is_file():
        return path
    names = ", ".join(sorted(path.parent.name for path in PRETRAINED.glob("*/*.pt"))) or "none"
    raise ArtifactError(
        f"there is no student {str(source)!r}: expected the path of an artifact or a checkpoint, or a shipped name ({names})"
    )


def load(
    source: str | Path, device: str | torch.device = "cpu", dtype: str = "float32"
) -> TorchScriptPotential:
    """A student that is ready to compute.

    Args:
        source: ``original``, ``tiny``, ``ultra-tiny``, or the path of an artifact.
        device: Any torch device.
        dtype: ``float32`` or ``float64``, of the network.

    Raises:
        ArtifactError: There is no such student, or its file is damaged or of an unknown format.
        ConfigError: Unknown dtype, or a device that is not there.
    """
    return TorchScriptPotential(artifact_path(source), device, dtype)


def load_student(source: str | Path) -> StudentForceField:
    """The trainable student of a shipped name, an artifact (.pt) or a checkpoint (.ckpt).

    Raises:
        ArtifactError: There is no such student, its file is damaged, or it holds a committee.
        CheckpointError: The checkpoint is damaged.
    """
    path = artifact_path(source)
    if path.suffix == CHECKPOINT_SUFFIX:
        return student_from_checkpoint(path)
    return student_from_artifact(path)


def load_model(source: str | Path) -> LiveModel:
    """The eager student or committee of a shipped name, an artifact (.pt) or a checkpoint (.ckpt).

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        CheckpointError: The checkpoint is damaged.
    """
    path = artifact_path(source)
    if path.suffix == CHECKPOINT_SUFFIX:
        return student_from_checkpoint(path)
    return model_from_artifact(path)
