"""The training loop: Lightning Fabric moves the tensors, this file says what a step is.

A run lives in a folder: ``last.ckpt`` (to go on from), ``best.ckpt`` (lowest validation loss), ``curves.csv`` and ``curves.png``,
and TensorBoard events. Calling `train` again with the same settings goes on from ``last.ckpt`` and ends with the weights of an
uninterrupted run (on a GPU but for rounding): batches depend on seed and epoch alone, and everything else is in the checkpoint.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mlff_distiller.atomic_file import make_folder
from mlff_distiller.configuration import parse_config, to_plain
from mlff_distiller.device import torch_threads
from mlff_distiller.errors import (
    CheckpointError,
    ConfigError,
    MissingDependencyError,
    TrainingError,
    require,
)
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.native.library import is_built
from mlff_distiller.training.batches import Batch, GraphSet, shuffled_batches
from mlff_distiller.training.checkpoint import load_weights, read_checkpoint, save_checkpoint
from mlff_distiller.training.compiled import CompiledEnergyForces, EnergyForces
from mlff_distiller.training.config import TrainingConfig
from mlff_distiller.training.cuda_graphs import GraphedStep
from mlff_distiller.training.curves import LearningCurves
from mlff_distiller.training.hessian import HessianPairs
from mlff_distiller.training.interrupts import HeldInterrupts
from mlff_distiller.training.native import NativeEnergyForces
from mlff_distiller.training.optimizers import make_optimizers
from mlff_distiller.training.padding import batch_sizes
from mlff_distiller.training.schedules import exponential_average, scheduled_energy_weight, warmup_cosine
from mlff_distiller.training.step import PlainStep, Step
from mlff_distiller.training.validation import validation_errors

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class TrainingResult:
    """Where a run ended.

    Attributes:
        student: The averaged weights with the lowest validation loss.
        curves: One row per validation.
        best_epoch: Epochs trained when the validation loss was lowest.
        seconds: Training time, that of earlier sessions of the same run included.
    """

    student: StudentForceField
    curves: list[dict[str, float]]
    best_epoch: int
    seconds: float


logger = logging.getLogger(__name__)

_SUMS = ("steps", "loss", "energy_loss", "force_loss")
Reporter = Callable[[int, int, Mapping[str, float]], None]  # (steps done, steps in all, latest validation)


def train(
    student: StudentForceField,
    train_set: GraphSet,
    valid_set: GraphSet,
    config: TrainingConfig,
    output: Path,
    report: Reporter | None = None,
    pairs: HessianPairs | None = None,
) -> TrainingResult:
    """Fit a student, or go on with a run that was interrupted.

    Args:
        student: Start weights and scales; changed in place.
        train_set: What is learnt.
        valid_set: What decides which weights are kept.
        config: Settings.
        output: Folder of the run.
        report: Called after every step, and once at the end, with the steps done, the steps in all, and the latest validation.
        pairs: For the curvature term, where ``config.loss.hessian_weight`` is not zero.

    Raises:
        ConfigError: A device that is not there.
        TrainingError: The loss is not finite, or a curvature term is asked for without pairs.
        CheckpointError: ``output`` holds a run with other settings, or on other data or pairs.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the step is complete and saved.
    """
    if config.loss.hessian_weight > 0 and pairs is None:
        raise TrainingError(
            "loss.hessian_weight is not zero, but there are no pairs of frames; set data.hessian_pairs"
        )
    pairs = pairs if config.loss.hessian_weight > 0 else None
    with torch_threads(config.threads):
        run = _Run(student, train_set, valid_set, config, output, pairs)
        run.resume()
        for_the_rest = torch_threads(1 if run.is_native else None)  # see `NativeEnergyForces`
        with for_the_rest, HeldInterrupts() as interrupts, closing(run.curves):
            run.fit(report, interrupts)
        return run.result()


def make_fabric(config: TrainingConfig) -> Fabric:
    """Lightning Fabric on the devices of a run.

    Raises:
        ConfigError: They are not there.
    """
    fabric = require("lightning_fabric", extra="train")
    try:
        return fabric.Fabric(accelerator=config.accelerator, devices=config.devices, precision="32-true")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"training.accelerator: {config.accelerator!r} with devices={config.devices} cannot be used here: {error}"
        ) from None


class _Run:
    """The state of a run: model, average, optimiser, position and history."""

    def __init__(
        self,
        student: StudentForceField,
        train_set: GraphSet,
        valid_set: GraphSet,
        config: TrainingConfig,
        output: Path,
        pairs: HessianPairs | None,
    ) -> None:
        self.config, self.output, self.train_set, self.valid_set = config, output, train_set, valid_set
        self.pairs = pairs
        self.fabric = make_fabric(config)
        self.fabric.launch()
        for graphs in (train_set, valid_set):
            graphs.move_to(self.fabric.device)
        self.student = student.to(self.fabric.device)
        self.average = AveragedModel(student, multi_avg_fn=exponential_average(config.optimizer.ema_decay))
        self.averaged = cast(StudentForceField, self.average.module)
        self.steps_per_epoch = math.ceil(len(train_set) / config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.schedule = warmup_cosine(self.total_steps, config.optimizer.warmup)
        self.optimizers = make_optimizers(student, config.optimizer, graphed=self._is_graphed(pairs))
        self.stepper = self._stepper(pairs)
        self.step = 0
        self.seconds = 0.0
        self.sums: dict[str, float] = dict.fromkeys(_SUMS, 0.0)  # since the last validation
        self.curves = LearningCurves(output)
        native = self._native(self.averaged)
        self.is_native = native is not None
        self.evaluator = (native or EnergyForces(self.averaged)).eval()

    def _is_graphed(self, pairs: HessianPairs | None) -> bool:
        one_gpu = self.fabric.device.type == "cuda" and self.fabric.world_size == 1
        return one_gpu and self.config.compile and self.config.cuda_graphs and pairs is None

    def _native(self, student: StudentForceField) -> NativeEnergyForces | None:
        """By the native engine: on a CPU, in float32, where it is built."""
        is_float32 = student.energy_scale.dtype == torch.float32
        if not (self.config.native and self.fabric.device.type == "cpu" and is_float32 and is_built()):
            return None
        try:
            return NativeEnergyForces(student, torch.get_num_threads())
        except MissingDependencyError as error:
            logger.warning("torch takes the steps of this training: %s", error)
            return None

    def _energy_forces(self) -> nn.Module:
        """Energies and forces to be differentiated, by the fastest way that there is here."""
        native = self._native(self.student)
        if native is not None:
            return native
        return CompiledEnergyForces(self.student) if self.config.compile else EnergyForces(self.student)

    def _stepper(self, pairs: HessianPairs | None) -> Step:
        """How this run takes its steps: as CUDA graphs where it can."""
        config, student = self.config, self.student
        energy_forces = self._energy_forces()
        if self._is_graphed(pairs):
            sizes = batch_sizes(*self._sizes_of_batches(), config.batch_size)
            return GraphedStep(student, energy_forces, self.optimizers, self.average, config, sizes)
        model, *optimizers = self.fabric.setup(energy_forces, *self.optimizers)
        return PlainStep(self.fabric, student, model, optimizers, self.average, config, pairs)

    def _sizes_of_batches(self) -> tuple[np.ndarray, np.ndarray]:
        """Atoms and edges of every batch of the run."""
        starts = np.arange(0, len(self.train_set), self.config.batch_size)
        sizes = np.stack([np.diff(self.train_set.atom_splits), np.diff(self.train_set.edge_splits)])
        epochs = [
            np.add.reduceat(sizes[:, np.concatenate(self._epoch_batches(epoch))], starts, axis=1)
            for epoch in range(self.config.epochs)
        ]
        n_atoms, n_edges = np.concatenate(epochs, axis=1)
        return n_atoms, n_edges

    def _epoch_batches(self, epoch: int) -> list[np.ndarray]:
        return shuffled_batches(len(self.train_set), self.config.batch_size, self.config.seed, epoch)

    def _batch(self, indices: np.ndarray) -> Batch:
        """This process's share of a batch, on its device."""
        n_processes = self.fabric.world_size
        if len(indices) < n_processes:  # a process without a structure would keep the others waiting
            indices = np.resize(indices, n_processes)
        share = indices[self.fabric.global_rank :: n_processes]
        return self.train_set.collate(share).to(self.fabric.device)

    def fit(self, report: Reporter | None, interrupts: HeldInterrupts) -> None:
        """All steps and validations that are still to do; an interrupt is raised between steps, after saving."""
        started = saved = time.monotonic()
        before = self.seconds
        latest = self.curves.rows[-1] if self.curves.rows else {}
        while True:
            if self._validation_due():
                latest = self._validate()
                self.save_last()
                saved = time.monotonic()
                if self._agreed(interrupts.pending)[0]:
                    raise KeyboardInterrupt
            if self.step >= self.total_steps:
                if report is not None:  # also of a run that was finished before, and takes no step
                    report(self.step, self.total_steps, latest)
                return
            epoch, position = divmod(self.step, self.steps_per_epoch)
            batches = self._epoch_batches(epoch)[position:]
            batch = self._batch(batches[0])
            for indices, following in zip_longest(batches, batches[1:]):
                batch = self._train_step(indices, batch, following)
                self.seconds = before + time.monotonic() - started
                if report is not None:
                    report(self.step, self.total_steps, latest)
                interrupted, due = self._agreed(
                    interrupts.pending, time.monotonic() - saved > 60 * self.config.checkpoint_minutes
                )
                if interrupted or due:
                    self.save_last()
                    saved = time.monotonic()
                if interrupted:
                    raise KeyboardInterrupt

    def _agreed(self, *wishes: bool) -> list[bool]:
        """What any process wishes: saving waits for all of them, so they must come to it at the same step."""
        if self.fabric.world_size == 1:
            return list(wishes)
        wished = torch.tensor(wishes, dtype=torch.int64, device=self.fabric.device)
        return [bool(n) for n in cast(Tensor, self.fabric.all_reduce(wished, reduce_op="sum"))]

    def _validation_due(self) -> bool:
        """At the end of an epoch that is to be validated and is not yet: also after a kill between the two."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        wanted = epoch % self.config.validate_every == 0 or self.step == self.total_steps
        done = self.curves.rows and self.curves.rows[-1]["step"] == self.step
        return epoch > 0 and position == 0 and wanted and not done

    def _train_step(self, indices: np.ndarray, batch: Batch, following: np.ndarray | None) -> Batch:
        """A step on a batch; the following one is put together while a GPU is at work, and returned."""
        energy_weight = scheduled_energy_weight(self.config.loss, self.step / self.total_steps)
        result = self.stepper.gradients(batch, energy_weight, self.step)
        next_batch = batch if following is None else self._batch(following)
        values = result.tolist()  # waits for the GPU
        if not all(math.isfinite(value) for value in values):
            self._stop_at_non_finite(indices)
        self.stepper.update(self._learning_rate())
        self.step += 1
        for name, value in zip(_SUMS, [1.0, *values[:3]], strict=True):
            self.sums[name] += value
        return next_batch

    def _learning_rate(self) -> float:
        return self.config.optimizer.learning_rate * self.schedule(self.step)

    def _stop_at_non_finite(self, indices: np.ndarray) -> None:
        self.save_last()
        shown = ", ".join(f"{i} {self.train_set.names[i]}".strip() for i in sorted(indices.tolist()))
        raise TrainingError(
            f"the loss or its gradient is not finite at step {self.step + 1}, structures of the training set: {shown}. "
            "Look at the labels of these structures; if they are sound, start anew in another output folder with a lower "
            "training.optimizer.learning_rate; init: …/last.ckpt keeps what was learnt before"
        )

    def _validate(self) -> dict[str, float]:
        """Errors of the averaged weights; keeps them if they are the best so far."""
        errors = validation_errors(
            self.evaluator, self.valid_set, self.config.loss, self.config.max_atoms, self.fabric.device
        )
        if not all(math.isfinite(value) for value in errors.values()):
            raise TrainingError(
                f"the errors on the validation set are not finite at step {self.step}: {errors}. Look in it for labels out "
                "of all proportion and for atoms on top of each other"
            )
        n_steps = self.sums.pop("steps")
        means = {f"train_{name}": total / n_steps for name, total in self.sums.items()}
        self.sums = dict.fromkeys(_SUMS, 0.0)
        row = {
            "epoch": float(self.step // self.steps_per_epoch),
            "step": float(self.step),
            "learning_rate": self._learning_rate(),
            **means,
            **errors,
        }
        is_best = row["valid_loss"] < min((r["valid_loss"] for r in self.curves.rows), default=math.inf)
        if self.fabric.is_global_zero:
            self.curves.append(row)
            if is_best:
                self._save("best.ckpt")
        else:
            self.curves.rows.append(row)
        return row

    def save_last(self) -> None:
        """Write ``last.ckpt``."""
        if self.fabric.is_global_zero:
            self._save("last.ckpt")
        self.fabric.barrier()

    def _save(self, name: str) -> None:
        save_checkpoint(
            self.output / name,
            self.student,
            average=self.averaged.state_dict(),
            n_averaged=self.average.n_averaged,
            optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
            step=self.step,
            seconds=self.seconds,
            sums=dict(self.sums),
            curves=list(self.curves.rows),
            config=to_plain(self.config),
            data=self._data(),
        )

    def _data(self) -> dict[str, str]:
        pairs = {} if self.pairs is None else {"pairs": self.pairs.graphs.sha256}
        return {"train": self.train_set.sha256, "valid": self.valid_set.sha256, **pairs}

    def resume(self) -> None:
        """Continue from ``last.ckpt`` if there is one."""
        path = self.output / "last.ckpt"
        if not path.exists():
            make_folder(self.output)
            return
        payload = read_checkpoint(path)
        different = _differences(payload["config"], self.config)
        if different or payload["architecture"] != self.student.architecture():
            raise CheckpointError(
                f"{path} belongs to a run with other settings ({', '.join(different) or 'architecture'} differ). "
                "Use the same settings to go on with it, or another output folder to start anew"
            )
        recorded = {**self._data(), **payload.get("data", {})}  # checkpoints of older versions do not say all
        if recorded != self._data():
            raise CheckpointError(
                f"{path} belongs to a run on other data: frames of training or validation, or pairs of frames. Use the same data "
                "to go on with it, or another output folder to start anew"
            )
        load_weights(self.student, payload["weights"], source=str(path))
        load_weights(self.averaged, payload["average"], source=str(path))
        self.average.n_averaged.copy_(payload["n_averaged"])
        states = payload.get("optimizers") or [payload["optimizer"]]  # older versions had one
        for optimizer, state in zip(self.optimizers, states, strict=True):
            own_settings = optimizer.state_dict()["param_groups"]  # those of another device do not fit
            optimizer.load_state_dict({**state, "param_groups": own_settings})
        self.step = payload["step"]
        self.seconds, self.sums = payload["seconds"], dict(payload["sums"])
        self.curves.restore(payload["curves"])

    def result(self) -> TrainingResult:
        """The best weights of the finished run."""
        best = min(self.curves.rows, key=lambda row: row["valid_loss"])
        payload = read_checkpoint(self.output / "best.ckpt")
        load_weights(self.student, payload["average"], source="best.ckpt")
        return TrainingResult(self.student.cpu().eval(), self.curves.rows, int(best["epoch"]), self.seconds)


def _differences(old: Mapping[str, object], new: TrainingConfig) -> list[str]:
    """Settings in which a checkpoint's run is another one; those that came after it was written have their defaults."""
    before = to_plain(parse_config(TrainingConfig, old, "the settings of the checkpoint").without_machine())
    after = to_plain(new.without_machine())
    return sorted(key for key in after if before[key] != after[key])
