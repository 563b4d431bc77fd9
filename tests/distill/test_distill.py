"""The main job on real molecules with GFN2-xTB labels, in small, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.build import molecule
from scipy.spatial.distance import pdist
from tests.training.conftest import make_dataset

from mlff_distiller import load, load_student
from mlff_distiller.atomic_file import lock_folder
from mlff_distiller.configuration import load_config, parse_config
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.data.splitting import split_by_molecule
from mlff_distiller.distill import DistillConfig, distill
from mlff_distiller.distill.config import DataConfig, matching_files
from mlff_distiller.distill.data import (
    check_sources,
    check_teachers,
    prepare_parts,
    read_smiles,
    split_smiles,
)
from mlff_distiller.distill.guide import mix_labels, mixed_sha256
from mlff_distiller.distill.run import _tests_unseen_molecules, _unseen
from mlff_distiller.errors import ConfigError, DistillerError
from mlff_distiller.evaluation.metrics import measure_accuracy, predict_dataset
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.committee import CommitteeForceField
from mlff_distiller.model.presets import build_student
from mlff_distiller.registry import load_model
from mlff_distiller.training.hessian import displaced_pairs

SMALL = {
    "name": "small",
    "students": ["ultra-tiny"],
    "formats": ["torchscript"],
    "training": {"epochs": 2, "batch_size": 8, "compile": False},
}


FROZEN = {"epochs": 1, "batch_size": 48, "compile": False, "optimizer": {"learning_rate": 1e-12}}


def config(**values: object) -> DistillConfig:
    return parse_config(DistillConfig, {**SMALL, **values})


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.h5"
    write_dataset(path, make_dataset(48))
    return path


@pytest.fixture
def artifact_of(tmp_path: Path) -> Path:
    return write_artifact(build_student("ultra-tiny", [1, 6, 8]), "s", Provenance(), tmp_path / "s.pt")


def own_labels(student: Path, path: Path, shift: float) -> Path:
    """What a student itself says of the dataset, its energies shifted by so many eV per atom."""
    dataset = make_dataset(48)
    energy, forces = predict_dataset(load_student(student), dataset)
    write_dataset(
        path, replace(dataset, energy=energy + shift * dataset.n_atoms, forces=forces.astype(np.float32))
    )
    return path


@pytest.mark.slow
def test_from_smiles_to_a_verified_artifact(tmp_path: Path) -> None:
    """GFN2-xTB labels, an interruption in the training, and the same artifact as without it."""
    pytest.importorskip("tblite")
    settings = config(
        data={"molecules": ["C", "CO", "O", "CC", "C=O"], "fractions": [0.6, 0.2, 0.2]},
        sampling={"dynamics": {"n": 2, "temperatures": [300]}, "modes": {"n": 0}},
    )

    class Interrupt:
        def __call__(self, name: str):
            def report(done: int, total: int, row: object) -> None:
                if done == 3:
                    raise KeyboardInterrupt

            return report

    with pytest.raises(KeyboardInterrupt):
        distill(settings, tmp_path / "run", Interrupt(), show_progress=False)
    (report,) = distill(settings, tmp_path / "run", show_progress=False)
    (whole,) = distill(settings, tmp_path / "whole", show_progress=False)

    resumed, uninterrupted = (load_student(r.files["torchscript"]).state_dict() for r in (report, whole))
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)

    parts = {
        name: read_dataset(tmp_path / "run" / "data" / f"{name}.h5") for name in ("train", "valid", "test")
    }
    molecules = {
        name: {m for ids in part.molecule_id for m in ids.split(".")} for name, part in parts.items()
    }
    assert not molecules["train"] & molecules["test"]
    assert not molecules["train"] & molecules["valid"]
    assert parts["train"].metadata["teacher"] == "gfn2-xtb"

    metadata = load(report.files["torchscript"]).metadata
    assert metadata.provenance.teacher["teacher"] == "gfn2-xtb"
    recorded, frames = metadata.provenance.dataset["parts"]["train"], parts["train"]
    distances = [pdist(frames.atoms(k).positions).min() for k in range(len(frames))]
    assert recorded["max_force"] == pytest.approx(max(np.linalg.norm(f) for f in frames.forces))
    assert recorded["min_distance"] == pytest.approx(min(distances))
    assert metadata.provenance.accuracy["test"]["forces"]["mae"] == pytest.approx(report.test.forces.mae)
    again = measure_accuracy(
        parts["test"], *predict_dataset(load(report.files["torchscript"]), parts["test"])
    )
    assert again.forces.mae == pytest.approx(report.test.forces.mae, rel=1e-4)


def test_several_students_learn_from_one_another(labels: Path, tmp_path: Path) -> None:
    """teacher → tiny → ultra-tiny: the second learns from labels into which the first's are mixed."""
    settings = config(
        students=["tiny", "ultra-tiny"],
        data={"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]},
        guide="previous",
        guide_weight=0.3,
        training={"epochs": 1, "batch_size": 16, "compile": False},
    )
    reports = distill(settings, tmp_path / "run", show_progress=False)
    assert [r.name for r in reports] == ["small-tiny", "small-ultra-tiny"]
    assert [entry["name"] for entry in json.loads((tmp_path / "run" / "report.json").read_text())] == [
        "small-tiny",
        "small-ultra-tiny",
    ]
    dataset = make_dataset(4)
    _, forces = predict_dataset(load(reports[0].files["torchscript"]), dataset)
    mixed = mix_labels(dataset, reports[0].files["torchscript"], 0.3)
    np.testing.assert_allclose(mixed.forces, 0.7 * dataset.forces + 0.3 * forces, rtol=1e-5, atol=1e-5)


def test_a_guide_with_another_zero_of_energy(
    labels: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = {"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]}
    (report,) = distill(config(data=data, training=FROZEN), tmp_path / "run", show_progress=False)
    guide = report.files["torchscript"]
    same = read_dataset(own_labels(guide, tmp_path / "same.h5", shift=0.0))
    far = read_dataset(own_labels(guide, tmp_path / "far.h5", shift=-100.0))
    np.testing.assert_allclose(mix_labels(same, guide, 0.5).energy, same.energy, atol=1e-3)
    assert "differ" not in caplog.text
    np.testing.assert_allclose(mix_labels(far, guide, 0.5).energy, far.energy, atol=1e-3)
    assert "the energies of the labels differ from the student's by 100.000 eV/atom" in caplog.text


def test_mixed_labels_are_known_by_what_they_are_mixed_from(labels: Path, artifact_of: Path) -> None:
    dataset = make_dataset(4)
    known = mixed_sha256(dataset, artifact_of, 0.3)
    assert known == mixed_sha256(dataset, artifact_of, 0.3)
    assert known not in {
        mixed_sha256(dataset, artifact_of, 0.4),
        mixed_sha256(dataset.select([0, 1, 2]), artifact_of, 0.3),
        mixed_sha256(dataset, "tiny", 0.3),
    }


def test_fine_tuning_starts_from_the_given_student(labels: Path, tmp_path: Path) -> None:
    data = {"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]}
    (first,) = distill(config(data=data), tmp_path / "first", show_progress=False)
    data = {**data, "datasets": [str(own_labels(first.files["torchscript"], tmp_path / "own.h5", shift=0.0))]}
    settings = config(data=data, init=str(first.files["torchscript"]), training=FROZEN)
    (second,) = distill(settings, tmp_path / "second", show_progress=False)
    before, after = (load_student(r.files["torchscript"]).state_dict() for r in (first, second))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_run_of_an_older_version_goes_on(labels: Path, tmp_path: Path) -> None:
    """Its file lacks the settings that came later; they mean their defaults."""
    settings = config(data={"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]})
    distill(settings, tmp_path / "run", show_progress=False)
    path = tmp_path / "run" / "distill.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("committee: 1\n", ""), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    distill(settings, tmp_path / "run", show_progress=False)
    assert path.read_text(encoding="utf-8") == text


def test_a_folder_of_a_version_with_a_setting_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "distill.yaml").write_text("name: small\ndata: {molecules: [C]}\nelements: null\n")
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ConfigError, match="(?s)run of another version.*elements: unknown key"):
        distill(config(data={"molecules": ["C"]}), tmp_path, show_progress=False)


def test_a_folder_with_other_settings_is_not_touched(labels: Path, tmp_path: Path) -> None:
    data = {"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]}
    distill(config(data=data), tmp_path / "run", show_progress=False)
    with pytest.raises(ConfigError, match="other settings"):
        distill(config(data=data, seed=1), tmp_path / "run", show_progress=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"molecules": "builtin"}, "epoch": 3}, "epoch: unknown key"),
        ({"data": {"molecules": "builtin"}, "training": {"epochs": 0}}, "training.epochs: .* greater than"),
        ({"data": {"molecules": "builtin"}, "students": ["huge"]}, "'original', 'tiny' or 'ultra-tiny'"),
        ({"data": {}}, "exactly one of molecules, parts, structures, datasets, got none"),
        ({"data": {"molecules": "builtin", "datasets": ["a.h5"]}}, "got molecules, datasets"),
        ({"data": {"parts": {"train": "a.smi"}}}, "each of train, valid and test"),
        (
            {"data": {"molecules": "builtin"}, "sampling": {"dynamics": {"m": 3}}},
            "sampling.dynamics.m: unknown key",
        ),
    ],
)
def test_wrong_settings_name_the_key(values, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**values)


def test_overrides(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: a\ndata: {molecules: builtin}\ntraining: {epochs: 3, batch_size: 4}\n")
    settings = load_config(DistillConfig, recipe, ["training.epochs=7", "data.n_molecules=12"])
    assert (settings.training.epochs, settings.training.batch_size, settings.data.n_molecules) == (7, 4, 12)
    with pytest.raises(ConfigError, match="form key.path=value"):
        load_config(DistillConfig, recipe, ["training.epochs"])
    with pytest.raises(ConfigError, match="training.epoch: unknown key"):
        load_config(DistillConfig, recipe, ["training.epoch=7"])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words"])
def test_a_recipe_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match="mapping|not valid YAML"):
        load_config(DistillConfig, tmp_path / "recipe.yaml")


def test_patterns_stand_for_the_files_that_match(tmp_path: Path) -> None:
    for name in ("b.h5", "a.h5", "c.xyz", "odd[1].h5"):
        (tmp_path / name).touch()
    names = [str(tmp_path / name) for name in ("c.xyz", "?.h5", "odd[1].h5", "a.h5")]
    expected = [str(tmp_path / name) for name in ("c.xyz", "a.h5", "b.h5", "odd[1].h5")]
    assert matching_files(names) == expected
    with pytest.raises(ConfigError, match=r"no file matches '.*\.zip'"):
        matching_files([str(tmp_path / "*.zip")])


def test_split_of_molecules() -> None:
    smiles = [f"{'C' * n}O" for n in range(1, 41)]
    parts = split_smiles(smiles, 20, (0.8, 0.1, 0.1), seed=1)
    assert [len(part) for part in parts.values()] == [16, 2, 2]
    assert len({s for part in parts.values() for s in part}) == 20
    assert parts == split_smiles(smiles, 20, (0.8, 0.1, 0.1), seed=1)
    assert parts != split_smiles(smiles, 20, (0.8, 0.1, 0.1), seed=2)
    assert [len(part) for part in split_smiles(smiles[:5], None, (0.2, 0.7, 0.1), seed=1).values()] == [
        1,
        3,
        1,
    ]
    isomers = split_smiles(["C/C=C/C", "CO", "C/C=C\\C", "CCO", "CCC"], None, (0.4, 0.3, 0.3), seed=0)
    assert any({"C/C=C/C", "C/C=C\\C"} <= set(part) for part in isomers.values())
    with pytest.raises(ConfigError, match="expected at most 40, as there are, got 50"):
        split_smiles(smiles, 50, (0.8, 0.1, 0.1), seed=1)
    with pytest.raises(ConfigError, match="at least three molecules"):
        split_smiles(["C", "C", "O"], None, (0.8, 0.1, 0.1), seed=1)
    with pytest.raises(ConfigError, match="at least three molecules"):
        split_smiles(["CCO", "OCC", "C(O)C", "O"], None, (0.8, 0.1, 0.1), seed=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"molecules": ["C"], "fractions": [80, 10, 10]}}, "add up to 1"),
        ({"data": {"molecules": ["C"], "fractions": [0.9, 0.1, 0.0]}}, "all above zero"),
        ({"students": ["tiny", "tiny"]}, "each preset once"),
        ({"guide": "previous", "formats": ["onnx"]}, "formats must name torchscript"),
        ({"formats": []}, "formats"),
        ({"name": "org/model"}, "expected a name for files"),
        ({"name": ".."}, "expected a name for files"),
        ({"init": "tiny", "cutoff": 6.0}, "leave that setting out"),
        ({"guide": "previous"}, "needs several students"),
        ({"committee": 2, "formats": ["onnx"]}, "TorchScript only"),
        ({"training": {"loss": {"hessian_weight": 1.0}}}, "each needs the other"),
        ({"data": {"molecules": ["C"], "hessian_pairs": "p.h5"}}, "each needs the other"),
        ({"data": {"datasets": ["a.h5"], "n_molecules": 5}}, "drawn from 'molecules' only"),
        ({"training": {"accelerator": "gpuu"}}, "training.accelerator"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**{"data": {"molecules": ["C"]}, **values})


@pytest.mark.parametrize(
    "data",
    [
        {"datasets": ["nothere.h5"]},
        {"structures": ["nothere.h5"]},
        {"parts": dict.fromkeys(("train", "valid", "test"), "nothere.h5")},
        {"molecules": "nothere.h5"},
        {"molecules": "builtin", "hessian_pairs": "nothere.h5"},
    ],
)
def test_a_file_that_is_not_there_claims_no_folder(tmp_path: Path, data: dict[str, object]) -> None:
    weight = 1.0 if "hessian_pairs" in data else 0.0
    settings = config(data=data, training={"loss": {"hessian_weight": weight}})
    with pytest.raises(ConfigError, match=r"nothere.h5: expected a file, got nothing"):
        distill(settings, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def test_several_devices_without_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    settings = config(data={"molecules": ["C", "CC", "CO"]}, training={"devices": 2})
    with pytest.raises(ConfigError, match="torchrun"):
        distill(settings, tmp_path, show_progress=False)


def test_torchrun_without_several_devices(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="each would train the whole student"):
        distill(config(data={"datasets": [str(labels)]}), tmp_path, show_progress=False)


def test_too_few_structure_files_are_refused_before_any_work(tmp_path: Path) -> None:
    """Files of one name in several folders are several structures; frames of one file are of one."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        ase.io.write(tmp_path / name / "start.xyz", [molecule("H2O")] * 4)
    files = [str(tmp_path / name / "start.xyz") for name in ("a", "b", "c")]
    check_sources(DataConfig(structures=files))
    with pytest.raises(DistillerError, match="at least 3 different molecules"):
        check_sources(DataConfig(structures=files[:2]))


def test_other_molecules_in_the_same_folder(tmp_path: Path) -> None:
    lists = {name: tmp_path / f"{name}.smi" for name in ("train", "valid", "test")}
    for path, smiles in zip(lists.values(), ("C", "CC", "CO"), strict=True):
        path.write_text(smiles)
    settings = config(data={"parts": {name: str(path) for name, path in lists.items()}})
    folder = tmp_path / "data"
    folder.mkdir()
    for name in lists:
        write_dataset(folder / f"{name}.h5", make_dataset(4))  # as if sampled
    prepare_parts(settings, folder, show_progress=False)
    lists["train"].write_text("C\nCCC\n")
    with pytest.raises(ConfigError, match="sampled from other sources"):
        prepare_parts(settings, folder, show_progress=False)


def test_other_structures_in_the_same_folder(tmp_path: Path) -> None:
    file = tmp_path / "start.xyz"
    molecule("H2O").write(file)
    settings = config(data={"structures": [str(file)]})
    folder = tmp_path / "data"
    folder.mkdir()
    write_dataset(folder / "frames.h5", make_dataset(16))  # as if sampled
    prepare_parts(settings, folder, show_progress=False)
    molecule("CH4").write(file)
    with pytest.raises(ConfigError, match="sampled from other sources"):
        prepare_parts(settings, folder, show_progress=False)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot read the structures"):
        prepare_parts(settings, folder, show_progress=False)


def test_labels_of_different_teachers_are_refused(tmp_path: Path) -> None:
    for name, teacher in (("a", "gfn1-xtb"), ("b", "gfn2-xtb"), ("c", None)):
        metadata = {} if teacher is None else {"teacher": teacher}
        write_dataset(tmp_path / f"{name}.h5", replace(make_dataset(16), metadata=metadata))
    two, unnamed = (
        config(data={"datasets": [str(tmp_path / f"{name}.h5") for name in names]}) for names in ("ab", "bc")
    )
    with pytest.raises(ConfigError, match=r"different teachers \(gfn1-xtb, gfn2-xtb\)"):
        prepare_parts(two, tmp_path / "two")
    assert len(prepare_parts(unnamed, tmp_path / "unnamed")) == 3


def test_the_number_of_processes_may_change(labels: Path, tmp_path: Path) -> None:
    data = {"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]}
    distill(config(data=data, training=FROZEN), tmp_path / "run", show_progress=False)
    again = config(data={**data, "n_jobs": 2}, training=FROZEN)
    assert distill(again, tmp_path / "run", show_progress=False)


def test_curvature_pairs_of_the_molecules_that_judge_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    dataset = make_dataset(48)
    names = sorted(set(dataset.molecule_id.tolist()))
    parts = {
        "train": dataset.select(dataset.molecule_id == names[0]),
        "valid": dataset.select(dataset.molecule_id == names[1]),
        "test": dataset.select(dataset.molecule_id == names[2]),
    }
    kept = _unseen(displaced_pairs(dataset, 0.01, 0), parts)
    assert set(kept.molecule_id.tolist()).isdisjoint(names[1:3])
    assert names[0] in kept.molecule_id
    assert "are left out: their molecules are in the validation or test part" in caplog.text


def test_smiles_files(tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_text("# alcohols\nCO methanol\n\nCCO\n")
    assert read_smiles(path) == ["CO", "CCO"]
    path.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="holds no SMILES"):
        read_smiles(path)


def test_all_forces_zero_is_nothing_to_learn(tmp_path: Path) -> None:
    from mlff_distiller.errors import TrainingError

    dataset = make_dataset(12)
    values = {name: getattr(dataset, name) for name in dataset.__dataclass_fields__}
    write_dataset(tmp_path / "zero.h5", Dataset(**{**values, "forces": np.zeros_like(dataset.forces)}))
    data = {"datasets": [str(tmp_path / "zero.h5")], "fractions": [0.5, 0.25, 0.25]}
    with pytest.raises(TrainingError, match="forces of the training data are zero"):
        distill(config(data=data), tmp_path / "run", show_progress=False)


def test_an_element_that_only_the_test_part_has_is_found_before_training(tmp_path: Path) -> None:
    parts = {}
    for name, chosen in (("train", "H2CO"), ("valid", "H2CO"), ("test", "CH3OH")):
        dataset = make_dataset(8)
        part = dataset.select(dataset.molecule_id == chosen)
        if name != "test":
            part.atomic_numbers[part.atomic_numbers == 8] = 7
        write_dataset(tmp_path / f"{name}.h5", part)
        parts[name] = str(tmp_path / f"{name}.h5")
    with pytest.raises(ConfigError, match="test part holds O, which no training molecule has"):
        distill(config(data={"parts": parts}), tmp_path / "run", show_progress=False)
    taught = config(data={"parts": parts}, init="ultra-tiny", training=FROZEN)  # it knows oxygen
    distill(taught, tmp_path / "taught", show_progress=False)


def test_an_element_that_the_start_does_not_know_is_found_before_sampling(tmp_path: Path) -> None:
    asked = config(data={"molecules": ["C[Si](C)(C)C", "CO", "CCO", "CC"]}, init="ultra-tiny")
    with pytest.raises(
        ConfigError, match="ultra-tiny, .* does not know Si of the molecules of .*leave 'init' out"
    ):
        distill(asked, tmp_path / "run", show_progress=False)
    assert not list((tmp_path / "run" / "data").glob("train.h5*"))


def test_an_element_of_labelled_frames_that_the_start_does_not_know(tmp_path: Path) -> None:
    dataset = make_dataset(16)
    dataset.atomic_numbers[dataset.atomic_numbers == 8] = 14
    write_dataset(tmp_path / "silicon.h5", dataset)
    data = {"datasets": [str(tmp_path / "silicon.h5")], "fractions": [0.5, 0.25, 0.25]}
    with pytest.raises(ConfigError, match="does not know Si of the train part"):
        distill(config(data=data, init="ultra-tiny"), tmp_path / "run", show_progress=False)


def test_the_size_of_the_start_is_looked_at_before_sampling(tmp_path: Path) -> None:
    asked = config(data={"molecules": ["CO", "CCO", "CC"]}, students=["tiny"], init="ultra-tiny")
    with pytest.raises(ConfigError, match="not those of the preset 'tiny'; take 'ultra-tiny'"):
        distill(asked, tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_part_of_several_files(tmp_path: Path) -> None:
    files = []
    for seed in range(2):
        files.append(str(tmp_path / f"{seed}.h5"))
        write_dataset(tmp_path / f"{seed}.h5", make_dataset(16, seed))
    parts = {"train": files, "valid": files[0], "test": files[1]}
    (report,) = distill(config(data={"parts": parts}), tmp_path / "run", show_progress=False)
    sizes = load(report.files["torchscript"]).metadata.provenance.dataset["parts"]
    assert {name: part["structures"] for name, part in sizes.items()} == {
        "train": 32,
        "valid": 16,
        "test": 16,
    }


@pytest.mark.slow
def test_two_processes_train_one_student(labels: Path, tmp_path: Path) -> None:
    """torchrun with two CPU processes: the weights of one process, the same in both; and only the first writes the artifact."""
    settings = [
        "training.accelerator=cpu",
        "training.compile=false",
        "training.epochs=2",
        "training.batch_size=5",
        "data.fractions=[0.5,0.25,0.25]",
        "formats=[torchscript]",
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "mlff_distiller"]
    options = [word for setting in settings for word in ("--set", setting)]
    train = ["train", str(labels), "--preset", "ultra-tiny", *options, "-o"]
    run = subprocess.run(
        [*command, *train, str(tmp_path / "run"), "--set", "training.devices=2"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    tables = re.findall(r"│ student all +│.*", run.stdout)
    assert len(tables) == 2
    assert tables[0] == tables[1]
    subprocess.run([sys.executable, "-m", "mlff_distiller", *train, str(tmp_path / "one")], check=True)
    dataset = read_dataset(labels)
    two, one = (
        predict_dataset(load_student(str(tmp_path / name / "student" / "student.pt")), dataset)[1]
        for name in ("run", "one")
    )
    np.testing.assert_allclose(two, one, atol=1e-4 * np.abs(one).max())


def test_sampling_under_torchrun_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    settings = config(data={"molecules": ["C", "CC", "CO"]}, training={"devices": "auto"})
    with pytest.raises(ConfigError, match="sample first"):
        distill(settings, tmp_path / "run", show_progress=False)


def test_fine_tuning_takes_over_the_zero_of_energy(
    labels: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Labels of a teacher whose atoms are 3 eV higher: E0 moves before the training, with a warning, and forces do not."""
    data = {"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]}
    (first,) = distill(config(data=data), tmp_path / "first", show_progress=False)
    path = own_labels(first.files["torchscript"], tmp_path / "shifted.h5", shift=3.0)
    shifted = read_dataset(path)
    data = {**data, "datasets": [str(path)]}
    settings = config(data=data, init=str(first.files["torchscript"]), training=FROZEN)
    (second,) = distill(settings, tmp_path / "second", show_progress=False)
    assert "the energies of the labels differ from the student's by 3.000 eV/atom" in caplog.text
    found, _ = predict_dataset(load_student(second.files["torchscript"]), shifted)
    error = np.abs(found - shifted.energy) / shifted.n_atoms
    assert np.median(error) < 1e-3, "half of the frames are those that E0 was fitted to"
    assert second.test.forces.mae == pytest.approx(0.0, abs=1e-3)


def test_a_committee_of_two(labels: Path, tmp_path: Path) -> None:
    """Members differ, the artifact is their mean, and its spread is measured on the test molecules."""
    settings = config(
        data={"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]},
        committee=2,
        formats=["torchscript", "onnx"],
        training={"epochs": 1, "batch_size": 16, "compile": False},
    )
    (report,) = distill(settings, tmp_path / "run", show_progress=False)
    assert list(report.files) == ["torchscript"], "a committee has no ONNX form"
    committee = load_model(report.files["torchscript"])
    assert isinstance(committee, CommitteeForceField)
    first, second = (member.state_dict() for member in committee.student_members())
    assert any(not torch.equal(first[name], second[name]) for name in first)
    alone = load_student(tmp_path / "run" / "small" / "small-member-1" / "best.ckpt").state_dict()
    assert all(torch.equal(alone[name], second[name]) for name in alone)
    accuracy = load(report.files["torchscript"]).metadata.provenance.accuracy
    assert accuracy["test"]["forces"]["mae"] == pytest.approx(report.test.forces.mae)
    assert accuracy["spread"]["mean"] > 0
    assert -1 <= accuracy["spread"]["rank_correlation"] <= 1


def test_curvature_pairs_without_names_are_told_apart_by_their_formulas() -> None:
    dataset = make_dataset(48)
    nameless = replace(dataset, molecule_id=np.full(len(dataset), ""))
    splits = split_by_molecule(nameless)
    parts = {
        name: nameless.select(rows) for name, rows in zip(("train", "valid", "test"), splits, strict=True)
    }
    kept = _unseen(displaced_pairs(nameless, 0.01, 0), parts)
    assert len(kept) == 2 * len(parts["train"])


@pytest.mark.parametrize(
    ("train", "test", "unseen"),
    [
        ("CCO", "COC", True),  # isomers with names are different molecules
        ("CCO", "CCO", False),
        ("file:a.xyz", "file:b.xyz", False),
        ("", "CCO", False),
        ("file:a.xyz", "CCO", False),
    ],
)
def test_compositions_decide_where_names_do_not_say_the_molecule(train: str, test: str, unseen: bool) -> None:
    frame = make_dataset(1)
    parts = {
        name: replace(frame, molecule_id=np.array([molecule_id]))
        for name, molecule_id in (("train", train), ("valid", train), ("test", test))
    }
    assert _tests_unseen_molecules(parts) == unseen
    assert (
        len(_unseen(replace(frame, molecule_id=np.array([train])), {**parts, "valid": parts["test"]}))
        == unseen
    )


def test_molecules_are_not_called_unseen_that_the_start_may_have_seen(labels: Path, tmp_path: Path) -> None:
    data = {"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]}
    (first,) = distill(config(data=data), tmp_path / "first", show_progress=False)
    assert first.unseen_molecules
    start = str(first.files["torchscript"])
    for name, seed, expected in (("same", 0, True), ("other", 5, False)):
        settings = config(data=data, init=start, training=FROZEN, seed=seed)
        (second,) = distill(settings, tmp_path / name, show_progress=False)
        assert second.unseen_molecules == expected
    settings = config(data=data, init=str(tmp_path / "first" / "small" / "last.ckpt"), training=FROZEN)
    (third,) = distill(settings, tmp_path / "checkpoint", show_progress=False)
    assert not third.unseen_molecules


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guide": "nowhere.pt"}, "there is no student 'nowhere.pt'"),
        ({"training": {"accelerator": "mps"}}, "'mps'"),
    ],
)
def test_what_comes_last_is_looked_for_first(tmp_path: Path, values: dict[str, object], message: str) -> None:
    with pytest.raises(DistillerError, match=message):
        distill(config(data={"molecules": "builtin"}, **values), tmp_path / "run", show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_that_failed_at_once_does_not_keep_its_folder(tmp_path: Path, labels: Path) -> None:
    few = tmp_path / "few.h5"
    write_dataset(few, make_dataset(48).select([0, 1]))
    with pytest.raises(DistillerError, match="different molecules"):
        distill(config(data={"datasets": [str(few)]}), tmp_path / "run", show_progress=False)
    data = {"datasets": [str(labels)], "fractions": [0.5, 0.25, 0.25]}
    distill(config(data=data), tmp_path / "run", show_progress=False)


def test_two_processes_do_not_train_in_one_folder(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with lock_folder(tmp_path / "run"), pytest.raises(ConfigError, match="another process is at work"):
        distill(config(data={"datasets": [str(labels)]}), tmp_path / "run", show_progress=False)


def test_labels_without_a_recorded_teacher_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    dataset = replace(make_dataset(4), metadata={})
    check_teachers([dataset, replace(dataset, metadata={"teacher": "gfn2-xtb"})])
    assert "others do not say of which teacher they are" in caplog.text
    with pytest.raises(ConfigError, match="different teachers"):
        check_teachers([replace(dataset, metadata={"teacher": name}) for name in ("gfn2-xtb", "orb")])
    settings = [
        {"teacher": "gfn2-xtb", "teacher_settings": f'{{"electronic_temperature": {t}}}'} for t in (300, 5000)
    ]
    check_teachers([replace(dataset, metadata=metadata) for metadata in settings])
    assert "the labels differ in teacher_settings" in caplog.text
