"""What the core knows of engines: a small interface, and the entry points through which plugins offer theirs.

`mlffd verify` and `mlffd nve` run whatever is installed; the core imports no plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import numpy as np
from ase import Atoms

from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.drift import EnergyTrace

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


@dataclass(frozen=True)
class NVESettings:
    """A run at constant energy after an equilibration with a Langevin thermostat.

    Attributes:
        temperature: K, of the equilibration.
        n_steps: Steps at constant energy.
        time_step: fs.
        n_equilibration: Steps with the thermostat.
        interval: Steps between records.
        seed: Of velocities and thermostat.
        dtype: Of the network, ``float32`` or ``float64``.
        trajectory: Extended XYZ file to write the records' positions to; None writes none.
    """

    temperature: float = 300.0
    n_steps: int = 20_000
    time_step: float = 0.5
    n_equilibration: int = 2_000
    interval: int = 10
    seed: int = 0
    dtype: str = "float32"
    trajectory: Path | None = None


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


def find_engine(name: str) -> Engine:
    """An engine that can run.

    Raises:
        ConfigError: There is no engine of the name, or what it needs is not installed.
    """
    engines = list_engines()
    if name not in engines:
        raise ConfigError(f"unknown engine {name!r}; choose one of {', '.join(engines)}")
    reason = engines[name].missing()
    if reason is not None:
        raise ConfigError(f"the engine {name!r} cannot run here: {reason}")
    return engines[name]
