"""What an artifact says of the data that its student was trained and tested on: the measure of an audit.

Needs nothing but the metadata of the artifact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlff_distiller.configuration import to_plain
from mlff_distiller.data.dataset import NOT_RECORDED
from mlff_distiller.data.sampling.config import FilterConfig
from mlff_distiller.errors import ConfigError
from mlff_distiller.export.artifact import Metadata

ALL_FRAMES = "all frames"
DYNAMICS = "md-"  # regimes of molecular dynamics: md-300K, md-600K, …


@dataclass(frozen=True)
class HeldOut:
    """Errors on frames of one regime that the training never saw.

    Attributes:
        regime: Its name.
        force_rmse: eV/Å, by component.
        force_rms: RMS force component of the labels, eV/Å: a thermometer that needs no velocities.
    """

    regime: str
    force_rmse: float
    force_rms: float


@dataclass(frozen=True)
class TrainingLimits:
    """What the filters of the sampling let into the training data.

    Attributes:
        max_force: Largest |F| of an atom, eV/Å.
        min_distance: Shortest distance of two atoms, Å.
        max_stretch: By how much a bond may be longer than at the start of its dynamics, Å; None if there is no limit.
    """

    max_force: float
    min_distance: float
    max_stretch: float | None


def has_unseen_test(metadata: Metadata) -> bool:
    """Whether the held-out errors are of molecules that neither training nor validation saw, so that they hold for others too.

    Artifacts that do not say are older than the record; their parts were split by molecule.
    """
    return bool(metadata.provenance.dataset.get("unseen_molecules", True))


def held_out_regimes(metadata: Metadata) -> dict[str, HeldOut]:
    """Held-out errors by regime, and over all frames.

    Raises:
        ConfigError: The artifact records no held-out errors.
    """
    test = metadata.provenance.accuracy.get("test")
    if not test:
        raise ConfigError(
            f"the artifact {metadata.name!r} records no held-out errors to compare with. Train it with `mlffd distill` or "
            "`mlffd train`, which test each student"
        )
    groups: Mapping[str, Any] = {ALL_FRAMES: test["forces"], **test["forces_by_regime"]}
    return {name: HeldOut(name, errors["rmse"], errors["label_rms"]) for name, errors in groups.items()}


def matching_regime(metadata: Metadata, force_rms: float, wanted: str | None = None) -> HeldOut:
    """The held-out frames that a trajectory is to be measured by.

    By default those of molecular dynamics whose RMS force is closest, since the error of a student grows with the forces; all
    frames where the student was not tested on dynamics.

    Args:
        metadata: Of the student.
        force_rms: RMS force component of the trajectory, eV/Å.
        wanted: Name of a regime, to choose it oneself.

    Raises:
        ConfigError: No held-out errors, or no such regime.
    """
    regimes = held_out_regimes(metadata)
    if wanted is not None:
        if wanted not in regimes:
            raise ConfigError(
                f"expected a regime that {metadata.name!r} was tested on, one of {', '.join(regimes)}; got {wanted!r}"
            )
        return regimes[wanted]
    dynamics = [regime for name, regime in regimes.items() if name.startswith(DYNAMICS)]
    return min(
        dynamics or [regimes[ALL_FRAMES]],
        key=lambda regime: abs(regime.force_rms - force_rms),
    )


def training_limits(metadata: Metadata) -> TrainingLimits:
    """The widest of the filters of all parts of the training data; the defaults of `mlffd sample` where none is recorded."""
    filters = _recorded_filters(metadata) or [to_plain(FilterConfig())]
    return TrainingLimits(
        max_force=max(f["max_force"] for f in filters),
        min_distance=min(f["min_distance"] for f in filters),
        max_stretch=_widest_stretch(filters),
    )


def recorded_max_stretch(metadata: Metadata) -> float | None:
    """See `TrainingLimits`; also None where the record of a part of the data has no filters."""
    if NOT_RECORDED in str(metadata.provenance.dataset.get("sampling", "")):
        return None
    filters = _recorded_filters(metadata)
    return _widest_stretch(filters) if filters else None


def _widest_stretch(filters: Sequence[Mapping[str, Any]]) -> float | None:
    stretches = [float(value) for f in filters if (value := f.get("max_stretch")) is not None]
    return max(stretches) if len(stretches) == len(filters) else None


def _recorded_filters(metadata: Metadata) -> list[Mapping[str, Any]]:
    return [settings["filters"] for settings in _sampling(metadata) if "filters" in settings]


def _sampling(metadata: Metadata) -> list[dict[str, Any]]:
    """The sampling settings of the training data: JSON documents joined by "; "."""
    text = str(metadata.provenance.dataset.get("sampling", ""))
    found, position, decoder = [], 0, json.JSONDecoder()
    while (position := text.find("{", position)) >= 0:
        try:
            document, position = decoder.raw_decode(text, position)
        except ValueError:  # words of somebody else's dataset
            position += 1
            continue
        found.append(document)
    return found
