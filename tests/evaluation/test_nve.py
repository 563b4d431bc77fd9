"""The evidence from runs at constant energy: grades, units, the order of the integrator, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms

from mlff_distiller import cli
from mlff_distiller.constant_energy import EnergyTrace, NVESettings, run_nve
from mlff_distiller.engines import find_engine, list_engines
from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller.evaluation.drift import Drift
from mlff_distiller.evaluation.nve import degrees_of_freedom, grade, measure_nve
from mlff_distiller.evaluation.parity import water_box

pytest.importorskip("MDAnalysis", reason="MDAnalysis is not installed")


class EmtEngine:
    """Dynamics with a potential that is known to be smooth."""

    def nve(self, atoms: Atoms, model: str, settings: NVESettings, report=None) -> EnergyTrace:
        atoms.calc = EMT()
        return run_nve(atoms, settings, report)


@pytest.mark.parametrize(
    ("slope", "error", "expected"),
    [
        (0.05, 0.05, "excellent"),
        (-0.5, 0.1, "good"),
        (3.0, 0.1, "usable"),
        (-30.0, 1.0, "poor"),
        (0.0, 5.0, "usable"),
    ],
)
def test_grades(slope: float, error: float, expected: str) -> None:
    assert grade(Drift(slope, error, 0.0)) == expected


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [(Atoms("H"), 0), (molecule("N2"), 1), (molecule("CO2"), 4), (molecule("H2O"), 3), (water_box(1), 6)],
)
def test_degrees_of_freedom(atoms: Atoms, expected: int) -> None:
    assert degrees_of_freedom(atoms) == expected


def test_a_single_atom_is_refused_before_any_run(tmp_path: Path) -> None:
    settings = NVESettings(trajectory=tmp_path / "t.xyz")
    with pytest.raises(StructureError, match="a single atom at rest never moves"):
        measure_nve(EmtEngine(), Atoms("H"), "", settings)  # pyright: ignore[reportArgumentType]


def test_measures_a_smooth_potential(tmp_path: Path) -> None:
    settings = NVESettings(
        n_steps=400, n_equilibration=200, interval=2, frame_interval=20, trajectory=tmp_path / "t.xyz"
    )
    done: list[tuple[str, int, int]] = []
    start = molecule("N2")
    report = measure_nve(EmtEngine(), start, "", settings, report=lambda *a: done.append(a))  # pyright: ignore[reportArgumentType]
    assert report.order == pytest.approx(2.0, abs=0.4)
    assert report.trajectory.n_frames == 21
    assert start.positions == pytest.approx(molecule("N2").positions)  # not moved
    assert done[0][0] == "constant energy"
    assert max(d for what, d, _ in done if what == "constant energy") == 600
    kt = 1000 * units.kB * report.temperature
    assert report.drift_kt == pytest.approx(report.drift.slope * 2 / 1 / kt)
    json.dumps(report.to_dict())


def test_constraints_of_a_structure_file_are_left_out(tmp_path: Path) -> None:
    """An atom that is held would make the other engines, which know no constraints of ASE, run another system."""
    settings = NVESettings(n_steps=100, n_equilibration=0, interval=2, trajectory=tmp_path / "t.xyz")
    start = molecule("N2")
    start.set_constraint(FixAtoms([0]))
    seen: list[bool] = []

    class Watched(EmtEngine):
        def nve(self, atoms: Atoms, *arguments: object) -> EnergyTrace:
            seen.append(bool(atoms.constraints))
            return super().nve(atoms, *arguments)  # pyright: ignore[reportArgumentType]

    measure_nve(Watched(), start, "", settings)  # pyright: ignore[reportArgumentType]
    assert seen
    assert not any(seen)
    assert start.constraints


def test_the_command_writes_numbers_plot_and_trajectory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    water_box(2).write(tmp_path / "water.xyz")
    arguments = ["nve", "ultra-tiny", str(tmp_path / "water.xyz"), "-o", str(tmp_path / "out")]
    options = ["--picoseconds", "0.05", "--equilibration", "0.05", "--time-step", "0.1", "--no-scaling"]
    monkeypatch.setattr("sys.argv", ["mlffd", *arguments, *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    report = json.loads((tmp_path / "out" / "nve.json").read_text())
    assert report["n_atoms"] == 24
    assert report["order_in_time_step"] is None
    assert (tmp_path / "out" / "nve.png").stat().st_size > 10_000
    assert (
        (tmp_path / "out" / "energies.csv")
        .read_text()
        .startswith("time_fs,potential_ev,kinetic_ev,total_ev\n0,")
    )

    again = [
        "--reference",
        str(tmp_path / "out" / "trajectory.xyz"),
        "--pair",
        "O-O",
    ]  # g(r) of both in one panel
    monkeypatch.setattr("sys.argv", ["mlffd", *arguments[:-1], str(tmp_path / "again"), *options, *again])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert (tmp_path / "again" / "nve.png").stat().st_size > 10_000


def test_unknown_engine_names_those_that_exist() -> None:
    assert {"ase", "lammps", "lammps-2-ranks"} <= set(list_engines())
    with pytest.raises(ConfigError, match="unknown engine 'gromacs'; choose one of ase"):
        find_engine("gromacs")


@pytest.mark.parametrize("picoseconds", [0.05, 1.0, 9.9, 10.0, 100.0, 1000.0])
def test_a_length_in_ps_has_enough_records_and_not_too_many_frames(picoseconds: float) -> None:
    settings = NVESettings.of_length(picoseconds, equilibration=2.0, time_step=0.25)
    assert settings.n_steps * settings.time_step == pytest.approx(1000 * picoseconds)
    assert settings.n_equilibration == 8000
    assert settings.n_steps // settings.interval >= 200
    assert settings.n_steps // settings.frame_interval <= 2000
    assert settings.frame_interval % settings.interval == 0
