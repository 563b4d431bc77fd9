"""What the core knows of engines: a small interface, and the entry points through which plugins offer theirs.

`mlffd verify` and `mlffd nve` run whatever is installed; the core imports no plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np
from ase import Atoms

from mlff_distiller.constant_energy import EnergyTrace, NVESettings
from mlff_distiller.errors import ConfigError

GROUP = "mlff_distiller.engines"


@dataclass(frozen=True)
class SinglePoint:
    """What an engine computes for one structure of N atoms.

    Attributes:
        energy: eV.
        forces: (N, 3) eV/Å.
        stress: (6,) eV/Å³ in the order xx yy zz yz xz xy; None where there is none, or the engine gives none.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None = None


class Engine(Protocol):
    """One way to run an artifact in one engine."""

    def missing(self) -> str | None:
        """Why it cannot run here, in one sentence that says what to install; None where it can."""
        ...

    def single_points(
        self, structures: Mapping[str, Atoms], model: str, dtype: str = "float32"
    ) -> dict[str, SinglePoint]:
        """Energies and forces of structures; a structure that the engine cannot represent is left out."""
        ...

    def nve(
        self, atoms: Atoms, model: str, settings: NVESettings, report: Callable[[int], None] | None = None
    ) -> EnergyTrace:
        """Dynamics at constant energy; ``report`` gets the number of steps done. ``atoms`` is left at the end of the run."""
        ...


def list_engines() -> dict[str, Engine]:
    """Every engine that a plugin offers, installed or not, by name."""
    return {point.name: point.load()() for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def unknown_engine(name: str, choices: Iterable[str]) -> ConfigError:
    """The error of a name that is not among the choices."""
    return ConfigError(f"unknown engine {name!r}; choose one of {', '.join(choices)}")


def find_engine(name: str) -> Engine:
    """An engine that can run.

    Raises:
        ConfigError: There is no engine of the name, or what it needs is not installed.
    """
    engines = list_engines()
    if name not in engines:
        raise unknown_engine(name, engines)
    reason = engines[name].missing()
    if reason is not None:
        raise ConfigError(f"the engine {name!r} cannot run here: {reason}")
    return engines[name]
