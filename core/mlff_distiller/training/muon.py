"""Muon: momentum whose singular values are all made about one, for the matrices between hidden layers.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); that an update has the same root mean square
whatever the shape is from J. Liu et al., arXiv:2502.16982. `torch.optim.Muon` computes in bfloat16, one matrix after
another, and waits for the GPU; this one computes in float32, all matrices of one shape at once, and can be recorded as a CUDA
graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic iteration: steep at zero
N_ITERATIONS = 5
RMS = 0.8  # of an update at a learning rate of one: AdamW's learning rates fit (docs/training.md)
TINY = 1e-7  # a gradient of zero stays zero


class Muon(Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay.

    Args:
        matrices: Weights of shape (rows, columns).
        lr: Learning rate; a tensor () of the weights' device where a step is recorded as a CUDA graph.
        weight_decay: As in AdamW.
        momentum: Of the moving average of the gradients.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float | Tensor,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for shape, matrices in by_shape.items():
                updates = orthogonalized(self._momenta(matrices, group["momentum"]))
                updates *= -RMS * max(shape) ** 0.5 * group["lr"]
                decay = 1 - group["lr"] * group["weight_decay"]
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(decay).add_(update)

    def _momenta(self, matrices: list[Tensor], momentum: float) -> Tensor:
        """(matrices, rows, columns): the gradients, averaged over the steps; Nesterov's look ahead."""
        looking_ahead = []
        for matrix in matrices:
            gradient = cast(Tensor, matrix.grad)
            if "momentum" not in self.state[matrix]:
                self.state[matrix]["momentum"] = torch.zeros_like(matrix)
            average = self.state[matrix]["momentum"].lerp_(gradient, 1 - momentum)
            looking_ahead.append(torch.lerp(gradient, average, momentum))
        return torch.stack(looking_ahead)


def orthogonalized(matrices: Tensor) -> Tensor:
    """(batch, rows, columns) with the same singular vectors and singular values of about 0.7 to 1.2, by Newton-Schulz.

    Values below a thousandth of the matrix' norm remain smaller.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalized(matrices.mT).mT
    a, b, c = COEFFICIENTS
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + TINY)
    for _ in range(N_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
