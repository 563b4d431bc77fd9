"""The three sizes of student, and the table that a user chooses from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ase.data import atomic_numbers as number_of

from mlff_distiller.errors import ConfigError
from mlff_distiller.model.potential import StudentForceField

ORGANIC_ELEMENTS = tuple(number_of[symbol] for symbol in ("H", "C", "N", "O", "F", "P", "S", "Cl"))


@dataclass(frozen=True)
class Preset:
    """Size of a student and the number of parameters that it may have."""

    n_features: int
    n_interactions: int
    n_rbf: int
    max_parameters: int


# Widths are multiples of 16, the number of float32 in a vector register, so that a native engine pads nothing.
PRESETS = {
    "original": Preset(n_features=112, n_interactions=3, n_rbf=20, max_parameters=427_292),
    "tiny": Preset(n_features=48, n_interactions=3, n_rbf=20, max_parameters=77_203),
    "ultra-tiny": Preset(n_features=32, n_interactions=2, n_rbf=12, max_parameters=21_459),
}


def build_student(
    preset: str, elements: Sequence[int] = ORGANIC_ELEMENTS, cutoff: float = 5.0
) -> StudentForceField:
    """A student of a preset size with random weights (torch's global generator).

    Args:
        preset: ``original``, ``tiny`` or ``ultra-tiny``.
        elements: Atomic numbers that the student shall know.
        cutoff: Å.

    Raises:
        ConfigError: Unknown preset.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    size = PRESETS[preset]
    return StudentForceField(
        size.n_features,
        size.n_interactions,
        size.n_rbf,
        cutoff=cutoff,
        max_z=max(elements),
        elements=elements,
    )


def preset_with(n_features: int, n_interactions: int, n_rbf: int) -> str | None:
    """The preset of these sizes; None if there is none."""
    for name, preset in PRESETS.items():
        if (preset.n_features, preset.n_interactions, preset.n_rbf) == (n_features, n_interactions, n_rbf):
            return name
    return None
