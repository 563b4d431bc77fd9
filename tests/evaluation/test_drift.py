"""The drift fit on energies whose drift is known, and dynamics whose integrator is known."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.md.velocitydistribution import thermalize_momenta

from mlff_distiller.constant_energy import EnergyTrace, NVESettings, run_nve, start_velocities, stop_drifting
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.drift import fit_drift


def trace(slope: float, noise: float, n: int = 2000, seed: int = 0) -> EnergyTrace:
    """Total energy of 10 atoms with a drift in meV/atom/ns and white noise in meV/atom."""
    time = np.linspace(0, 10_000, n)
    energy = 10 / 1000 * (slope * time / 1e6 + noise * np.random.default_rng(seed).normal(size=n))
    return EnergyTrace(time, energy - 5000.0, np.zeros(n), n_atoms=10)


@pytest.mark.parametrize("slope", [-20.0, 0.0, 7.0])
def test_known_drift_is_found(slope: float) -> None:
    drift = fit_drift(trace(slope, noise=1e-9))
    assert drift.slope == pytest.approx(slope, abs=1e-3)


def wandering(seed: int) -> EnergyTrace:
    """Like `trace`, without drift, but with an energy that walks at random."""
    flat = trace(0.0, noise=0.0)
    walk = np.cumsum(1e-5 * np.random.default_rng(seed).normal(size=len(flat.time)))
    return EnergyTrace(flat.time, flat.potential + walk, flat.kinetic, flat.n_atoms)


@pytest.mark.parametrize("kind", ["fluctuating", "wandering"])
def test_standard_error_is_honest(kind: str) -> None:
    """Over many traces without drift, the fitted slope is within two standard errors about as often as it should be."""
    make = wandering if kind == "wandering" else lambda seed: trace(0.0, noise=0.05, seed=seed)
    fits = [fit_drift(make(seed)) for seed in range(200)]
    assert np.mean([abs(fit.slope) < 2 * fit.standard_error for fit in fits]) > 0.83
    typical = np.sqrt(np.mean([fit.slope**2 for fit in fits]))
    assert 0.7 * typical < np.median([fit.standard_error for fit in fits]) < 2.5 * typical


def test_fluctuation_is_that_around_the_slope() -> None:
    assert fit_drift(trace(30.0, noise=0.05)).rms_fluctuation == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("energies", [[1.0, 2.0, 3.0], [1.0, np.nan, 1.0, 1.0, 1.0]])
def test_too_little_to_fit_is_refused(energies: list[float]) -> None:
    values = np.array(energies)
    with pytest.raises(ConfigError, match="finite energies to fit a drift to"):
        fit_drift(EnergyTrace(np.arange(len(values)), values, np.zeros(len(values)), 1))


def test_fluctuation_falls_with_the_square_of_the_time_step() -> None:
    """Velocity Verlet conserves a shadow energy to second order: the integrator is the one that is claimed."""
    spread = {}
    for time_step in (0.5, 1.0):
        atoms: Atoms = molecule("N2")
        atoms.calc = EMT()
        settings = NVESettings(
            n_steps=round(200 / time_step), time_step=time_step, n_equilibration=100, interval=1
        )
        spread[time_step] = fit_drift(run_nve(atoms, settings)).rms_fluctuation
    assert spread[1.0] / spread[0.5] == pytest.approx(4.0, rel=0.35)


def test_equilibration_has_the_temperature_that_was_asked_for() -> None:
    kinetic = []
    for seed in range(12):  # a run of a small molecule keeps the energy that it happens to have
        atoms = molecule("C2H6")
        atoms.calc = EMT()
        settings = NVESettings(n_steps=400, n_equilibration=400, interval=5, seed=seed)
        kinetic.append(run_nve(atoms, settings).kinetic.mean())
    temperature = 2 * np.mean(kinetic) / ((3 * 8 - 6) * units.kB)
    assert temperature == pytest.approx(300.0, rel=0.15)


def test_own_velocities_lose_what_degrees_of_freedom_do_not_count() -> None:
    atoms = molecule("C2H6")
    thermalize_momenta(atoms, 300.0, rng=np.random.default_rng(0))
    start_velocities(atoms, NVESettings(n_steps=400, n_equilibration=0))
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(atoms.get_angular_momentum(), 0.0, atol=1e-12)
    assert atoms.get_kinetic_energy() > 0.1


@pytest.mark.parametrize("axis", ["x", "y", "z", (1, 2, 3)])
@pytest.mark.parametrize("name", ["N2", "CO2", "C2H6", "H"])
def test_nothing_turns_or_moves_any_more(name: str, axis: str | tuple[int, int, int]) -> None:
    """Linear molecules have no moment of inertia about their axis; along an axis of the frame it is exactly zero."""
    atoms = molecule(name) if name != "H" else Atoms("H")
    atoms.rotate("z", axis)
    thermalize_momenta(atoms, 300.0, rng=np.random.default_rng(0))
    kinetic = atoms.get_kinetic_energy()
    stop_drifting(atoms)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(atoms.get_angular_momentum(), 0.0, atol=1e-12)
    assert atoms.get_kinetic_energy() < kinetic, "taking a motion out heats nothing"
