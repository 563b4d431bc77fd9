"""Rattling, dynamics and normal modes, against the statistics of harmonic oscillators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.vibrations import Vibrations

from mlff_distiller.data.sampling.config import DynamicsConfig, ModeConfig, RattleConfig
from mlff_distiller.data.sampling.draws import log_uniform, unit_vector
from mlff_distiller.data.sampling.dynamics import draw_momenta, heated_dynamics, langevin
from mlff_distiller.data.sampling.modes import force_hessian, normal_modes, thermal_displacements
from mlff_distiller.data.sampling.rattle import rattle_tree
from mlff_distiller.data.teachers import Teacher

STIFFNESS, LENGTH = 30.0, 1.1  # eV/Å², Å


@pytest.fixture
def diatomic(springs: Callable[..., Teacher]) -> tuple[Atoms, Teacher]:
    return Atoms("CO", [[0, 0, 0], [0, 0, LENGTH]]), springs([(0, 1)], STIFFNESS, LENGTH)


def test_draws_have_their_distributions(rng: np.random.Generator) -> None:
    draws = np.log10([log_uniform(rng, 0.01, 1.0) for _ in range(4000)])
    assert -2 <= draws.min() < draws.max() <= 0
    assert draws.mean() == pytest.approx(-1, abs=0.05)
    vectors = np.array([unit_vector(rng) for _ in range(4000)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    np.testing.assert_allclose(vectors.T @ vectors / len(vectors), np.eye(3) / 3, atol=0.03)


def test_momenta_are_those_of_the_temperature(rng: np.random.Generator) -> None:
    atoms = Atoms("HOAu" * 500, np.zeros((1500, 3)))
    draw_momenta(atoms, 400.0, rng)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-9)
    for symbol in ("H", "O", "Au"):
        kinetic = (atoms.get_momenta() ** 2 / (2 * atoms.get_masses()[:, None]))[atoms.symbols == symbol]
        assert kinetic.mean() == pytest.approx(units.kB * 400 / 2, rel=0.1)


def test_dynamics_sample_the_canonical_ensemble(
    diatomic: tuple[Atoms, Teacher], rng: np.random.Generator
) -> None:
    """The bond's potential energy is kT/2 on average, at a step that is a sixth of the period."""
    atoms, teacher = diatomic
    reduced_mass = np.prod(atoms.get_masses()) / atoms.get_masses().sum()
    period = 2 * np.pi * np.sqrt(reduced_mass / STIFFNESS) / units.fs
    atoms.calc = teacher.calculator
    dynamics = langevin(atoms, 500.0, period / 6, 0.05, rng)
    energies = []
    for _ in dynamics.irun(2000):
        energies.append(atoms.get_potential_energy())
    assert np.mean(energies[200:]) == pytest.approx(units.kB * 500 / 2, rel=0.2)


def test_heated_dynamics_are_equilibrated_at_each_temperature(
    sites: Callable[..., Teacher], rng: np.random.Generator
) -> None:
    """Atoms of unlike masses on springs to their sites: no two swing in phase, as in a molecule."""
    atoms = Atoms("CHOSNFCSHO" * 2, np.arange(20)[:, None] * [0, 0, LENGTH])
    teacher = sites(atoms.positions, STIFFNESS)
    settings = DynamicsConfig(n=2, temperatures=(900.0, 300.0))
    frames = [frame for _ in range(8) for frame in heated_dynamics(atoms, teacher, rng, settings)]
    assert [frame.info["regime"] for frame in frames[:4]] == ["md-300K", "md-300K", "md-900K", "md-900K"]
    for temperature in (300, 900):
        energies = [f.get_potential_energy() for f in frames if f.info["regime"] == f"md-{temperature}K"]
        assert np.mean(energies) == pytest.approx(60 / 2 * units.kB * temperature, rel=0.12)


def test_dynamics_do_not_depend_on_what_was_computed_before(
    diatomic: tuple[Atoms, Teacher],
) -> None:
    atoms, teacher = diatomic

    def last() -> np.ndarray:
        return list(heated_dynamics(atoms, teacher, np.random.default_rng(1), DynamicsConfig()))[-1].positions

    first = last()
    teacher.label(Atoms("CO", [[0, 0, 0], [0, 0, 2 * LENGTH]]))
    np.testing.assert_array_equal(last(), first)
    np.testing.assert_array_equal(atoms.positions[1], [0, 0, LENGTH])


def test_hessian_of_a_spring(diatomic: tuple[Atoms, Teacher]) -> None:
    expected = np.zeros((6, 6))
    expected[2, 2] = expected[5, 5] = STIFFNESS
    expected[2, 5] = expected[5, 2] = -STIFFNESS
    np.testing.assert_allclose(force_hessian(*diatomic, step=1e-3), expected, atol=2e-3)


def test_modes_are_those_of_ase(xtb: Teacher, relaxed: Callable[[str], Atoms], tmp_path: Path) -> None:
    water = relaxed("O")
    frequencies, modes = normal_modes(water, xtb, ModeConfig())
    water.calc = xtb.calculator
    vibrations = Vibrations(water, name=str(tmp_path / "vibrations"))
    vibrations.run()
    wavenumbers = frequencies * units._hbar * 1e10 / np.sqrt(units._e * units._amu) / units.invcm
    np.testing.assert_allclose(wavenumbers, np.real(vibrations.get_frequencies()[-3:]), rtol=2e-3)
    overlap = np.einsum("mnx,knx,n->mk", modes, modes, water.get_masses())
    np.testing.assert_allclose(overlap, np.eye(3), atol=1e-9)
    for min_wavenumber, n_modes in ((1.0, 3), (wavenumbers[0] * 1.01, 2), (wavenumbers[2] * 1.01, 0)):
        kept = normal_modes(relaxed("O"), xtb, ModeConfig(min_wavenumber=min_wavenumber))[0]
        assert len(kept) == n_modes


def test_modes_of_a_crystal_do_not_depend_on_its_wrapping() -> None:
    """Turning the atoms of a cell without the cell is no rigid motion: there are 3N - 3 vibrations."""
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.05, seed=1)
    shifted = crystal.copy()
    shifted.positions[1] += crystal.cell[0]
    teacher = Teacher("emt", "0", "", "", EMT())
    first, second = (
        normal_modes(atoms, teacher, ModeConfig(min_wavenumber=1.0))[0] for atoms in (crystal, shifted)
    )
    assert len(first) == 9
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_displacements_have_boltzmann_variance(
    diatomic: tuple[Atoms, Teacher], rng: np.random.Generator
) -> None:
    settings = ModeConfig(n=800, temperatures=(300.0,))
    frames = list(thermal_displacements(*diatomic, rng, settings))
    lengths = np.array([frame.get_distance(0, 1) for frame in frames])
    assert {frame.info["regime"] for frame in frames} == {"mode-300K"}
    assert lengths.mean() == pytest.approx(LENGTH, abs=0.005)
    assert lengths.var() == pytest.approx(units.kB * 300 / STIFFNESS, rel=0.15)
    centres = np.array([frame.get_center_of_mass() for frame in frames])
    np.testing.assert_allclose(centres, centres[:1].repeat(len(frames), axis=0), atol=1e-9)


def test_modes_leave_large_molecules_and_atoms_alone(
    springs: Callable[..., Teacher], rng: np.random.Generator
) -> None:
    large = Atoms("H" * 13, np.arange(39).reshape(13, 3))
    for atoms in (large, Atoms("H")):
        assert list(thermal_displacements(atoms, springs([(0, 1)], 1.0, 1.0), rng, ModeConfig())) == []


def test_rattled_frames_without_relaxation_are_sigma_away(
    diatomic: tuple[Atoms, Teacher], rng: np.random.Generator
) -> None:
    settings = RattleConfig(n=1, sigma_min=0.02, sigma_max=0.05, max_relax_steps=0)
    shifts = [
        next(rattle_tree(*diatomic, rng, settings)).positions - diatomic[0].positions for _ in range(500)
    ]
    expected = np.sqrt((0.05**2 - 0.02**2) / (2 * np.log(0.05 / 0.02)))  # of σ² for log-uniform σ
    assert np.std(shifts) == pytest.approx(expected, rel=0.05)


def test_relaxation_steps_lower_the_energy(diatomic: tuple[Atoms, Teacher]) -> None:
    """The same draws with and without steps; at 1 K the Metropolis test never accepts early."""

    def energies(max_relax_steps: int) -> np.ndarray:
        settings = RattleConfig(
            n=1, sigma_min=0.1, sigma_max=0.1, max_relax_steps=max_relax_steps, temperature=1.0
        )
        return np.array(
            [
                next(rattle_tree(*diatomic, np.random.default_rng(seed), settings)).get_potential_energy()
                for seed in range(40)
            ]
        )

    assert np.mean(energies(3)) < 0.8 * np.mean(energies(0))


def test_tree_grows_from_its_own_frames(diatomic: tuple[Atoms, Teacher], rng: np.random.Generator) -> None:
    settings = RattleConfig(n=60, sigma_min=0.1, sigma_max=0.1, max_relax_steps=0)
    frames = list(rattle_tree(*diatomic, rng, settings))
    assert len(frames) == 60
    assert {frame.info["regime"] for frame in frames} == {"rattle"}
    shifts = np.array([frame.positions - diatomic[0].positions for frame in frames])
    assert 0.12 < np.std(shifts[:20]) < np.std(shifts[40:])  # from the start alone, both would be 0.1
