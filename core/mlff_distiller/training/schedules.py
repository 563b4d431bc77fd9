"""What changes along a run: the learning rate, the weight of the energies, the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

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


def exponential_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """In-place moving average for `torch.optim.swa_utils.AveragedModel`.

    The decay starts at 0.1 and rises as (1 + n) / (10 + n) up to ``decay``, so that a short run does not average its start.
    """

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], n_averaged: Tensor | int) -> None:
        n = float(n_averaged)
        share = 1.0 - min(decay, (1.0 + n) / (10.0 + n))
        for a, c in zip(averaged, current, strict=True):
            a.lerp_(c, share)

    return update
