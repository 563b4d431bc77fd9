"""Checkpoints: round trips, legacy prefixes, other models, damage, and code that must not run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from tests.conftest import ethanol, random_student, tensors

from mlff_distiller.errors import CheckpointError
from mlff_distiller.model.presets import build_student
from mlff_distiller.training.checkpoint import (
    load_weights,
    read_checkpoint,
    save_checkpoint,
    student_from_checkpoint,
)


def test_round_trip(tmp_path: Path) -> None:
    student = random_student(dtype=torch.float32)
    save_checkpoint(tmp_path / "a.ckpt", student, step=3)
    loaded = student_from_checkpoint(tmp_path / "a.ckpt")
    assert read_checkpoint(tmp_path / "a.ckpt")["step"] == 3
    assert torch.equal(
        loaded.predict(**tensors(ethanol())).energy, student.predict(**tensors(ethanol())).energy
    )


def test_the_average_is_preferred(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.ckpt", random_student(0), average=random_student(1).float().state_dict())
    loaded = student_from_checkpoint(tmp_path / "a.ckpt").state_dict()
    expected = random_student(1).float().state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


@pytest.mark.parametrize("prefix", ["model.", "module.", "module.model."])
def test_legacy_prefixes_are_dropped(prefix: str) -> None:
    source, target = random_student(1), random_student(2)
    load_weights(target, {prefix + key: value for key, value in source.state_dict().items()})
    assert all(torch.equal(value, target.state_dict()[key]) for key, value in source.state_dict().items())


def test_a_prefix_is_dropped_at_the_start_only() -> None:
    weights = random_student().state_dict()
    weights["painn.model.embedding.weight"] = weights.pop("painn.embedding.weight")
    with pytest.raises(CheckpointError, match="1 weights are missing, 1 are not known"):
        load_weights(random_student(), weights)


def test_checkpoint_of_another_preset() -> None:
    with pytest.raises(CheckpointError, match="another model.*n_features=48.*choose the preset"):
        load_weights(build_student("tiny"), build_student("ultra-tiny").state_dict())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)


def test_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, random_student())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_a_bare_state_dict_is_told_what_to_do(tmp_path: Path) -> None:
    torch.save(random_student().state_dict(), tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="load_weights"):
        read_checkpoint(tmp_path / "a.ckpt")


class _Payload:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize(
    "save", [torch.save, lambda data, path: path.write_bytes(pickle.dumps(data, protocol=2))]
)
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, save) -> None:
    path, trace = tmp_path / "evil.ckpt", tmp_path / "was-here"
    save({"format": 1, "weights": _Payload(trace)}, path)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert not trace.exists()
