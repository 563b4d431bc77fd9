"""What changes along a run: the learning rate, the weight of the energies, the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mlff_distiller.training.config import LossConfig


def warmup_cosine(total_steps: int, warmup: float) -> Callable[[int], float]:
    """Factor of the learning rate: linear from zero over the first fraction ``warmup``, then half a cosine to zero."""
    n_warmup = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < n_warmup:
            return (step + 1) / n_warmup
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - n_warmup) / max(1, total_steps - n_warmup))))

    return factor


def scheduled_energy_weight(loss: LossConfig, progress: float) -> float:
    """The energy weight at a fraction ``progress`` of the run: raised in the last quarter."""
    return loss.energy_weight if progress < 0.75 else loss.final_energy_weight


def rising_decay(decay: float, n_averaged: int) -> float:
    """Decay of the average after ``n_averaged`` steps: a short run does not average its start."""
    return min(decay, (1.0 + n_averaged) / (10.0 + n_averaged)) if n_averaged > 0 else 0.0


def exponential_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """In-place moving average for `torch.optim.swa_utils.AveragedModel`, with a decay that rises from zero."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], n_averaged: Tensor | int) -> None:
        torch_average = get_ema_multi_avg_fn(rising_decay(decay, int(n_averaged)))  # all tensors in one call
        torch_average(list(averaged), list(current), n_averaged)

    return update
