"""Cards: every number comes from the artifact or from a measurement of that very file, and those in docs are up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mlff_distiller.commands.trust import card_text, write_card
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.evidence import read_evidence
from mlff_distiller.evaluation.markdown import markdown_table
from mlff_distiller.export.artifact import Provenance, read_metadata
from mlff_distiller.export.identity import artifact_identity
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.presets import build_student
from mlff_distiller.registry import artifact_path, list_models

CARDS = Path(__file__).parents[2] / "docs" / "model_cards"


def evidence_of(name: str) -> list[Path]:
    """What `make cards` uses."""
    folder = CARDS / "evidence" / name
    return [folder] if folder.is_dir() else []


@pytest.mark.parametrize("name", ["original", "tiny", "ultra-tiny"])
def test_card_is_that_of_the_shipped_artifact_and_its_measurements(name: str) -> None:
    """Fails when a student, its measurements or the form of the card changed: `make evidence cards` writes them again."""
    written = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert artifact_identity(artifact_path(name))["sha256"] in written
    assert written == card_text(name, evidence_of(name)), "run: make evidence cards"


def test_every_shipped_student_has_a_card() -> None:
    assert {path.stem for path in CARDS.glob("*.md")} == set(list_models())


def nve(sha256: str, **changes: Any) -> dict[str, Any]:
    """A document of `mlffd nve`."""
    return {
        "artifact": {"file": "student.pt", "sha256": sha256},
        "engine": "lammps",
        "structure": {"file": "a.xyz", "formula": "C13H18O2"},
        "settings": {"time_step": 0.5},
        "picoseconds": 20.0,
        "drift_mev_per_atom_per_ns": {"slope": -0.25, "standard_error": 0.125, "rms_fluctuation": 0.0625},
        "temperature": 301.4,
        "grade": "good",
        "order_in_time_step": None,
        "max_bond_deviation": 0.17,
        "bonds_intact": True,
        **changes,
    }


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A student with some provenance."""
    errors = {"n_atoms": 10, "mae": 0.0123, "rmse": 0.0456, "r2": 0.98765, "label_rms": 1.5}
    worse = {**errors, "rmse": 0.3}
    test = {
        "energy": {"n_structures": 5, "mae": 0.001, "rmse": 0.002, "mae_shifted": 0.0005},
        "forces": errors,
        "forces_by_element": {"O": errors, "H": worse},
        "forces_by_regime": {"md-1000K": errors, "md-300K": errors},
    }
    provenance = Provenance(
        teacher={"teacher": "dft", "teacher_licence": "MIT"},
        dataset={
            "parts": {"train": {"structures": 12345, "atoms": 67890, "sha256": "ab" * 32, "molecules": 77}}
        },
        training={
            "config": {"init": None, "seed": 7, "training": {"epochs": 3, "batch_size": 4}},
            "seconds": 120.0,
        },
        accuracy={"test": test},
    )
    return write_artifact(build_student("ultra-tiny", [1, 8]), "mine", provenance, tmp_path / "mine.pt")


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def cells(card: str, first: str) -> list[str]:
    """The row of a table that begins with a cell."""
    row = re.search(rf"^\| {re.escape(first)} \|(.*)\|$", card, flags=re.M)
    assert row is not None, first
    return [cell.strip() for cell in row[1].split("|")]


def test_numbers_are_those_of_the_artifact(student: Path) -> None:
    card = card_text(str(student), [])
    assert card.startswith("# mine\n")
    assert cells(card, "SHA-256") == [f"`{artifact_identity(student)['sha256']}`"]
    assert cells(card, "parameters") == [f"{read_metadata(student).n_parameters:,}"]
    assert cells(card, "licence") == ["MIT"]
    assert cells(card, "method") == ["not recorded"]
    assert cells(card, "train") == ["12,345", "67,890", "77", "`abababababababab…`"]
    assert cells(card, "started from") == ["random weights"]
    assert cells(card, "all") == ["10", "12.3", "45.6", "0.9877", "1.500"]
    assert card.index("| md-300K |") < card.index("| md-1000K |")
    assert "MAE 1.00, RMSE 2.00 meV/atom; MAE within a molecule 0.50 meV/atom (5 frames)" in card
    assert "largest force RMSE: H (300 meV/Å) and O (46 meV/Å)" in card
    assert "no periodic frame is in its test" in card


def test_what_was_not_measured_says_how_to_measure_it(student: Path) -> None:
    card = card_text(str(student), [])
    for command in ("nve mine", "verify mine --json", "audit trajectory.xyz --model mine", "benchmark"):
        assert re.search(rf"Not measured\. `mlffd {re.escape(command)}", card), command


def test_an_artifact_that_records_nothing_has_a_card(tmp_path: Path) -> None:
    path = write_artifact(build_student("ultra-tiny", [1]), "bare", Provenance(), tmp_path / "bare.pt")
    card = card_text(str(path), [])
    assert "not recorded in the artifact" in card
    assert "Not measured. Train with" in card


def test_measurements_of_this_file_are_shown(student: Path, tmp_path: Path) -> None:
    sha256 = artifact_identity(student)["sha256"]
    write(tmp_path / "evidence" / "nve.json", nve(sha256))
    rows = [
        {"name": "native", "missing": None, "failed": None, "n_structures": 20, "energy": 2e-7, "forces": 2.6e-5,
         "stress": None, "acceptable": True},
        {"name": "openmm", "missing": "not there", "failed": None},
        {"name": "lammps", "missing": None, "failed": "stopped"},
    ]  # fmt: skip
    verified = {
        "artifact": {"sha256": sha256},
        "agreement": rows,
        "structures_with_different_edges": ["crystal"],
    }
    write(tmp_path / "evidence" / "verify.json", verified)
    card = card_text(str(student), [tmp_path / "evidence"])
    drift = ["lammps", "20", "0.5", "301", "-0.250 ± 0.125", "0.062", "", "0.17", "intact", "good"]
    assert cells(card, "C13H18O2") == drift
    assert cells(card, "native") == ["20", "2.0e-07", "2.6e-05", "", "agrees"]
    assert "Neighbour searches disagree on: crystal" in card
    assert cells(card, "openmm")[-1] == "not installed"
    assert cells(card, "lammps")[-1] == "failed"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (nve("f" * 64), "another artifact .SHA-256 ffffffffffff…."),
        ({**nve(""), "artifact": None}, "an artifact that it does not name"),
        ({"numbers": 1}, "no measurement of a student"),
        ([1, 2], "no measurement of a student"),
    ],
)
def test_foreign_evidence_is_refused(student: Path, tmp_path: Path, document: object, message: str) -> None:
    path = write(tmp_path / "evidence" / "nve.json", document)
    with pytest.raises(ConfigError, match=message):
        card_text(str(student), [path])


def test_evidence_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no evidence"):
        read_evidence([tmp_path / "nothing"], "0")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        read_evidence([tmp_path / "bad.json"], "0")


def test_a_measurement_of_several_artifacts_counts_for_each(tmp_path: Path) -> None:
    path = write(
        tmp_path / "b.json", {"benchmark": [], "artifacts": {"a": {"sha256": "1"}, "b": {"sha256": "2"}}}
    )
    assert len(read_evidence([path], "1").speed) == len(read_evidence([path], "2").speed) == 1
    with pytest.raises(ConfigError, match="another artifact"):
        read_evidence([path], "3")


def test_speed_is_that_of_this_artifact_only(student: Path, tmp_path: Path) -> None:
    row = {"format": "native", "device": "cpu", "threads": 1, "system": "C6H14", "n_atoms": 20, "batch": 8}
    times = {"median": 1.6e-3, "q25": 1.44e-3, "q75": 3.2e-3, "speed_up": None}
    document = {
        "artifacts": {
            "mine": {"sha256": artifact_identity(student)["sha256"]},
            "other": {"sha256": "0" * 64},
        },
        "environment": {"processor": "abacus"},
        "benchmark": [
            {**row, **times, "student": "mine"},
            {**row, **times, "student": "other", "system": "C7H16"},
            {**row, **times, "student": "gfn2-xtb", "system": "C8H18"},
        ],
    }
    card = card_text(str(student), [write(tmp_path / "benchmark.json", document)])
    assert cells(card, "C6H14") == ["20", "8", "native", "cpu", "1", "10.0 (9.0 to 20.0)", "5000", ""]
    assert "on: abacus." in card
    assert "C7H16" not in card
    assert "C8H18" not in card


def test_the_same_evidence_gives_the_same_card(student: Path, tmp_path: Path) -> None:
    sha256 = artifact_identity(student)["sha256"]
    for name in ("b", "a", "c"):
        write(tmp_path / "evidence" / f"{name}.json", nve(sha256, engine=name))
    write_card(str(student), [tmp_path / "evidence"], tmp_path / "card.md")
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| C13H18O2 \| (\w) \|", card, flags=re.M) == ["a", "b", "c"]


def test_pipes_in_cells_are_escaped() -> None:
    assert markdown_table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |"
