"""A training step as two CUDA graphs: on a GPU, starting the kernels of a step takes several times as long as running them.

A graph repeats recorded kernels on the memory that they were recorded with. Batches are therefore copied into tensors of a few
fixed sizes (`padding`), each with a graph of its own for the gradients; the update has one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.batches import Batch
from mlff_distiller.training.config import TrainingConfig
from mlff_distiller.training.losses import energy_errors, force_errors
from mlff_distiller.training.padding import PaddedBatch, Size, empty_batch, fill, fits
from mlff_distiller.training.schedules import rising_decay

N_WARMUP = 3  # ordinary steps before anything is recorded: kernels are compiled and the optimiser's state is made in them


class GraphedStep:
    """A `Step` on one GPU.

    Args:
        student: Whose weights are trained.
        model: Its `CompiledEnergyForces`.
        optimizers: Of its weights, made for a graph.
        average: Moving average of the weights.
        config: Of the run.
        sizes: Of all batches to come, the smallest first.
    """

    def __init__(
        self,
        student: StudentForceField,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        average: AveragedModel,
        config: TrainingConfig,
        sizes: Sequence[Size],
    ) -> None:
        self.student, self.model, self.optimizers = student, model, optimizers
        self.average, self.config, self.sizes = average, config, sizes
        self.weights = list(student.parameters())
        self.averages = list(average.module.parameters())
        like = self.weights[0]
        self.gradient = like.new_zeros(sum(w.numel() for w in self.weights))
        parts = self.gradient.split([w.numel() for w in self.weights])
        for weight, part in zip(self.weights, parts, strict=True):
            weight.grad = part.view_as(weight)
        self.energy_weight, self.learning_rate, self.new_share = (like.new_zeros(()) for _ in range(3))
        self.padded: dict[Size, PaddedBatch] = {}
        self.recorder = Recorder(like.device)

    def gradients(self, batch: Batch, energy_weight: float, index: int) -> Tensor:
        """As `Step.gradients`."""
        size = next(size for size in self.sizes if fits(batch, size))
        if size not in self.padded:
            self.padded[size] = empty_batch(size, batch)
        padded = self.padded[size]
        fill(padded, batch, self.student.cutoff)
        self.energy_weight.fill_(energy_weight)
        return self.recorder.run(size, lambda: self._gradients(padded))

    def _gradients(self, padded: PaddedBatch) -> Tensor:
        loss, loss_e, loss_f = padded_loss(self.model, padded, self.energy_weight, self.config)
        gradients = torch.autograd.grad(loss, self.weights)
        torch.cat([gradient.flatten() for gradient in gradients], out=self.gradient)
        norm = nn.utils.clip_grad_norm_(self.weights, self.config.optimizer.gradient_clip)
        return torch.stack([loss.detach(), loss_e.detach(), loss_f.detach(), norm])

    def update(self, learning_rate: float) -> None:
        """As `Step.update`."""
        self.learning_rate.fill_(learning_rate)
        n_averaged = int(self.average.n_averaged)
        self.new_share.fill_(1.0 - rising_decay(self.config.optimizer.ema_decay, n_averaged))
        self.recorder.run("update", self._update)
        self.average.n_averaged += 1

    def _update(self) -> Tensor:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate
            optimizer.step()
        with torch.no_grad():
            for averaged, weight in zip(self.averages, self.weights, strict=True):
                averaged.lerp_(weight, self.new_share)
        return self.new_share


def padded_loss(
    model: nn.Module, padded: PaddedBatch, energy_weight: Tensor, config: TrainingConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, energy loss and force loss of the real structures, as of the batch without its padding."""
    batch = padded.tensors
    energy, forces = model(*batch[:5])
    errors_e = energy_errors(energy, batch.energy, batch.n_atoms, config.loss.huber_delta)
    errors_f = force_errors(forces, batch.forces)
    added_structure = torch.arange(len(errors_e), device=errors_e.device) >= padded.n_structures
    added_atom = batch.batch == len(errors_e) - 1
    loss_e = errors_e.masked_fill(added_structure, 0.0).sum() / padded.n_structures
    loss_f = errors_f.masked_fill(added_atom, 0.0).sum() / padded.n_atoms
    return energy_weight * loss_e + config.loss.force_weight * loss_f, loss_e, loss_f


class Recorder:
    """Runs functions of fixed tensors on a GPU: the first times as they are, then as CUDA graphs."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()
        self.n_runs: dict[object, int] = {}
        self.graphs: dict[object, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def run(self, name: object, function: Callable[[], Tensor]) -> Tensor:
        """The function's result.

        Args:
            name: The same for calls on the same tensors.
            function: Reads and writes tensors that stay where they are, and never waits for the GPU.
        """
        if name in self.graphs:
            graph, result = self.graphs[name]
            graph.replay()
            return result
        self.n_runs[name] = self.n_runs.get(name, 0) + 1
        if self.n_runs[name] <= N_WARMUP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "This instance was constructed with capturable")
                result = function()
            torch.cuda.current_stream().wait_stream(self.stream)
            return result
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            result = function()
        self.graphs[name] = (graph, result)
        graph.replay()  # recording runs nothing
        return result
