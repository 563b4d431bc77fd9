"""Constant energy in OpenMM, and trajectories that other programs read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import read
from ase.md.verlet import VelocityVerlet

from mlff_distiller.constant_energy import NVESettings
from mlff_distiller.evaluation.drift import fit_drift
from mlff_distiller_ase import DistilledCalculator
from mlff_distiller_openmm import run_openmm_nve
from tests.conftest import ethanol
from tests.openmm.conftest import water_box


def test_energy_is_conserved_and_errors_fall_with_the_square_of_the_step(backend: str) -> None:
    fluctuations = []
    for time_step in (0.5, 0.25):
        settings = NVESettings(
            n_steps=round(100 / time_step),
            n_equilibration=0,  # so that both start alike
            time_step=time_step,
            interval=round(1 / time_step),
            dtype="float64",
        )
        trace = run_openmm_nve(ethanol(), "ultra-tiny", settings, backend=backend)
        fluctuations.append(fit_drift(trace).rms_fluctuation)
        assert np.ptp(trace.kinetic) > 20 * np.ptp(trace.total)
    assert fluctuations[0] < 1.0  # meV/atom
    assert fluctuations[0] / fluctuations[1] == pytest.approx(4.0, rel=0.3)


def test_same_velocity_verlet_as_ase(backend: str) -> None:
    """From the same start, positions and velocities at the same time: the energies are those of ASE's integrator."""
    atoms = ethanol()
    settings = NVESettings(n_steps=10, n_equilibration=0, interval=1, dtype="float64")
    trace = run_openmm_nve(atoms, "ultra-tiny", settings, backend=backend)
    again = ethanol()
    run_openmm_nve(again, "ultra-tiny", NVESettings(n_steps=0, n_equilibration=0, dtype="float64"))
    again.calc = DistilledCalculator("ultra-tiny", dtype="float64")
    VelocityVerlet(again, 0.5 * units.fs).run(10)
    assert again.positions == pytest.approx(atoms.positions, abs=1e-8)
    assert again.get_kinetic_energy() == pytest.approx(trace.kinetic[-1], abs=1e-7)
    assert again.get_potential_energy() == pytest.approx(trace.potential[-1], abs=1e-7)


def test_start_is_at_rest_and_hot() -> None:
    atoms = water_box()
    settings = NVESettings(n_steps=0, n_equilibration=300, interval=50)
    run_openmm_nve(atoms, "ultra-tiny", settings, backend="pythonforce")
    assert np.abs(atoms.get_momenta().sum(axis=0)).max() < 1e-6
    assert 150 < atoms.get_temperature() < 600


def test_records_reports_and_seed() -> None:
    done: list[int] = []
    settings = NVESettings(n_steps=22, n_equilibration=10, interval=5)
    traces = [
        run_openmm_nve(ethanol(), "ultra-tiny", settings, backend="pythonforce", report=done.append)
        for _ in range(2)
    ]
    assert traces[0].time.tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert done == [5, 10, 15, 20, 25, 30] * 2
    assert traces[0].potential == pytest.approx(traces[1].potential, abs=1e-9)
    assert traces[0].n_atoms == 9


@pytest.mark.parametrize("make", [ethanol, water_box])
def test_trajectory_is_read_by_ase_and_mdanalysis(make, backend: str, tmp_path: Path) -> None:
    atoms: Atoms = make()
    cell = atoms.cell.array.copy()
    path = tmp_path / "run.xyz"
    settings = NVESettings(n_steps=20, n_equilibration=20, interval=5, frame_interval=5, trajectory=path)
    trace = run_openmm_nve(atoms, "ultra-tiny", settings, backend=backend)
    frames = read(path, ":")
    assert len(frames) == len(trace.time) == 5
    assert frames[-1].positions == pytest.approx(atoms.positions, abs=1e-6)
    assert frames[-1].cell.array == pytest.approx(cell, abs=1e-6)
    mda = pytest.importorskip("MDAnalysis", reason="MDAnalysis is not installed")
    universe = mda.Universe(
        str(path), format="XYZ", topology_format="XYZ", dt=settings.interval * settings.time_step
    )
    assert [ts.positions.shape for ts in universe.trajectory] == [(len(atoms), 3)] * 5
    assert universe.trajectory[-1].positions == pytest.approx(atoms.positions, abs=1e-4)
