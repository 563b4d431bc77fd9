"""The training loss.  B structures, N atoms."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss


def energy_errors(predicted: Tensor, target: Tensor, n_atoms: Tensor, delta: float) -> Tensor:
    """Error of the energy per atom in eV, (B,), quadratic below ``delta``: Huber's loss divided by ``delta``.

    Without the division its slope would be ``delta``, and against the forces the energies would not be learnt at all.

    Args:
        predicted: (B,) eV.
        target: (B,) eV.
        n_atoms: (B,).
        delta: eV per atom.
    """
    return smooth_l1_loss(predicted / n_atoms, target / n_atoms, beta=delta, reduction="none")


def force_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """|ΔF| in eV/Å, (N,): rotation-invariant, and robust since it is not squared.

    The square root is smoothed at 0.1 meV/Å, where its derivative would be undefined.

    Args:
        predicted: (N, 3) eV/Å.
        target: (N, 3) eV/Å.
    """
    return torch.sqrt(((predicted - target) ** 2).sum(dim=1) + 1e-8)


def energy_loss(predicted: Tensor, target: Tensor, n_atoms: Tensor, delta: float) -> Tensor:
    """Mean of `energy_errors`."""
    return energy_errors(predicted, target, n_atoms, delta).mean()


def force_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean of `force_errors`."""
    return force_errors(predicted, target).mean()
