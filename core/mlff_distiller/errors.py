"""The errors that a user can fix. Each message says what was expected, what came, and what to do.

The command line prints these without a traceback and exits with status 1; every other exception is a defect of
this package and keeps its traceback.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class DistillerError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(DistillerError, ValueError):
    """An option that is unknown, of the wrong type or out of range."""


class StructureError(DistillerError, ValueError):
    """A structure that no potential can evaluate: NaN positions, unknown elements, a singular cell, overlaps."""


class DatasetError(DistillerError, ValueError):
    """A dataset that is damaged, inconsistent or empty."""


class OutputError(DistillerError, OSError):
    """A file that cannot be written: no such folder, no permission, a full disk. The old file is as it was."""


class TeacherError(DistillerError, RuntimeError):
    """A teacher that is unknown, cannot be loaded, or failed on a structure."""


class SamplingError(DistillerError, RuntimeError):
    """A molecule or structure from which no frames could be sampled."""


class TrainingError(DistillerError, RuntimeError):
    """A training run that cannot go on: non-finite loss, mismatched checkpoint, nothing to train on."""


class CheckpointError(DistillerError, ValueError):
    """A checkpoint that is corrupt, or that belongs to another model."""


class ArtifactError(DistillerError, ValueError):
    """An exported file that is corrupt, of an unknown format, or disagrees with its model."""


class BuildError(DistillerError, RuntimeError):
    """A compilation that failed, with the compiler's words."""


class EngineError(DistillerError, RuntimeError):
    """An engine that ended with an error, with its words."""


class MissingDependencyError(DistillerError, ImportError):
    """An optional package that is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or say which extra of this package installs it.

    Args:
        module: Dotted name of the module to import.
        extra: Name of the extra in ``pyproject.toml`` that installs it.

    Raises:
        MissingDependencyError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        if error.name is not None and error.name.split(".")[0] != package:
            raise  # the module is there, but something that it needs is not: that is another story
        raise MissingDependencyError(
            f"The package {package!r} is needed here and is not installed. "
            f'Install it with: pip install "mlff-distiller[{extra}]"'
        ) from error
