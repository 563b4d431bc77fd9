"""``mlffd evaluate`` and ``mlffd analyze`` as a user runs them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from rich.console import Console
from tests.conftest import Run, random_student
from tests.training.conftest import make_dataset

from mlff_distiller.commands.evaluation import predict_with_progress
from mlff_distiller.data.schema import write_dataset
from mlff_distiller.evaluation.metrics import predict_dataset
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact

LENNARD_JONES = "ase:ase.calculators.lj:LennardJones"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    student = random_student(dtype=torch.float32)
    return [
        write_artifact(student, "student", Provenance(), folder / f"student{suffix}")
        for suffix in (".pt", ".onnx")
    ]


@pytest.fixture
def files(tmp_path: Path, artifacts: list[Path]) -> Path:
    """labels.h5, and student.pt and student.onnx of one small student."""
    write_dataset(tmp_path / "labels.h5", make_dataset(12))
    for path in artifacts:
        shutil.copy(path, tmp_path)
    return tmp_path


def test_every_format_gives_the_same_numbers(files: Path) -> None:
    dataset = make_dataset(12)
    energy, forces = predict_dataset(random_student(dtype=torch.float32), dataset)
    for suffix in (".pt", ".onnx"):
        found = predict_with_progress(str(files / f"student{suffix}"), dataset, 20, Console(quiet=True))
        np.testing.assert_allclose(found[0], energy, atol=1e-3)
        np.testing.assert_allclose(found[1], forces, atol=1e-3)


@pytest.mark.parametrize("columns", ["80", "200"])
def test_no_number_is_cut_short(
    mlffd: Run, files: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    status, out, err = mlffd("evaluate", "student.pt", "labels.h5")
    assert status == 0, err
    assert "…" not in out
    assert "12/12 structures" in err


def test_evaluation_against_labels_and_a_live_teacher(mlffd: Run, files: Path) -> None:
    arguments = (
        "evaluate",
        "student.pt",
        "labels.h5",
        "-o",
        "out",
        "-t",
        LENNARD_JONES,
        "--json",
        "kept.json",
    )
    status, _, err = mlffd(*arguments)
    assert status == 0, err
    document = json.loads((files / "out" / "evaluation.json").read_text())
    pairs = [(found["predicted"], found["reference"]) for found in document["comparisons"]]
    assert pairs == [
        ("student.pt", "labels"),
        ("student.pt", LENNARD_JONES),
        ("labels", LENNARD_JONES),
    ]
    kept = json.loads((files / "kept.json").read_text())
    assert kept["forces"]["mae"] == document["comparisons"][0]["forces"]["all"]["all"]["mae"]
    with open(files / "out" / "forces.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["group_kind"] for row in rows} == {"all", "element", "regime", "size", "force"}
    assert mlffd(*arguments)[0] == 0  # with the labels that are there


def test_a_teacher_needs_a_folder(mlffd: Run, files: Path) -> None:
    status, _, err = mlffd("evaluate", "student.pt", "labels.h5", "-t", LENNARD_JONES)
    assert status == 1
    assert "--output" in err


def test_analysis_of_several_students(mlffd: Run, files: Path) -> None:
    status, out, err = mlffd("analyze", "student.pt", "student.onnx", "labels.h5", "-o", "out")
    assert status == 0, err
    assert "lennard-jones" in out
    document = json.loads((files / "out" / "analysis.json").read_text())
    assert [student["predicted"] for student in document["students"]] == ["student.pt", "student.onnx"]
    assert {path.name for path in (files / "out").iterdir()} == {
        "analysis.json",
        "force_analysis.png",
        "force_analysis.pdf",
    }


def test_analysis_of_a_structure_needs_a_teacher(mlffd: Run, files: Path) -> None:
    ase.io.write(files / "methanol.xyz", molecule("CH3OH"))
    status, _, err = mlffd("analyze", "student.pt", "methanol.xyz")
    assert status == 1
    assert "--teacher" in err
    status, _, err = mlffd("analyze", "student.pt", "methanol.xyz", "-t", LENNARD_JONES)
    assert status == 0, err
    assert json.loads((files / "analysis" / "analysis.json").read_text())["n_atoms"] == 6


def test_too_many_students_for_a_figure(mlffd: Run, files: Path) -> None:
    status, _, err = mlffd("analyze", *["student.pt"] * 7, "labels.h5")
    assert status == 1
    assert "at most 6" in err
