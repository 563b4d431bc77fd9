"""Checkpoints: plain tensors, numbers and strings, written atomically and read without unpickling code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.errors import CheckpointError, ConfigError
from mlff_distiller.model.potential import StudentForceField

FORMAT = 1
_LEGACY_PREFIXES = ("module.", "model.")  # left by DataParallel and by wrapper modules


def save_checkpoint(path: Path, student: StudentForceField, **state: Any) -> None:
    """Write the student's architecture and weights with the rest of a run's state.

    Args:
        path: Replaced only when the new file is complete.
        student: Its weights are stored under ``weights``.
        **state: Tensors, numbers, strings, and dicts and lists of them.
    """
    payload = {
        "format": FORMAT,
        "architecture": student.architecture(),
        "weights": student.state_dict(),
        **state,
    }
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    replace_file(path, [buffer.getbuffer()])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's content.

    Raises:
        CheckpointError: The file is missing, is no checkpoint of this package, or is of another format.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint: it is damaged, or holds more than tensors and plain values "
            f"({type(error).__name__}). Train again, or use an older copy"
        ) from None
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint of format {FORMAT} of this package; a bare state dict can be loaded into a "
            "student with mlff_distiller.training.checkpoint.load_weights"
        )
    return payload


def student_from_checkpoint(path: Path) -> StudentForceField:
    """The student of a checkpoint, with the averaged weights where the run kept an average.

    Raises:
        CheckpointError: See `read_checkpoint` and `load_weights`.
    """
    payload = read_checkpoint(path)
    try:
        student = StudentForceField(**payload["architecture"])
    except (TypeError, KeyError, ConfigError) as error:
        raise CheckpointError(
            f"{path} does not describe a student that this version can build: {error}"
        ) from None
    load_weights(student, payload.get("average") or payload["weights"], source=str(path))
    return student.eval()


def load_weights(
    student: StudentForceField, weights: Mapping[str, Tensor], source: str = "the weights"
) -> None:
    """Load a state dict; prefixes ``model.`` and ``module.`` at the start of every key are dropped.

    Args:
        student: Changed in place.
        weights: State dict of a student of the same architecture.
        source: Where the weights come from, for the message.

    Raises:
        CheckpointError: The keys or shapes are those of another model.
    """
    weights = _without_prefix(weights)
    own = student.state_dict()
    missing, unexpected = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    wrong = [key for key in own.keys() & weights.keys() if own[key].shape != weights[key].shape]
    if missing or unexpected or wrong:
        example = (missing or unexpected or wrong)[0]
        raise CheckpointError(
            f"{source} belongs to another model: {len(missing)} weights are missing, {len(unexpected)} are not known here, "
            f"{len(wrong)} have another shape (for instance {example}). Expected a student with "
            f"n_features={student.n_features}, n_interactions={student.n_interactions}, n_rbf={student.n_rbf}, "
            f"elements {student.element_names}; choose the preset that the checkpoint was trained with"
        )
    student.load_state_dict(weights)


def _without_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    stripped = dict(weights)
    changed = True
    while changed:  # wrappers can be nested: module.model.painn…
        changed = False
        for prefix in _LEGACY_PREFIXES:
            if stripped and all(key.startswith(prefix) for key in stripped):
                stripped = {key.removeprefix(prefix): value for key, value in stripped.items()}
                changed = True
    return stripped
