"""The audit: frames are read evenly, errors are those of numpy, flags follow the documented criterion, and the files can be used.

Student and teacher are harmonic springs of different stiffness, so that every error is known in advance.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import ase.io
import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from tests.training.conftest import make_dataset

from mlff_distiller.commands.trust import _warn_of_other_settings
from mlff_distiller.configuration import load_config
from mlff_distiller.constant_energy import append_frame
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.data.teachers import Teacher, load_teacher
from mlff_distiller.data.trajectory_frames import SPARE, TrajectoryFrames, read_evenly
from mlff_distiller.distill import DistillConfig
from mlff_distiller.errors import ConfigError, DatasetError, StructureError
from mlff_distiller.evaluation.audit import Audit, audit_frames, choose_parts
from mlff_distiller.evaluation.audit_figure import draw_audit
from mlff_distiller.evaluation.audit_files import (
    AuditedRun,
    audit_document,
    earlier_improvement,
    preset_of,
    write_audit,
    write_improvement,
)
from mlff_distiller.evaluation.training_regime import matching_regime, training_limits
from mlff_distiller.export.artifact import Metadata, Provenance, describe
from mlff_distiller.model.presets import build_student

HELD_OUT_RMSE = {"md-300K": 0.1, "md-600K": 0.2, "bond": 0.15}  # eV/Å
LABEL_RMS = {"md-300K": 0.8, "md-600K": 1.2, "bond": 1.0}  # eV/Å


class Springs(Calculator):
    """Every atom on a spring to its place in water: F = −k x, so errors are known."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, stiffness: float) -> None:
        super().__init__()
        self.stiffness = stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)) -> None:
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None
        x = self.atoms.positions - molecule("H2O").positions
        if np.abs(x).max() > 50:
            raise RuntimeError("not converged")
        energy = 0.5 * self.stiffness * (x**2).sum()
        self.results = {"energy": energy - 100.0, "forces": -self.stiffness * x}


def springs(stiffness: float, name: str = "springs") -> Teacher:
    return Teacher(name, "1", "springs", "none", Springs(stiffness))


def metadata(**sampling: object) -> Metadata:
    """Of a student with known held-out errors."""
    regimes = {name: {"rmse": rmse, "label_rms": LABEL_RMS[name]} for name, rmse in HELD_OUT_RMSE.items()}
    filters = {"filters": {"max_force": 30.0, "min_distance": 0.5, "max_stretch": 1.0}}
    provenance = Provenance(
        teacher={"teacher": "springs"},
        dataset={"sampling": json.dumps({**filters, **sampling})},
        accuracy={"test": {"forces": {"rmse": 0.12, "label_rms": 1.0}, "forces_by_regime": regimes}},
    )
    return describe(build_student("ultra-tiny", [1, 8]), "springs", provenance)


def displaced(*lengths: float) -> TrajectoryFrames:
    """Water with every atom moved by (length, 0, 0): all distances stay, and |F| of each atom is k · length."""
    frames = []
    for length in lengths:
        atoms = molecule("H2O")
        atoms.positions[:, 0] += length
        frames.append(atoms)
    return TrajectoryFrames(frames, [10 * k for k in range(len(frames))], 10 * len(frames), None)


def run(audit_metadata: Metadata) -> AuditedRun:
    artifact = {"file": "springs.pt", "sha256": "0" * 64}
    return AuditedRun("ultra-tiny", artifact, audit_metadata, Path("md.xyz"), 100, None, springs(1.0))


def audited(*lengths: float, **options: object) -> Audit:
    """A student that is one tenth too stiff."""
    return audit_frames(displaced(*lengths), springs(1.1), springs(1.0), metadata(), **options)  # pyright: ignore[reportArgumentType]


def test_errors_are_those_of_the_springs() -> None:
    audit = audited(1.0, 2.0, -1.0, 3.0)
    assert audit.errors.frame.tolist() == [0, 10, 20, 30]
    assert audit.errors.force_mae == pytest.approx(
        np.array([0.1, 0.2, 0.1, 0.3]) / 3
    )  # one component of three
    assert audit.errors.force_rmse == pytest.approx(np.array([0.1, 0.2, 0.1, 0.3]) / np.sqrt(3))
    assert audit.errors.force_max == pytest.approx([0.1, 0.2, 0.1, 0.3])
    assert audit.errors.teacher_max_force == pytest.approx([1.0, 2.0, 1.0, 3.0])
    assert audit.errors.student_max_force == pytest.approx([1.1, 2.2, 1.1, 3.3])
    energy = 0.5 * 0.1 * np.array([1.0, 4.0, 1.0, 9.0])  # per atom: three atoms move alike
    assert audit.errors.energy == pytest.approx(energy - energy.mean())
    assert audit.errors.min_distance == pytest.approx(0.9686, abs=1e-3)  # O-H
    assert audit.energy_mae == pytest.approx(np.abs(energy - energy.mean()).mean())


def test_the_regime_is_the_dynamics_with_the_closest_forces() -> None:
    assert matching_regime(metadata(), 0.99).regime == "md-300K"  # bond is closer, but is no dynamics
    assert matching_regime(metadata(), 1.1).regime == "md-600K"
    assert matching_regime(metadata(), 1.1, "bond").force_rmse == 0.15
    with pytest.raises(ConfigError, match="md-300K, md-600K, bond; got 'md-500K'"):
        matching_regime(metadata(), 1.0, "md-500K")


def test_frames_beyond_twice_the_held_out_error_are_flagged() -> None:
    """At 300 K the held-out RMSE is 0.1: a frame is flagged from 0.2 · √3 / 0.1 = 3.46 Å on."""
    audit = audited(1.0, 3.4, 3.5, 1.0, 1.0, 1.0)
    assert audit.regime.regime == "md-300K"  # by the median frame, whatever the two large ones are
    assert audit.flags == {20: ["force error"]}
    assert audited(1.0, 3.4, 3.5, 1.0, 1.0, 1.0, factor=1.5).flags.keys() == {10, 20}


def test_frames_beyond_the_filters_are_flagged_and_not_trained_on() -> None:
    audit = audited(1.0, 40.0, 1.5, 2.0, 1.0)
    assert audit.flags == {10: ["force error", "force larger than the filters allow"]}
    assert audit.usable.tolist() == [True, False, True, True, True]
    usable = 0.05 * np.array([1.0, 2.25, 4.0, 1.0])
    assert audit.errors.energy[[0, 2, 3, 4]] == pytest.approx(
        usable - usable.mean()
    )  # the wreck does not count
    parts = choose_parts(audit, n_worst=2)
    assert {name: part.tolist() for name, part in parts.items()} == {
        "worst": [2, 3],
        "valid": [0],
        "test": [4],
    }


def test_close_atoms_are_flagged() -> None:
    source = displaced(0.0, 0.0, 0.0)
    source.frames[1].positions[1] = source.frames[1].positions[0] + [0.0, 0.0, 0.4]
    audit = audit_frames(source, springs(1.0), springs(1.0), metadata())
    assert audit.flags == {10: ["atoms closer than the filters allow"]}


def test_torn_bonds_are_flagged_and_not_trained_on() -> None:
    source = displaced(0.0, 0.0, 0.0, 0.0)
    source.frames[2].positions[1] *= 3.0  # O-H 2 Å longer
    audit = audit_frames(source, springs(1.0), springs(1.0), metadata())
    assert audit.errors.max_stretch[2] > 1.0
    assert audit.flags == {20: ["a bond longer than the filters allow"]}
    assert audit.usable.tolist() == [True, True, False, True]


def test_what_cannot_be_evaluated_is_flagged_with_the_reason() -> None:
    source = displaced(0.5, 1.0, np.nan, 100.0, 0.7)
    audit = audit_frames(source, springs(1.1), springs(1.0), metadata())
    assert audit.errors.frame.tolist() == [0, 10, 40]
    assert "not finite" in audit.failures[20]
    assert "not converged" in audit.failures[30]
    assert list(audit.flags) == [20, 30]
    with pytest.raises(StructureError, match="none of the 1 frames"):
        audit_frames(displaced(100.0), springs(1.1), springs(1.0), metadata())


def test_unknown_elements_are_refused_at_once() -> None:
    source = TrajectoryFrames([molecule("NH3")], [0], 1, None)
    with pytest.raises(StructureError, match="holds N, which 'springs' does not know"):
        audit_frames(source, springs(1.0), springs(1.0), metadata())


def test_at_least_two_frames_are_kept_for_validation_and_test() -> None:
    parts = choose_parts(audited(1.0, 2.0, 3.0, 0.5), n_worst=50)
    assert {name: part.tolist() for name, part in parts.items()} == {
        "worst": [1, 2],
        "valid": [0],
        "test": [3],
    }
    assert choose_parts(audited(1.0, 2.0), n_worst=1) == {}


def test_limits_are_the_widest_of_all_parts_of_the_data() -> None:
    documents = [
        {"filters": {"max_force": 10.0, "min_distance": 0.6, "max_stretch": 1.0}},
        {"clusters": "cut from a liquid"},
        {"filters": {"max_force": 20.0, "min_distance": 0.7, "max_stretch": None}},
    ]
    text = "; ".join(["labels {of} a friend", *(json.dumps(d) for d in documents)])
    limits = training_limits(
        describe(build_student("ultra-tiny", [1]), "s", Provenance(dataset={"sampling": text}))
    )
    assert (limits.max_force, limits.min_distance, limits.max_stretch) == (20.0, 0.6, None)


def test_limits_are_those_of_the_sampling_where_none_is_recorded() -> None:
    limits = training_limits(describe(build_student("ultra-tiny", [1]), "s", Provenance(dataset={})))
    assert (limits.max_force, limits.min_distance, limits.max_stretch) == (30.0, 0.5, 1.0)


def test_numbers_are_written_for_every_frame(tmp_path: Path) -> None:
    source = displaced(1.0, np.nan, 4.0)
    audit = audit_frames(source, springs(1.1), springs(1.0), metadata())
    write_audit(audit, run(metadata()), tmp_path)
    rows = list(csv.DictReader((tmp_path / "audit.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == ["0", "10", "20"]
    assert float(rows[2]["force_max"]) == pytest.approx(0.4)
    assert rows[1]["force_rmse"] == ""
    assert "cannot be evaluated" in rows[1]["flags"]
    document = json.loads((tmp_path / "audit.json").read_text())
    assert document == json.loads(json.dumps(audit_document(audit, run(metadata()))))
    assert document["artifact"]["sha256"] == "0" * 64
    assert document["first_flagged"] == 10
    assert document["criterion"]["force_rmse_threshold"] == pytest.approx(
        2 * document["criterion"]["held_out"]["force_rmse"]
    )


def test_frames_and_recipe_can_be_trained_on(tmp_path: Path) -> None:
    audit = audited(1.0, 2.0, 3.0, 0.5, 0.6, 0.7)
    audited_run = replace(run(metadata()), teacher_options={"accuracy": 0.01})
    files = write_improvement(audit, audited_run, tmp_path, n_worst=2, rehearsal=[Path("more.h5")])
    assert [path.name for path in files] == ["worst.h5", "valid.h5", "test.h5", "improve.yaml"]
    worst = read_dataset(tmp_path / "worst.h5")
    assert worst.energy == pytest.approx(np.array([2.0, 4.5]) * 3 - 100.0)  # the teacher's labels
    assert set(worst.regime) == {"audit"}
    config = load_config(DistillConfig, tmp_path / "improve.yaml")
    assert config.init == "ultra-tiny"
    assert config.teacher_options == {"accuracy": 0.01}
    assert config.students == ["ultra-tiny"]
    assert config.data.parts is not None
    assert config.data.parts["train"] == [str(tmp_path / "worst.h5"), "more.h5"]
    trained = describe(
        build_student("ultra-tiny", [1, 8]), "s", Provenance(dataset={"sampling": worst.metadata["sampling"]})
    )
    assert training_limits(trained) == audit.limits  # the next audit knows what this one let through


def test_there_is_no_recipe_for_what_cannot_be_trained_further() -> None:
    assert preset_of(metadata()) == "ultra-tiny"
    assert preset_of(replace(metadata(), n_members=4)) is None
    assert (
        preset_of(replace(metadata(), architecture={"n_features": 8, "n_interactions": 1, "n_rbf": 4}))
        is None
    )


def test_files_of_an_older_audit_do_not_stay(tmp_path: Path) -> None:
    write_improvement(audited(1.0, 2.0, 3.0), run(metadata()), tmp_path, n_worst=1)
    assert write_improvement(audited(1.0, 2.0), run(metadata()), tmp_path, n_worst=1) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["worst", "valid", "test"])
def test_files_of_others_stay(tmp_path: Path, name: str) -> None:
    write_dataset(tmp_path / f"{name}.h5", make_dataset(3))
    before = (tmp_path / f"{name}.h5").read_bytes()
    for call in (
        lambda: earlier_improvement(tmp_path),
        lambda: write_improvement(audited(1.0, 2.0, 3.0), run(metadata()), tmp_path, n_worst=1),
    ):
        with pytest.raises(ConfigError, match=f"{name}.h5 was not written by an audit"):
            call()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.h5"]
    assert (tmp_path / f"{name}.h5").read_bytes() == before


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw_audit(audited(1.0, 2.0, 4.0), "springs", tmp_path / "audit.png")
    assert (tmp_path / "audit.png").stat().st_size > 10_000


def write_trajectory(path: Path, n_frames: int) -> None:
    frames = []
    for k in range(n_frames):
        atoms = molecule("H2O")
        atoms.positions[0, 2] += 0.001 * k
        frames.append(atoms)
    ase.io.write(path, frames)


@pytest.mark.parametrize("suffix", ["xyz", "traj", "pdb"])
def test_frames_are_spread_evenly_over_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"md.{suffix}"
    write_trajectory(path, 1000)
    found = read_evenly(path, 10)
    assert found.n_read == 1000
    assert len(found.frames) == 10
    steps = np.diff(found.numbers)
    assert found.numbers[0] == 0
    assert found.numbers[-1] >= 1000 - 2 * 1000 // (SPARE * 10 // 2)
    assert steps.max() - steps.min() <= 1000 / 10 / (SPARE / 2)
    z = [atoms.positions[0, 2] - molecule("H2O").positions[0, 2] for atoms in found.frames]
    assert z == pytest.approx(0.001 * np.array(found.numbers), abs=1e-3)


def test_a_short_trajectory_gives_all_its_frames(tmp_path: Path) -> None:
    write_trajectory(tmp_path / "md.xyz", 7)
    assert read_evenly(tmp_path / "md.xyz", 100).numbers == list(range(7))


@pytest.mark.parametrize("suffix", ["xyz", "traj"])
def test_a_killed_run_is_read_as_far_as_it_goes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"md.{suffix}"
    write_trajectory(path, 20)
    path.write_bytes(path.read_bytes()[:-60])
    found = read_evenly(path, 5)
    assert found.n_read >= 18
    assert found.stopped is not None


def test_unreadable_files_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "words.xyz").write_text("no trajectory\n")
    for name, sentence in (
        ("words.xyz", "cannot be read as a trajectory"),
        ("nothing.xyz", "expected a trajectory, got nothing"),
    ):
        with pytest.raises(DatasetError, match=f"{name}: {sentence}"):
            read_evenly(tmp_path / name, 5)
    ase.io.write(tmp_path / "two.xyz", [molecule("H2O"), molecule("CH4")])
    with pytest.raises(DatasetError, match="frame 1 .CH4. has other atoms"):
        read_evenly(tmp_path / "two.xyz", 5)
    with pytest.raises(ConfigError, match="at least one frame"):
        read_evenly(tmp_path / "two.xyz", 0)
    (tmp_path / "ion.xyz").write_text("1\ncharge=1\nNa 0.0 0.0 0.0\n")
    with pytest.raises(DatasetError, match="frame 0: atoms.info.'charge'. is 1"):
        read_evenly(tmp_path / "ion.xyz", 5)


def test_charges_and_spins_stay_with_the_frames_of_a_run(tmp_path: Path) -> None:
    atoms = molecule("NH3")
    atoms.set_initial_charges([1.0, 0.0, 0.0, 0.0])
    atoms.set_initial_magnetic_moments([1.0, 0.0, 0.0, 0.0])
    for _ in range(2):
        append_frame(tmp_path / "ion.xyz", atoms)
    (frame, _) = read_evenly(tmp_path / "ion.xyz", 2).frames
    assert frame.get_initial_charges().tolist() == [1.0, 0.0, 0.0, 0.0]
    assert frame.get_initial_magnetic_moments().tolist() == [1.0, 0.0, 0.0, 0.0]


def test_other_settings_of_the_teacher_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tblite")
    teacher = load_teacher("gfn2-xtb")
    recorded = metadata()
    recorded.provenance.teacher.update(teacher.metadata())
    _warn_of_other_settings(teacher, recorded)
    assert not caplog.text
    recorded.provenance.teacher["teacher_settings"] = '{"electronic_temperature": 5000}'
    _warn_of_other_settings(teacher, recorded)
    assert "other settings of gfn2-xtb" in caplog.text


def test_recipe_is_valid_yaml_with_plain_types(tmp_path: Path) -> None:
    write_improvement(audited(1.0, 2.0, 3.0), run(metadata()), tmp_path, n_worst=1)
    values = yaml.safe_load((tmp_path / "improve.yaml").read_text())
    assert values["training"]["optimizer"]["learning_rate"] < 1e-3


def test_atoms_are_not_changed() -> None:
    source = displaced(1.0, 2.0)
    before = [atoms.positions.copy() for atoms in source.frames]
    audit_frames(source, springs(1.1), springs(1.0), metadata())
    assert all(isinstance(atoms, Atoms) and atoms.calc is None for atoms in source.frames)
    assert np.array_equal(before, [atoms.positions for atoms in source.frames])
