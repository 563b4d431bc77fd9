"""Training runs: they learn, resume exactly, stop at nonsense, and keep to their memory."""

from __future__ import annotations

import csv
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import needs_cuda

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.statistics import fit_reference_energies
from mlff_distiller.errors import CheckpointError, MissingDependencyError, TrainingError
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training import trainer
from mlff_distiller.training.batches import GraphSet
from mlff_distiller.training.compiled import EnergyForces
from mlff_distiller.training.config import LossConfig, OptimizerConfig, TrainingConfig
from mlff_distiller.training.interrupts import HeldInterrupts
from mlff_distiller.training.trainer import TrainingResult, train
from mlff_distiller.training.validation import validation_errors

CONFIG = TrainingConfig(
    epochs=3, batch_size=8, compile=False, optimizer=OptimizerConfig(learning_rate=5e-3), accelerator="cpu"
)

WITH_MUON = TrainingConfig(**{**vars(CONFIG), "optimizer": OptimizerConfig(kind="muon", learning_rate=5e-3)})


def small_student(dataset: Dataset) -> StudentForceField:
    torch.manual_seed(0)
    student = StudentForceField(16, 2, 8, cutoff=4.0, max_z=8, elements=[1, 6, 8])
    student.set_scales(fit_reference_energies(dataset), energy_scale=1.0, mean_neighbors=6.0)
    return student


def run(
    dataset: Dataset, folder: Path, config: TrainingConfig = CONFIG, stop_at: int | None = None
) -> TrainingResult:
    student = small_student(dataset)
    train_set = GraphSet(dataset.select(np.arange(32)), student)
    valid_set = GraphSet(dataset.select(np.arange(32, 40)), student)

    def report(done: int, total: int, row: object) -> None:
        if done == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    return train(student, train_set, valid_set, config, folder, report)


@pytest.mark.parametrize("config", [CONFIG, WITH_MUON])
def test_a_run_learns(dataset: Dataset, tmp_path: Path, config: TrainingConfig) -> None:
    result = run(dataset, tmp_path, TrainingConfig(**{**vars(config), "epochs": 25}))
    first, last = result.curves[0], result.curves[-1]
    assert last["valid_force_rmse"] < 0.5 * first["valid_force_rmse"]
    assert last["learning_rate"] < 1e-6
    assert last["step"] == 25 * 4


def test_outputs_of_a_run(dataset: Dataset, tmp_path: Path) -> None:
    result = run(dataset, tmp_path)
    with open(tmp_path / "curves.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["valid_loss"]) for row in rows] == [row["valid_loss"] for row in result.curves]
    assert (tmp_path / "curves.png").stat().st_size > 5000
    assert list((tmp_path / "tensorboard").glob("events*"))


@pytest.mark.parametrize(("stop_at", "config"), [(1, CONFIG), (4, CONFIG), (6, CONFIG), (4, WITH_MUON)])
def test_resume_is_exact(dataset: Dataset, tmp_path: Path, stop_at: int, config: TrainingConfig) -> None:
    """Killed within an epoch or at its end, and resumed: the weights of an uninterrupted run, bit by bit."""
    whole = run(dataset, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "killed", config, stop_at=stop_at)
    resumed = run(dataset, tmp_path / "killed", config)
    for name, weight in whole.student.state_dict().items():
        assert torch.equal(weight, resumed.student.state_dict()[name]), name
    assert whole.curves == resumed.curves


def test_a_run_begun_on_a_gpu_goes_on_on_the_cpu(dataset: Dataset, tmp_path: Path) -> None:
    """Its optimiser has settings there that no CPU can take: a learning rate on the GPU, steps that are recorded."""
    whole = run(dataset, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "moved", stop_at=5)
    checkpoint = tmp_path / "moved" / "last.ckpt"
    payload = torch.load(checkpoint, weights_only=True)
    for optimizer in payload["optimizers"]:
        for group in optimizer["param_groups"]:
            group.update(lr=torch.tensor(0.0))
            if "capturable" in group:  # AdamW
                group.update(capturable=True, fused=True)
    torch.save(payload, checkpoint)
    resumed = run(dataset, tmp_path / "moved")
    for name, weight in whole.student.state_dict().items():
        assert torch.equal(weight, resumed.student.state_dict()[name]), name


def test_a_run_of_an_older_version_goes_on_and_on_other_settings_of_the_machine(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path, stop_at=5)
    payload = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del payload["config"]["cuda_graphs"]  # which older versions did not have
    (payload["optimizer"],) = payload.pop("optimizers")
    torch.save(payload, tmp_path / "last.ckpt")
    elsewhere = TrainingConfig(**{**vars(CONFIG), "max_atoms": 30, "threads": 1, "accelerator": "auto"})
    assert run(dataset, tmp_path, elsewhere).curves[-1]["step"] == 12


def test_progress_of_a_finished_run_is_complete(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    student, calls = small_student(dataset), []
    part = (
        GraphSet(dataset.select(np.arange(32)), student),
        GraphSet(dataset.select(np.arange(32, 40)), student),
    )
    train(student, *part, CONFIG, tmp_path, lambda *call: calls.append(call[:2]))
    assert calls == [(12, 12)]


@needs_cuda
@pytest.mark.slow
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("config", [CONFIG, WITH_MUON], ids=["adamw", "muon"])
def test_a_run_on_a_gpu_resumes_and_ends_where_one_on_the_cpu_does(
    dataset: Dataset, tmp_path: Path, config: TrainingConfig, graphs: bool
) -> None:
    """Sums on a GPU have no fixed order, so that the weights agree but for rounding."""
    longer = {**vars(config), "epochs": 10}
    on_cpu = run(dataset, tmp_path / "cpu", TrainingConfig(**longer))
    on_gpu = TrainingConfig(**{**longer, "accelerator": "cuda", "compile": True, "cuda_graphs": graphs})
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "gpu", on_gpu, stop_at=18)
    resumed = run(dataset, tmp_path / "gpu", on_gpu)
    for name, weight in on_cpu.student.state_dict().items():
        torch.testing.assert_close(resumed.student.state_dict()[name], weight, rtol=1e-2, atol=1e-3)
    assert resumed.curves[-1]["valid_force_mae"] == pytest.approx(
        on_cpu.curves[-1]["valid_force_mae"], rel=1e-3
    )


def test_an_interrupt_is_held_until_the_step_is_saved(dataset: Dataset, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path, stop_at=2)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["step"] == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_in_the_last_validation_is_not_lost(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> dict[str, float]:
        signal.raise_signal(signal.SIGINT)
        return validation_errors(*arguments)

    monkeypatch.setattr(trainer, "validation_errors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path, TrainingConfig(**{**vars(CONFIG), "epochs": 1}))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["curves"]


def test_a_second_interrupt_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), HeldInterrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.pending
        os.kill(os.getpid(), signal.SIGINT)


def test_a_run_leaves_no_thread_behind(dataset: Dataset, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    run(dataset, tmp_path)
    assert set(threading.enumerate()) == before  # TensorBoard's writer has one


def test_a_finished_run_is_not_trained_again(dataset: Dataset, tmp_path: Path) -> None:
    first = run(dataset, tmp_path)
    second = run(dataset, tmp_path, stop_at=0)
    assert second.curves == first.curves


def test_another_configuration_does_not_resume(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    with pytest.raises(CheckpointError, match="batch_size"):
        run(dataset, tmp_path, TrainingConfig(**{**vars(CONFIG), "batch_size": 4}))


def test_non_finite_loss_stops_and_names_the_structures(dataset: Dataset, tmp_path: Path) -> None:
    student = small_student(dataset)
    train_set = GraphSet(dataset.select(np.arange(32)), student)
    train_set.forces[int(train_set.atom_splits[5])] = torch.nan
    valid_set = GraphSet(dataset.select(np.arange(32, 40)), student)
    with pytest.raises(TrainingError, match=r"not finite at step \d.* 5 H2CO.*learning_rate"):
        train(student, train_set, valid_set, CONFIG, tmp_path)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert all(torch.isfinite(weight).all() for weight in saved["weights"].values())


def test_average_is_what_is_kept(dataset: Dataset, tmp_path: Path) -> None:
    result = run(dataset, tmp_path)
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    name = "painn.embedding.weight"
    assert torch.equal(result.student.state_dict()[name], saved["average"][name])
    assert not torch.equal(saved["average"][name], saved["weights"][name])


def test_validation_does_not_depend_on_the_chunks(dataset: Dataset) -> None:
    student = small_student(dataset)
    graphs, model = GraphSet(dataset, student), EnergyForces(student)
    whole, in_chunks = (
        validation_errors(model, graphs, LossConfig(), max_atoms, torch.device("cpu"))
        for max_atoms in (10**6, 7)
    )
    assert in_chunks == pytest.approx(whole, rel=1e-4)


def test_validation_errors_by_hand(dataset: Dataset) -> None:
    """Against numpy on the predictions of the student itself, one structure at a time."""
    student = small_student(dataset)
    errors = validation_errors(
        EnergyForces(student), GraphSet(dataset, student), LossConfig(), 64, torch.device("cpu")
    )
    predictions = [
        student.predict(torch.from_numpy(a.numbers).long(), torch.from_numpy(a.positions))
        for a in (dataset.atoms(k) for k in range(len(dataset)))
    ]
    force_error = np.concatenate([p.forces.numpy() for p in predictions]) - dataset.forces
    energy_error = (np.array([p.energy.item() for p in predictions]) - dataset.energy) / dataset.n_atoms
    assert errors["valid_force_mae"] == pytest.approx(np.abs(force_error).mean(), rel=1e-4)
    assert errors["valid_force_rmse"] == pytest.approx(np.sqrt((force_error**2).mean()), rel=1e-4)
    assert errors["valid_energy_mae"] == pytest.approx(np.abs(energy_error).mean(), rel=1e-4)
    variance = ((dataset.forces - dataset.forces.mean(axis=0)) ** 2).sum()
    assert errors["valid_force_r2"] == pytest.approx(1 - (force_error**2).sum() / variance, rel=1e-4)


def test_other_data_do_not_resume(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path)
    relabelled = dataset.select(np.arange(len(dataset)))
    relabelled.energy[3] += 0.1
    with pytest.raises(CheckpointError, match="a run on other data"):
        run(relabelled, tmp_path)


def test_a_validation_that_is_not_finite_stops(dataset: Dataset, tmp_path: Path) -> None:
    student = small_student(dataset)
    train_set = GraphSet(dataset.select(np.arange(32)), student)
    valid_set = GraphSet(dataset.select(np.arange(32, 40)), student)
    valid_set.energy[2] = torch.nan
    with pytest.raises(TrainingError, match="errors on the validation set are not finite at step 4"):
        train(student, train_set, valid_set, CONFIG, tmp_path)


def test_without_the_engine_torch_trains(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "is_built", lambda: False)
    monkeypatch.setattr(trainer, "NativeEnergyForces", None)
    assert len(run(dataset, tmp_path).curves) == 3


def test_torch_trains_where_the_engine_is_an_old_one(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(student: StudentForceField, n_threads: int) -> None:
        raise MissingDependencyError("install the package again")

    monkeypatch.setattr(trainer, "is_built", lambda: True)
    monkeypatch.setattr(trainer, "NativeEnergyForces", fail)
    assert len(run(dataset, tmp_path).curves) == 3
    assert "torch takes the steps of this training: install the package again" in caplog.text
