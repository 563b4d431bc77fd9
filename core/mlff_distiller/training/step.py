"""One optimiser step: gradients of the loss, then the update of the weights and their average.

The two halves are apart so that the caller can look at the loss and its gradient before it lets them change a weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.batches import Batch
from mlff_distiller.training.config import TrainingConfig
from mlff_distiller.training.hessian import HessianPairs, hessian_loss
from mlff_distiller.training.losses import energy_loss, force_loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Step(Protocol):
    """How a run takes its steps."""

    def gradients(self, batch: Batch, energy_weight: float, index: int) -> Tensor:
        """Put the clipped gradients of the loss on the weights.

        Args:
            batch: On the device of the student.
            energy_weight: Of this step.
            index: Number of this step, from zero.

        Returns:
            (4,): loss, energy loss, force loss, norm of the gradient before it was clipped. Not yet waited for.
        """
        ...

    def update(self, learning_rate: float) -> None:
        """Change the weights by the gradients, and their average."""
        ...


class PlainStep:
    """A step by Lightning Fabric, on any number of devices.

    Args:
        fabric: Moves tensors and averages gradients.
        student: Whose weights are trained.
        model: Its `EnergyForces` or `CompiledEnergyForces`, set up by fabric.
        optimizers: Set up by fabric.
        average: Moving average of the weights.
        config: Of the run.
        pairs: For the curvature term, if there is one.
    """

    def __init__(
        self,
        fabric: Fabric,
        student: StudentForceField,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        average: AveragedModel,
        config: TrainingConfig,
        pairs: HessianPairs | None,
    ) -> None:
        self.fabric, self.student, self.model, self.optimizers = fabric, student, model, optimizers
        self.average, self.config, self.pairs = average, config, pairs

    def gradients(self, batch: Batch, energy_weight: float, index: int) -> Tensor:
        """As `Step.gradients`."""
        energy, forces = self.model(*batch[:5])
        loss_e = energy_loss(energy, batch.energy, batch.n_atoms, self.config.loss.huber_delta)
        loss_f = force_loss(forces, batch.forces)
        share_e, share_f = self._shares(batch)
        loss = energy_weight * share_e * loss_e + self.config.loss.force_weight * share_f * loss_f
        if self.pairs is not None:
            loss = loss + self.config.loss.hessian_weight * self._hessian_loss(self.pairs, index)
        self.student.zero_grad()
        self.fabric.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.student.parameters(), self.config.optimizer.gradient_clip)
        return torch.stack([loss.detach(), loss_e.detach(), loss_f.detach(), norm])

    def _shares(self, batch: Batch) -> tuple[Tensor | float, Tensor | float]:
        """What to multiply this process's means by (over structures, over atoms) so that their average over all processes, which
        is what fabric takes of the gradients, is the mean over the whole batch."""
        if self.fabric.world_size == 1:
            return 1.0, 1.0
        own = torch.tensor(
            [len(batch.energy), len(batch.forces)], dtype=torch.float32, device=self.fabric.device
        )
        total = cast(Tensor, self.fabric.all_reduce(own.clone(), reduce_op="sum"))
        of_structures, of_atoms = self.fabric.world_size * own / total
        return of_structures, of_atoms

    def _hessian_loss(self, pairs: HessianPairs, index: int) -> Tensor:
        share = [self.config.seed, self.fabric.global_rank]
        drawn = pairs.draw(self.config.loss.hessian_pairs, share, index)
        batch = drawn.batch.to(self.fabric.device)
        _, forces = self.model(*batch[:5])
        return hessian_loss(forces, drawn._replace(batch=batch))

    def update(self, learning_rate: float) -> None:
        """As `Step.update`."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
        self.average.update_parameters(self.student)
