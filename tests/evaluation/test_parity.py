"""`mlffd verify` finds what is broken, and says what is not installed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mlff_distiller import cli
from mlff_distiller.engines import SinglePoint
from mlff_distiller.evaluation import parity
from mlff_distiller.evaluation.parity import Agreement, compare_edges, verification_structures, water_box


class StubEngine:
    """Gives the energies of another backend with an error in one place."""

    def __init__(self, error: float = 0.0, reason: str | None = None, stress_sign: float = 1.0) -> None:
        self.error, self.reason, self.stress_sign = error, reason, stress_sign

    def missing(self) -> str | None:
        return self.reason

    def single_points(self, structures, model, dtype="float32"):
        from mlff_distiller.registry import load

        points = parity._by_potential(load(model), structures)
        first = points["H2O"]
        forces = first.forces.copy()
        forces[0, 0] += self.error
        crystal = points["triclinic"]
        assert crystal.stress is not None
        return {
            **points,
            "H2O": SinglePoint(first.energy, forces, first.stress),
            "triclinic": SinglePoint(crystal.energy, crystal.forces, self.stress_sign * crystal.stress),
        }


class BrokenEngine(StubEngine):
    """Stops with an error of its own."""

    def single_points(self, structures, model, dtype="float32"):
        raise RuntimeError("the engine is broken")


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: StubEngine) -> tuple[int | str | None, dict]:
    """Exit status and JSON of ``mlffd verify`` with one engine."""
    monkeypatch.setattr(parity, "list_engines", lambda: {"stub": engine})
    monkeypatch.setattr("sys.argv", ["mlffd", "verify", "ultra-tiny", "--json", str(tmp_path / "a.json")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    document = json.loads((tmp_path / "a.json").read_text())
    return end.value.code, {row["name"]: row for row in document["agreement"]}


@pytest.mark.slow
def test_all_agree(monkeypatch, tmp_path) -> None:
    status, rows = run(monkeypatch, tmp_path, StubEngine())
    assert status == 0
    assert all(row["acceptable"] for row in rows.values())
    assert {"eager float32", "TorchScript", "native", "ONNX Runtime", "stub"} <= set(rows)
    assert rows["TorchScript"]["n_structures"] >= 19


@pytest.mark.slow
def test_a_wrong_force_is_an_exit_status(monkeypatch, tmp_path) -> None:
    status, rows = run(monkeypatch, tmp_path, StubEngine(error=3e-4))
    assert status == 1
    assert not rows["stub"]["acceptable"]
    assert rows["stub"]["worst"] == "H2O"


@pytest.mark.slow
def test_a_stress_of_the_wrong_sign_is_found(monkeypatch, tmp_path) -> None:
    status, rows = run(monkeypatch, tmp_path, StubEngine(stress_sign=-1.0))
    assert status == 1
    assert rows["stub"]["forces"] < 1e-4
    assert not rows["stub"]["acceptable"]


@pytest.mark.slow
def test_an_engine_that_stops_does_not_stop_the_others(monkeypatch, tmp_path) -> None:
    status, rows = run(monkeypatch, tmp_path, BrokenEngine())
    assert status == 1
    assert rows["stub"]["failed"] == "RuntimeError: the engine is broken"
    assert rows["TorchScript"]["acceptable"]


@pytest.mark.slow
def test_what_is_not_installed_is_no_failure(monkeypatch, tmp_path) -> None:
    status, rows = run(monkeypatch, tmp_path, StubEngine(reason='install it with pip install "x"'))
    assert status == 0
    assert rows["stub"]["missing"] == 'install it with pip install "x"'


def test_nan_is_a_disagreement() -> None:
    assert not Agreement("x", energy=float("nan")).acceptable
    a = {"s": SinglePoint(0.0, np.array([[np.nan, 0, 0]]))}
    b = {"s": SinglePoint(0.0, np.zeros((1, 3)))}
    assert not parity._agreement("x", {"s": Atoms("H")}, b, a).acceptable


def test_edge_lists_are_compared() -> None:
    assert compare_edges(verification_structures([1, 6, 8], 5.0), 5.0) == []


def test_a_lost_edge_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    search = parity.torch_neighbors
    monkeypatch.setattr(
        parity,
        "torch_neighbors",
        lambda *a: tuple(x[..., :-1] if x.dim() == 2 and x.shape[0] == 2 else x[:-1] for x in search(*a)),
    )
    assert compare_edges({"water": water_box(1)}, 5.0) == ["water"]


def test_water_box_has_the_density_of_water() -> None:
    box = water_box(4)
    assert len(box) == 192
    assert box.get_masses().sum() / box.get_volume() * 1.66054 == pytest.approx(1.0, abs=0.005)
