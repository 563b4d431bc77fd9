"""Recommendation: the expected error, the rule that chooses, and what happens to students that cannot do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ase import Atoms
from ase.build import molecule

from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller.evaluation import recommend
from mlff_distiller.evaluation.recommend import (
    Candidate,
    Goal,
    choose,
    expected_force_error,
    recommend_student,
)
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.presets import build_student


class Silent:
    def stage(self, name: str, total: int | None) -> Callable[[], None]:
        return lambda: None


def test_expected_error_is_the_mean_over_the_atoms() -> None:
    by_element = {"H": {"mae": 0.02}, "O": {"mae": 0.08}}
    accuracy = {"test": {"forces_by_element": by_element}}
    metadata = SimpleNamespace(provenance=SimpleNamespace(accuracy=accuracy, dataset={}))
    assert expected_force_error(metadata, ["H", "H", "O"]) == pytest.approx(0.04)  # type: ignore[arg-type]
    assert expected_force_error(metadata, ["H", "C"]) is None  # type: ignore[arg-type]
    metadata.provenance.dataset = {
        "unseen_molecules": False
    }  # it knows these molecules: no promise for others
    assert expected_force_error(metadata, ["H", "H", "O"]) is None  # type: ignore[arg-type]
    metadata.provenance.dataset, metadata.provenance.accuracy = {}, {}
    assert expected_force_error(metadata, ["H"]) is None  # type: ignore[arg-type]


def test_speed_by_hand() -> None:
    """1 ms a step of 0.5 fs: 86.4 million steps a day, which are 43.2 ns."""
    assert Candidate("a", 1, None, 1e-3).ns_per_day(0.5) == pytest.approx(43.2)
    assert Candidate("a", 1, None, None, "failed").ns_per_day(0.5) is None


LARGE = Candidate("large", 400_000, 0.040, 10e-3)  # 4.32 ns/day at 0.5 fs
MIDDLE = Candidate("middle", 80_000, 0.060, 2e-3)  # 21.6
SMALL = Candidate("small", 20_000, 0.065, 1e-3)  # 43.2
BROKEN = Candidate("broken", 1, 0.001, None, "atoms 0 and 1 are 0.1 Å apart")
UNTESTED = Candidate("untested", 1, None, 1e-6)
ALL = [LARGE, MIDDLE, SMALL, BROKEN, UNTESTED]


@pytest.mark.parametrize(
    ("goal", "chosen", "reason"),
    [
        (Goal(), LARGE, "smallest expected error, and none as good is faster"),
        (
            Goal(ns_per_day=10),
            SMALL,
            "faster than middle, whose expected error is less than 10 % smaller of those",
        ),
        (Goal(ns_per_day=4), LARGE, "of those that reach 4 ns/day"),
        (Goal(max_error=0.07), SMALL, "the fastest within 70 meV/Å"),
        (Goal(max_error=0.062), MIDDLE, "the fastest within 62 meV/Å"),
        (Goal(ns_per_day=10, max_error=0.062), MIDDLE, "smallest expected error"),
        (Goal(ns_per_day=100), None, "none reaches 100 ns/day; the fastest is small with 43.2"),
        (Goal(max_error=0.03), None, "none is within 30 meV/Å; the most accurate is large with 40"),
        (
            Goal(ns_per_day=10, max_error=0.05),
            None,
            "the most accurate of those that reach 10 ns/day is middle",
        ),
        (Goal(ns_per_day=50, time_step=1.0), SMALL, "50 ns/day"),
    ],
)
def test_choice(goal: Goal, chosen: Candidate | None, reason: str) -> None:
    found, why = choose(ALL, goal)
    assert found is chosen
    assert reason in why


def test_nothing_to_choose_from() -> None:
    found, why = choose([BROKEN, UNTESTED], Goal())
    assert found is None
    assert "no student both ran and has errors on unseen molecules" in why


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    accuracy = {"test": {"forces_by_element": {symbol: {"mae": 0.05} for symbol in "HCO"}}}
    path = tmp_path_factory.mktemp("recommend") / "small.pt"
    network = build_student("ultra-tiny", elements=[1, 6, 8])
    return str(write_artifact(network, "small", Provenance(accuracy=accuracy), path))


@pytest.mark.parametrize("engine", ["native", "ase"])
def test_run_on_this_machine(student: str, engine: str) -> None:
    atoms = molecule("H2O")
    before = atoms.copy()
    found = recommend_student(atoms, [student], engine, Goal(), 2, 30, Silent())
    assert found.chosen is not None
    assert found.chosen.force_error == pytest.approx(0.05)
    assert 0 < found.chosen.step_time < 1  # type: ignore[operator]
    assert atoms == before


def test_start_of_the_engine_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes 5 s to start and 2 ms a step."""
    monkeypatch.setattr(recommend, "bare_run", lambda *_: lambda n_steps: 5.0 + 2e-3 * n_steps)
    assert recommend._step_time(Atoms("H"), "any", None, 0.5, 110) == pytest.approx(2e-3)


def test_student_that_fails_is_reported_and_not_chosen(student: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> float:
        raise StructureError("atoms 0 and 1 are 0.1 Å apart")

    monkeypatch.setattr(recommend, "_step_time", fail)
    found = recommend_student(molecule("H2O"), [student], "native", Goal(), 2, 30, Silent())
    assert found.chosen is None
    assert found.candidates[0].failure == "atoms 0 and 1 are 0.1 Å apart"


def test_mistakes(student: str, tmp_path: Path) -> None:
    water = molecule("H2O")
    with pytest.raises(StructureError, match="small.pt does not know N, Si.*distil one for this chemistry"):
        recommend_student(Atoms("SiNH"), [student], "native", Goal(), 1, 30, Silent())
    with pytest.raises(ConfigError, match="unknown engine 'gromacs'"):
        recommend_student(water, [student], "gromacs", Goal(), 1, 30, Silent())
    with pytest.raises(ConfigError, match="more than 10 steps, got 1 of 10"):
        recommend_student(water, [student], "native", Goal(), 1, 10, Silent())
