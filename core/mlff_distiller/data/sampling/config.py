"""The settings of every sampling recipe. ``n=0`` switches one off; an unknown setting is refused.

The defaults are a mix of about 25 frames a molecule: most from molecular dynamics, because that is where a
student is used, and a few strained ones of each other kind, because that is where a student that has never
seen them fails.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from mlff_distiller.configuration import STRICT, parse_config, to_plain
from mlff_distiller.errors import ConfigError

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _check_ordered(name: str, low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"{name}_min must not be above {name}_max, but {low} > {high}")


@dataclass(frozen=True, config=STRICT)
class ConformerConfig:
    """Start geometries by RDKit: ``n`` conformers, each relaxed by at most ``mmff_steps`` steps of MMFF94."""

    n: Annotated[int, Field(ge=1)] = 1
    mmff_steps: Count = 200


@dataclass(frozen=True, config=STRICT)
class RelaxConfig:
    """Relaxation with the teacher: ``n`` frames along it, and the start of the other recipes.

    It stops below ``max_force`` (eV/Å) or after ``max_steps``.
    """

    n: Count = 2
    max_steps: Annotated[int, Field(ge=1)] = 12
    max_force: Positive = 0.1


@dataclass(frozen=True, config=STRICT)
class RattleConfig:
    """Rattle-relax-repeat tree of ``n`` frames; σ is log-uniform in [``sigma_min``, ``sigma_max``] Å.

    A rattled structure takes at most ``max_relax_steps`` steps along the force. It is accepted early by a
    Metropolis test on the energy above its parent, per atom, at ``temperature`` (K).
    """

    n: Count = 3
    sigma_min: Positive = 0.01
    sigma_max: Positive = 0.1
    max_relax_steps: Count = 3
    temperature: Positive = 600.0

    @model_validator(mode="after")
    def _ordered(self) -> RattleConfig:
        _check_ordered("rattle.sigma", self.sigma_min, self.sigma_max)
        return self


@dataclass(frozen=True, config=STRICT)
class DynamicsConfig:
    """Langevin dynamics with the teacher: ``n`` frames at each temperature (K), ``spacing`` fs apart.

    ``equilibration`` (fs) passes before the first frame of each temperature; ``friction`` is in 1/fs.
    """

    n: Count = 4
    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)] = (300.0, 600.0, 1000.0)
    time_step: Annotated[float, Field(gt=0, le=2)] = 1.5
    friction: Positive = 0.05
    equilibration: Positive = 20.0
    spacing: Annotated[float, Field(ge=1)] = 20.0


@dataclass(frozen=True, config=STRICT)
class ModeConfig:
    """Normal-mode displacements: ``n`` frames at each temperature (K), for at most ``max_atoms`` atoms.

    The Hessian costs 6 evaluations an atom (central differences of ``step`` Å). Modes below
    ``min_wavenumber`` (1/cm) are left alone: a soft mode is a torsion or a rotation, and straight
    displacements along it break molecules.
    """

    n: Count = 2
    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)] = (300.0,)
    max_atoms: Annotated[int, Field(ge=2)] = 12
    step: Positive = 0.01
    min_wavenumber: Positive = 100.0


@dataclass(frozen=True, config=STRICT)
class TorsionConfig:
    """``n`` frames, each with one rotatable bond turned by a uniform angle.

    Atoms of the two sides stay at least ``min_distance`` Å apart; ``max_attempts`` angles and bonds are
    tried.
    """

    n: Count = 2
    min_distance: Positive = 1.6
    max_attempts: Annotated[int, Field(ge=1)] = 10


@dataclass(frozen=True, config=STRICT)
class BondConfig:
    """``n`` frames, each with one bond scaled by a uniform factor in [``scale_min``, ``scale_max``]."""

    n: Count = 2
    scale_min: Positive = 0.75
    scale_max: Positive = 1.35

    @model_validator(mode="after")
    def _ordered(self) -> BondConfig:
        _check_ordered("bonds.scale", self.scale_min, self.scale_max)
        return self


@dataclass(frozen=True, config=STRICT)
class ContactConfig:
    """``n`` groups of ``size`` molecules, ``distance_min`` to ``distance_max`` Å (log-uniform) apart.

    Partners are drawn from the molecules of the run with at most ``max_partner_heavy_atoms`` heavy atoms.
    Each group gives ``n_dynamics`` more frames, ``dynamics_steps`` steps at ``temperature`` (K) apart, whose regime has the
    temperature in it: ``dimer-300K``.
    """

    n: Count
    size: int
    distance_min: Positive = 1.5
    distance_max: Positive = 4.0
    max_partner_heavy_atoms: Annotated[int, Field(ge=1)] = 8
    n_dynamics: Count = 0
    dynamics_steps: Annotated[int, Field(ge=1)] = 10
    temperature: Positive = 300.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_ordered("distance", self.distance_min, self.distance_max)
        return self


@dataclass(frozen=True, config=STRICT)
class DimerConfig(ContactConfig):
    """Pairs of molecules."""

    n: Count = 3
    size: Literal[2] = 2


@dataclass(frozen=True, config=STRICT)
class ClusterConfig(ContactConfig):
    """Three molecules or more."""

    n: Count = 0
    size: Annotated[int, Field(ge=3)] = 3


@dataclass(frozen=True, config=STRICT)
class PeriodicConfig:
    """``n`` frames of a periodic structure, strained, and rattled by σ from ``sigma_min`` to ``sigma_max`` Å.

    Each of the six strain components is normal with standard deviation ``strain``.
    """

    n: Count = 10
    sigma_min: Positive = 0.01
    sigma_max: Positive = 0.2
    strain: Annotated[float, Field(ge=0, le=0.2)] = 0.03

    @model_validator(mode="after")
    def _ordered(self) -> PeriodicConfig:
        _check_ordered("periodic.sigma", self.sigma_min, self.sigma_max)
        return self


@dataclass(frozen=True, config=STRICT)
class FilterConfig:
    """Frames to drop: max|F| over ``max_force`` (eV/Å) or a distance under ``min_distance`` (Å).

    ``max_stretch`` (Å) drops frames of dynamics in which a bond is that much longer than at the start; None
    keeps them.
    """

    max_force: Positive = 30.0
    min_distance: Positive = 0.5
    max_stretch: Positive | None = 1.0


@dataclass(frozen=True, config=STRICT)
class SamplingConfig:
    """How to sample one molecule or structure: one part for each recipe, and the filters at the end."""

    conformers: ConformerConfig = ConformerConfig()
    relaxation: RelaxConfig = RelaxConfig()
    rattle: RattleConfig = RattleConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    modes: ModeConfig = ModeConfig()
    torsions: TorsionConfig = TorsionConfig()
    bonds: BondConfig = BondConfig()
    dimers: DimerConfig = DimerConfig()
    clusters: ClusterConfig = ClusterConfig()
    periodic: PeriodicConfig = PeriodicConfig()
    filters: FilterConfig = FilterConfig()

    def to_json(self) -> str:
        """All settings as JSON, sorted by name, for the metadata of a dataset."""
        return json.dumps(to_plain(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> SamplingConfig:
        """Read what `to_json` wrote, or a part of it; what is missing takes its default.

        Raises:
            ConfigError: A setting is unknown, of the wrong type or out of range.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"the sampling settings are no JSON: {error}") from None
        return parse_config(SamplingConfig, values, "the sampling settings")
