"""The command line: what it prints, its exit status, and that nobody's mistake ends in a traceback."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import pytest
import torch
from ase.build import bulk, molecule
from rich.table import Table

import mlff_distiller
from mlff_distiller import cli
from mlff_distiller.cli.app import print_table
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.presets import build_student
from mlff_distiller.registry import load
from tests.conftest import Run
from tests.training.conftest import make_dataset

QUICK = [
    word
    for setting in (
        "training.epochs=1",
        "training.compile=false",
        "formats=[torchscript]",
        "data.fractions=[0.5,0.25,0.25]",
    )
    for word in ("--set", setting)
]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "labels.h5", make_dataset(48))
    return tmp_path / "labels.h5"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    student = build_student("ultra-tiny", elements=[1, 6, 8])
    return write_artifact(student, "student", Provenance(), tmp_path / "student.pt")


COMMANDS = (
    "sample",
    "label",
    "pairs",
    "convert",
    "train",
    "distill",
    "evaluate",
    "analyze",
    "benchmark",
    "quantize",
    "recommend",
    "audit",
    "card",
    "export",
    "committee",
    "models",
    "verify",
    "nve",
)


def test_brackets_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Table("[red] and a wide column", title="c1cc[nH]c1"))
    cli.console.print("wrote c1cc[nH]c1.pt")
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("[red]", " c1cc[nH]c1 ", "wrote c1cc[nH]c1.pt"))


def test_a_cluster_labels(mlffd: Run, labels: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    options = ["-t", "ase:ase.calculators.emt:EMT", "-o", str(tmp_path / "a.h5")]
    with distributed.LocalCluster(
        1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        status, out, err = mlffd("label", str(labels), *options, "--scheduler", cluster.scheduler_address)
    assert status == 0, err
    assert "48" in out
    assert len(read_dataset(tmp_path / "a.h5")) == 48


def test_no_cluster_at_that_address(mlffd: Run, labels: Path) -> None:
    pytest.importorskip("distributed")
    status, _, err = mlffd("label", str(labels), "-o", "a.h5", "--scheduler", "nowhere")
    assert status == 1
    assert "no Dask scheduler answers at 'nowhere'" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_whose_options_exist(mlffd: Run, command: str) -> None:
    status, out, _ = mlffd(command, "--help")
    assert status == 0
    text = re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", out))
    example = re.search(r"Example: mlffd (\w+)(.*?) (?:Arguments|Options)", text)
    assert example is not None
    assert example[1] == command
    for option in [word for word in shlex.split(example[2]) if word.startswith("-")]:
        assert option in text.split("Options", 1)[1]


def test_commands_that_are_listed_are_tested(mlffd: Run) -> None:
    assert {command.name or command.callback.__name__ for command in cli.app.registered_commands} == set(
        COMMANDS
    )


def test_convert_and_back(mlffd: Run, labels: Path, tmp_path: Path) -> None:
    status, out, _ = mlffd("convert", "labels.h5", "labels.xyz")
    assert status == 0
    assert "48" in out
    assert mlffd("convert", "labels.xyz", "back.h5")[0] == 0
    assert (read_dataset(labels).positions == read_dataset(tmp_path / "back.h5").positions).all()


def test_convert_with_other_keys(mlffd: Run, tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info["E_dft"], atoms.arrays["F_dft"] = -3.0, atoms.positions * 0.1
    ase.io.write(tmp_path / "dft.xyz", atoms)
    status, _, err = mlffd("convert", "dft.xyz", "dft.h5")
    assert status == 1
    assert "--keys" in err
    assert mlffd("convert", "dft.xyz", "dft.h5", "--keys", "energy=E_dft,forces=F_dft")[0] == 0
    assert read_dataset(tmp_path / "dft.h5").energy.tolist() == [-3.0]


def test_train_evaluate_export(mlffd: Run, labels: Path, tmp_path: Path) -> None:
    status, out, err = mlffd("train", "labels.h5", "--preset", "ultra-tiny", "-o", "run", *QUICK)
    assert status == 0, err
    assert "never seen in training" in out
    model = "run/student/student.pt"
    status, out, _ = mlffd("evaluate", model, "labels.h5", "--json", "errors.json")
    assert status == 0
    assert "meV/Å" in out
    assert json.loads((tmp_path / "errors.json").read_text())["forces"]["n_atoms"] == len(
        read_dataset(labels).atomic_numbers
    )
    assert mlffd("export", "run/student/best.ckpt", "-o", "again.pt")[0] == 0
    assert (
        mlffd("evaluate", "again.pt", "labels.h5")[1].split()[8:]
        == out.replace(model, "again.pt").split()[8:]
    )


def test_label_structure_files(mlffd: Run, tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    ase.io.write(tmp_path / "water.xyz", molecule("H2O"))
    status, _, err = mlffd("label", "water.xyz", "-o", "water.h5")
    assert status == 0, err
    assert read_dataset(tmp_path / "water.h5").energy[0] == pytest.approx(
        -137.97, abs=0.05
    )  # GFN2-xTB: -5.0704 Hartree


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("evaluate nothing labels.h5", "no student 'nothing'"),
        ("evaluate student.pt nothing.h5", "nothing.h5"),
        ("evaluate student.pt empty.h5", "empty.h5"),
        ("evaluate damaged.pt labels.h5", "damaged"),
        ("evaluate student.pt nitrogen.h5", "atomic number 7"),
        ("evaluate student.pt labels.txt", "labels.txt"),
        ("export student.pt -o student.tflite", "ends in .pt or .onnx"),
        ("export nothing -o a.pt", "no student 'nothing'"),
        ("train labels.h5 --preset huge -o run", "'original', 'tiny' or 'ultra-tiny'"),
        ("train labels.h5 -o run --set training.epoch=1", "training.epoch: unknown key"),
        ("train labels.h5 -o run --set training.epochs=-1", "training.epochs"),
        ("train labels.h5 -o run --init damaged.pt", "damaged"),
        ("distill nothing.yaml -o run", "cannot read the configuration nothing.yaml"),
        ("distill -o run", "nothing to distil"),
        ("sample not-a-molecule -o a.h5", "not-a-molecule"),
        ("sample C -o a.h5 -t gfn3-xtb", "Did you mean"),
        ("sample C -o labels.h5", "labels.h5"),
        ("sample C -o a.h5 --set dynamics.m=1", "dynamics.m: unknown key"),
        ("label labels.h5 student.pt -o a.h5", "not both"),
        ("convert labels.h5 labels.csv", ".h5, .xyz or .extxyz"),
    ],
)
def test_mistakes_get_one_sentence_and_status_one(
    mlffd: Run, labels: Path, artifact: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    (tmp_path / "damaged.pt").write_bytes(artifact.read_bytes()[:-500])
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "labels.txt").write_text("words")
    nitrogen = make_dataset(4)
    nitrogen.atomic_numbers[nitrogen.atomic_numbers == 8] = 7
    write_dataset(tmp_path / "nitrogen.h5", nitrogen)
    before = labels.read_bytes()
    status, _, err = mlffd(*shlex.split(arguments))
    assert status == 1
    assert message in err
    assert err.count("error:") == 1
    assert "Traceback" not in err
    assert labels.read_bytes() == before


def test_usage_mistakes_have_status_two(mlffd: Run) -> None:
    status, _, err = mlffd("models", "--nonsense")
    assert status == 2
    assert "--nonsense" in err


def test_fine_tuning_takes_the_size_of_the_start(mlffd: Run, labels: Path, artifact: Path) -> None:
    status, _, err = mlffd("train", "labels.h5", "--init", "student.pt", "-o", "run", *QUICK)
    assert status == 0, err
    found, expected = (
        load(path).metadata.architecture for path in (Path("run/student/student.pt"), artifact)
    )
    assert found["n_features"] == expected["n_features"]


def test_fine_tuning_with_another_preset_is_an_error(mlffd: Run, labels: Path, artifact: Path) -> None:
    status, _, err = mlffd("train", "labels.h5", "--preset", "tiny", "--init", "student.pt", "-o", "run")
    assert status == 1
    assert "preset" in err


@pytest.mark.slow
def test_interrupt_says_how_to_go_on(tmp_path: Path, labels: Path) -> None:
    """Ctrl-C in the middle of a training: status 130, one sentence, and a checkpoint."""
    command = [
        sys.executable,
        "-c",
        "from mlff_distiller.cli import main; main()",
        "train",
        "labels.h5",
        "-o",
        "run",
    ]
    settings = [
        "--set",
        "training.epochs=100000",
        "--set",
        "training.compile=false",
        "--set",
        "data.fractions=[0.5,0.25,0.25]",
    ]
    process = subprocess.Popen(
        [*command, *settings], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "student" / "last.ckpt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on where they stopped" in err
    assert "Traceback" not in err


def test_committee_of_files(mlffd: Run, tmp_path: Path) -> None:
    for k in (0, 1):
        torch.manual_seed(k)
        student = build_student("ultra-tiny", elements=[1, 6, 8])
        write_artifact(student, f"{k}", Provenance(teacher={"teacher": "gfn2-xtb"}), tmp_path / f"{k}.pt")
    status, out, _ = mlffd("committee", "0.pt", "1.pt", "-o", "both.pt")
    metadata = load(tmp_path / "both.pt").metadata
    assert (status, metadata.n_members, metadata.provenance.teacher) == (0, 2, {"teacher": "gfn2-xtb"}), out
    status, _, err = mlffd("committee", "0.pt", "1.pt", "-o", "both.onnx")
    assert (status, "no ONNX form" in err) == (1, True)
    status, _, err = mlffd("committee", "0.pt", "tiny", "-o", "c.pt")
    assert (status, "differs from the first in" in err) == (1, True)
    status, _, err = mlffd("committee", "0.pt", "1.pt", "0.pt", "-o", "c.pt")
    assert (status, "0.pt and 0.pt have the same weights" in err) == (1, True)
    torch.manual_seed(2)
    other = build_student("ultra-tiny", elements=[1, 6, 8])
    write_artifact(other, "2", Provenance(teacher={"teacher": "orb"}), tmp_path / "2.pt")
    status, _, err = mlffd("committee", "0.pt", "2.pt", "-o", "c.pt")
    assert (status, "of different teachers (gfn2-xtb, orb)" in err) == (1, True)
    status, _, err = mlffd("train", "x.h5", "--init", "both.pt", "--preset", "ultra-tiny")
    assert status == 1


def test_a_pair_of_a_molecule_without_a_cell(mlffd: Run, tmp_path: Path) -> None:
    molecule("H2O").write(tmp_path / "water.xyz")
    status, _, err = mlffd("nve", "tiny", "water.xyz", "--pair", "O-H")
    assert (status, "leave out --reference and --pair" in err) == (1, True)


def test_export_to_the_name_of_a_folder(mlffd: Run, tmp_path: Path) -> None:
    (tmp_path / "taken.pt").mkdir()
    status, _, err = mlffd("export", "tiny", "-o", "taken.pt")
    assert (status, "cannot be written: Is a directory" in err) == (1, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["taken.pt"]


def test_version(mlffd: Run) -> None:
    status, out, _ = mlffd("--version")
    assert (status, out.strip()) == (0, mlff_distiller.__version__)


def test_an_unknown_engine_of_a_recommendation(mlffd: Run, tmp_path: Path) -> None:
    molecule("H2O").write(tmp_path / "water.xyz")
    status, _, err = mlffd("recommend", "water.xyz", "--engine", "foo")
    assert (status, "choose one of native, ase" in err) == (1, True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.xyz", "expected a structure file, got nothing. Check the path."),
        ("empty.xyz", "expected a structure file, got an empty file."),
        (".", "expected a structure file, got a folder."),
    ],
)
def test_files_that_hold_no_structure(mlffd: Run, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty.xyz").touch()
    status, _, err = mlffd("nve", "tiny", name)
    assert (status, f"{name}: {message}" in err) == (1, True), err
    status, _, err = mlffd("audit", name, "--model", "tiny")
    assert (status, message.replace("structure file", "trajectory") in err) == (1, True), err


@pytest.mark.parametrize(
    "command",
    [
        "nve tiny silicon.xyz --output {}",
        "audit silicon.xyz --model tiny --output {}",
        "evaluate student.pt nitrogen.h5 --output {}",
        "analyze student.pt nitrogen.h5 --output {}",
        "evaluate student.pt known.h5 --teacher nonsense --output {}",
    ],
)
def test_a_command_that_fails_leaves_no_empty_folder(
    mlffd: Run, tmp_path: Path, artifact: Path, command: str
) -> None:
    """And none of the user's goes."""
    bulk("Si", cubic=True).write(tmp_path / "silicon.xyz")
    nitrogen = make_dataset(4)
    nitrogen.atomic_numbers[nitrogen.atomic_numbers == 8] = 7
    write_dataset(tmp_path / "nitrogen.h5", nitrogen)
    write_dataset(tmp_path / "known.h5", make_dataset(4))
    (tmp_path / "old").mkdir()
    for folder in ("old", "new"):
        status, _, err = mlffd(*command.format(folder).split())
        assert status == 1, err
        assert re.search("atomic number|Si|nonsense", err), err
    assert (tmp_path / "old").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_benchmark_on_a_device_that_is_not_there(mlffd: Run) -> None:
    status, _, err = mlffd("benchmark", "tiny", "--device", "cuda", "--sizes", "5", "--formats", "eager")
    assert (status, "the device 'cuda' cannot be used here" in err) == (1, True), err
