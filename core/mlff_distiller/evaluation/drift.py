"""Constant-energy dynamics, and the drift of its total energy.

The drift is the slope of the total energy against time, in meV per atom and ns: it does not depend on how long one looks, nor
on where the zero of energy is, as a percentage of |E| would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from mlff_distiller.errors import ConfigError
from mlff_distiller.units import MEV

FS_PER_NS = 1e6
LINEAR = (
    1e-9  # smallest over largest moment of inertia below which a molecule has no rotation about that axis
)
FRICTION = 0.02  # 1/fs, of the thermostat before a run at constant energy
N_BLOCKS = (
    20  # of the energies that are fitted: longer than a vibration, short enough to see the energy wander
)
MIN_RECORDS = 4  # a slope, its error and something left over
WALK_RATIOS = np.concatenate(
    [[0.0], np.logspace(-6, 3, 46)]
)  # variance of a walk's step over that of the noise


@dataclass(frozen=True)
class EnergyTrace:
    """Energies along a run of T records.

    Attributes:
        time: (T,) fs.
        potential: (T,) eV.
        kinetic: (T,) eV.
        n_atoms: N.
    """

    time: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    n_atoms: int

    @property
    def total(self) -> np.ndarray:
        """(T,) eV."""
        return self.potential + self.kinetic


@dataclass(frozen=True)
class Drift:
    """Slope of the total energy with its standard error, and what is left after the slope is taken out."""

    slope: float  # meV/atom/ns
    standard_error: float  # meV/atom/ns
    rms_fluctuation: float  # meV/atom


@dataclass(frozen=True)
class NVESettings:
    """A run at constant energy after an equilibration with a Langevin thermostat, in any engine.

    Attributes:
        temperature: K, of the equilibration.
        n_steps: Steps at constant energy.
        time_step: fs.
        n_equilibration: Steps with the thermostat; 0 starts from the velocities that the structure has.
        interval: Steps between records of the energies.
        frame_interval: Steps between frames of the trajectory, a multiple of ``interval``.
        seed: Of velocities and thermostat.
        dtype: Of the network, ``float32`` or ``float64``.
        trajectory: Extended XYZ file for the frames; None writes none.
    """

    temperature: float = 300.0
    n_steps: int = 20_000
    time_step: float = 0.5
    n_equilibration: int = 2_000
    interval: int = 10
    frame_interval: int = 100
    seed: int = 0
    dtype: str = "float32"
    trajectory: Path | None = None


def run_nve(atoms: Atoms, settings: NVESettings, report: Callable[[int], None] | None = None) -> EnergyTrace:
    """Equilibrate with a Langevin thermostat, then run velocity Verlet at constant energy, in ASE.

    Args:
        atoms: With a calculator; moved in place.
        settings: What to run.
        report: Called with the number of steps done, equilibration included.
    """
    rng = np.random.default_rng(settings.seed)
    start_velocities(atoms, settings)
    dt = settings.time_step * units.fs
    thermostat = Langevin(
        atoms, dt, temperature_K=settings.temperature, friction=FRICTION / units.fs, rng=rng, fixcm=False
    )
    if report is not None:
        thermostat.attach(lambda: report(thermostat.nsteps), interval=settings.interval)
    if settings.n_equilibration > 0:
        thermostat.run(settings.n_equilibration)
        stop_drifting(atoms)

    records: list[tuple[float, float, float]] = []
    dynamics = VelocityVerlet(atoms, dt)

    def record() -> None:
        time = dynamics.nsteps * settings.time_step
        records.append((time, float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())))
        if report is not None:
            report(settings.n_equilibration + dynamics.nsteps)

    dynamics.attach(record, interval=settings.interval)
    if settings.trajectory is not None:
        settings.trajectory.unlink(missing_ok=True)
        dynamics.attach(append_frame, settings.frame_interval, settings.trajectory, atoms)
    dynamics.run(settings.n_steps)
    time, potential, kinetic = np.array(records).T
    return EnergyTrace(time, potential, kinetic, len(atoms))


def start_velocities(atoms: Atoms, settings: NVESettings) -> None:
    """Thermal velocities, unless there is no equilibration and the structure has velocities of its own."""
    if settings.n_equilibration > 0 or not atoms.get_momenta().any():
        thermalize_momenta(atoms, settings.temperature, rng=np.random.default_rng(settings.seed))
        stop_drifting(atoms)


def stop_drifting(atoms: Atoms) -> None:
    """Take out the total momentum, and the angular momentum of a molecule: what `degrees_of_freedom` does not count."""
    Stationary(atoms, preserve_temperature=False)
    if not atoms.pbc.any():
        stop_rotating(atoms)


def stop_rotating(atoms: Atoms) -> None:
    """Take out the angular momentum about the center of mass; ASE's `ZeroRotation` divides by zero for a linear molecule."""
    arms = atoms.positions - atoms.get_center_of_mass()
    # The pseudo-inverse leaves out the axis of a linear molecule, about which there is no rotation.
    inverse = np.linalg.pinv(inertia_tensor(atoms), rcond=LINEAR, hermitian=True)
    angular_velocity = inverse @ atoms.get_angular_momentum()
    atoms.set_velocities(atoms.get_velocities() - np.cross(angular_velocity, arms))


def inertia_tensor(atoms: Atoms) -> np.ndarray:
    """About the center of mass, (3, 3) in ASE's mass unit times Å²; of rank 2 for a linear molecule, 0 for an atom."""
    arms = atoms.positions - atoms.get_center_of_mass()
    second_moment = np.einsum("i,ij,ik->jk", atoms.get_masses(), arms, arms)
    return np.trace(second_moment) * np.eye(3) - second_moment


def append_frame(path: Path, atoms: Atoms) -> None:
    """One more frame of an extended XYZ trajectory: elements, positions and cell."""
    frame = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    write(path, frame, format="extxyz", append=True)


def fit_drift(trace: EnergyTrace) -> Drift:
    """Slope of the total energy per atom and its standard error, by generalised least squares.

    The energy fluctuates about a slope, and it may also wander: rounding and cutoffs add small changes that are never taken
    back. For a wandering energy the usual standard error is several times too small. So the noise of the block means is that
    of a random walk on top of independent noise. The ratio of the two is not known; slopes and errors are averaged over it,
    weighted by the restricted likelihood (Harville, J. Am. Stat. Assoc. 72, 320 (1977)).

    Raises:
        ConfigError: Fewer than four records, or energies that are not finite.
    """
    energy = MEV * trace.total / trace.n_atoms  # meV/atom
    if len(energy) < MIN_RECORDS or not np.isfinite(energy).all():
        finite = int(np.isfinite(energy).sum())
        raise ConfigError(
            f"expected at least {MIN_RECORDS} finite energies to fit a drift to, got {finite} of {len(energy)}; run longer, or "
            "with a smaller time step"
        )
    n_blocks = min(N_BLOCKS, len(energy))
    blocks = np.array([block.mean() for block in np.array_split(energy, n_blocks)])
    time = np.array([block.mean() for block in np.array_split(trace.time, n_blocks)])
    slope, variance = _average_fits(blocks, time - time.mean())
    residual = energy - slope * trace.time
    return Drift(
        slope=float(slope * FS_PER_NS),
        standard_error=float(np.sqrt(variance) * FS_PER_NS),
        rms_fluctuation=float(residual.std()),
    )


def _average_fits(values: np.ndarray, time: np.ndarray) -> tuple[float, float]:
    """Slope of B block means (B,) in time (B,), and its variance, averaged over the ratio of walk to independent noise."""
    fits = np.array([_fit_line(values, time, ratio) for ratio in WALK_RATIOS])
    slopes, variances, log_likelihoods = fits.T
    weights = np.exp(log_likelihoods - log_likelihoods.max())
    weights /= weights.sum()
    slope = weights @ slopes
    return float(slope), float(weights @ (variances + (slopes - slope) ** 2))


def _fit_line(values: np.ndarray, time: np.ndarray, walk_ratio: float) -> tuple[float, float, float]:
    """Generalised least squares for noise of covariance 1 + ratio · walk: slope, its variance, restricted log-likelihood."""
    n_blocks = len(values)
    index = np.arange(n_blocks)
    walk = np.minimum.outer(index, index) + np.where(
        np.eye(n_blocks, dtype=bool), 1 / 3, 1 / 2
    )  # of block means
    factor = np.linalg.cholesky(np.eye(n_blocks) + walk_ratio * walk)
    lines = np.linalg.solve(factor, np.column_stack([np.ones(n_blocks), time]))
    whitened = np.linalg.solve(factor, values)
    normal = lines.T @ lines
    inverse = np.linalg.inv(normal)
    solution = inverse @ (lines.T @ whitened)
    # A perfect line has no noise; the floor keeps its logarithm finite.
    scale = max(float(((whitened - lines @ solution) ** 2).sum()) / (n_blocks - 2), np.finfo(float).tiny)
    log_determinants = 2 * np.log(np.diag(factor)).sum() + np.linalg.slogdet(normal)[1]
    return solution[1], scale * inverse[1, 1], -0.5 * (log_determinants + (n_blocks - 2) * np.log(scale))
