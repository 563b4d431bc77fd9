"""``mlffd benchmark``, ``quantize`` and ``recommend`` on the command line: files, exit status, and mistakes."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import molecule

from mlff_distiller.evaluation.benchmark import timing
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.presets import build_student
from tests.conftest import Run
from tests.test_cli import artifact, labels

__all__ = ["artifact", "labels"]  # fixtures

SHORT = "--rounds 2 --no-memory --sizes 5 --batches 1,2"


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SLICE", 0.0)


def test_benchmark_writes_files_and_compares(
    mlffd: Run, artifact: Path, labels: Path, tmp_path: Path
) -> None:
    command = f"benchmark student.pt --formats eager,torchscript {SHORT}"
    status, out, err = mlffd(*shlex.split(f"{command} -o old --dataset labels.h5 --frames 7"))
    assert status == 0, err
    assert "errors on 7 structures" in out
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == [
        "accuracy_speed.png",
        "benchmark.csv",
        "benchmark.json",
        "benchmark.png",
    ]
    report = tmp_path / "old" / "benchmark.json"
    values = json.loads(report.read_text())
    assert len(values["benchmark"]) == 4
    for row in values["benchmark"]:  # as if it had been ten thousand times faster
        row.update({name: row[name] / 10_000 for name in ("median", "q25", "q75")})
    report.write_text(json.dumps(values))
    status, out, _ = mlffd(*shlex.split(f"{command} -o new --compare old/benchmark.json"))
    assert status == 1
    assert out.count("SLOWER") == 4


def test_recommend(mlffd: Run, artifact: Path, tmp_path: Path) -> None:
    molecule("H2O").write(tmp_path / "water.xyz")
    accuracy = {"test": {"forces_by_element": {symbol: {"mae": 0.05} for symbol in "HCO"}}}
    network = build_student("ultra-tiny", elements=[1, 6, 8])
    write_artifact(network, "tested", Provenance(accuracy=accuracy), tmp_path / "tested.pt")
    options = "--engine native --rounds 1 --steps 20"
    status, out, err = mlffd(
        *shlex.split(f"recommend water.xyz tested.pt student.pt {options} --json a.json")
    )
    assert status == 0, err
    assert "use tested.pt" in out
    assert "unknown" in out  # the other's errors
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["chosen"] == "tested.pt"
    assert document["candidates"][0]["ns_per_day"] > 0
    status, out, _ = mlffd(*shlex.split(f"recommend water.xyz tested.pt {options} --max-error 40"))
    assert status == 1
    assert "no recommendation: none is within 40 meV/Å; the most accurate is tested.pt with 50" in out


@pytest.mark.slow
def test_quantize(mlffd: Run, artifact: Path, labels: Path, tmp_path: Path) -> None:
    status, _, err = mlffd(
        *shlex.split(
            "quantize student.pt --dataset labels.h5 -o small --schemes float16,int8 --rounds 2 --frames 100"
        )
    )
    assert status == 0, err
    rows = list(csv.DictReader((tmp_path / "small" / "quantization.csv").read_text().splitlines()))
    assert [row["scheme"] for row in rows] == ["exported", "float16", "int8"]
    for row in rows:
        assert int(row["bytes"]) == (tmp_path / "small" / row["file"]).stat().st_size
    assert float(rows[0]["force_difference_max"]) == 0 < float(rows[1]["force_difference_max"])
    assert float(rows[1]["force_difference_max"]) < float(rows[2]["force_difference_max"])
    assert mlffd("evaluate", "small/student-int8.onnx", "labels.h5", "--json", "int8.json")[0] == 0
    expected = json.loads((tmp_path / "int8.json").read_text())["forces"]  # of another command
    assert float(rows[2]["force_mae_ev_per_angstrom"]) == pytest.approx(expected["mae"], rel=1e-5)
    losses = [1 - float(row["force_r2"]) / float(rows[0]["force_r2"]) for row in rows]
    assert [float(row["r2_loss"]) for row in rows] == pytest.approx(losses, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (f"benchmark nothing {SHORT}", "no student 'nothing'"),
        (f"benchmark student.ckpt {SHORT}", "got the checkpoint student.ckpt; export it first"),
        ("benchmark student.pt --sizes 21", "no standard structure of 21 atoms"),
        ("benchmark student.pt --sizes small", "expected sizes as numbers with commas between"),
        ("benchmark student.pt --batches 1;2", "expected batches as numbers with commas between"),
        ("benchmark student.pt --batches 0 --formats eager", "at least one structure, got 0"),
        ("benchmark student.pt --formats tflite", "unknown format 'tflite'"),
        (f"benchmark student.pt --formats eager {SHORT} --teacher gfn3-xtb", "Unknown teacher"),
        (f"benchmark student.pt --formats eager {SHORT} --compare none.json", "none.json is not a benchmark"),
        (f"benchmark student.pt --formats eager {SHORT} --dataset none.h5", "none.h5"),
        ("benchmark student.pt --structure none.xyz", "none.xyz"),
        ("benchmark student.pt --structure silicon.xyz --formats eager --rounds 2", "atomic number 14"),
        ("quantize nothing --dataset labels.h5", "no student 'nothing'"),
        ("quantize student.onnx --dataset labels.h5", "expected a shipped name or an artifact (.pt)"),
        ("quantize student.pt --dataset labels.h5 --schemes int4", "unknown quantisation 'int4'"),
        ("recommend silicon.xyz student.pt", "student.pt does not know Si"),
        ("recommend silicon.xyz", "no student knows all elements of this structure"),
        ("recommend none.xyz", "none.xyz"),
        ("recommend water.xyz --engine gromacs", "unknown engine 'gromacs'"),
    ],
)
def test_mistakes_get_one_sentence_and_status_one(
    mlffd: Run, artifact: Path, labels: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    Atoms("Si").write(tmp_path / "silicon.xyz")
    molecule("H2O").write(tmp_path / "water.xyz")
    for name in ("student.ckpt", "student.onnx"):
        (tmp_path / name).write_bytes(b"nothing")
    status, _, err = mlffd(*shlex.split(arguments.replace(";", r"\;")))
    assert status == 1
    assert message in err
    assert err.count("error:") == 1
    assert "Traceback" not in err
