"""Errors of a student over a labelled set, in bounded memory.  B structures, N atoms in a chunk."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mlff_distiller.training.batches import Batch, GraphSet
from mlff_distiller.training.config import LossConfig
from mlff_distiller.training.losses import energy_loss, force_loss


def validation_errors(
    energy_forces: nn.Module, valid_set: GraphSet, loss: LossConfig, max_atoms: int, device: torch.device
) -> dict[str, float]:
    """Loss and errors over a set, in chunks bounded by atoms, so that memory does not grow with the set.

    Args:
        energy_forces: `EnergyForces` of the student to judge, in evaluation mode.
        valid_set: Labelled structures.
        loss: Weights; the final energy weight is used throughout, so that the values of all epochs compare.
        max_atoms: Atoms held at once.
        device: Where the student is.

    Returns:
        valid_loss, valid_energy_mae (eV per atom), valid_force_mae and valid_force_rmse (eV/Å, by component), valid_force_r2.
    """
    sums = torch.zeros(5, dtype=torch.float64)
    for chunk in valid_set.chunks(max_atoms):
        batch = chunk.to(device)
        energy, forces = energy_forces(*batch[:5])
        sums += _error_sums(batch, energy.detach(), forces.detach(), loss.huber_delta)
    loss_e, loss_f, energy_mae, absolute, square = sums.tolist()
    n_structures, n_atoms = len(valid_set), valid_set.forces.shape[0]
    labels = valid_set.forces.double()
    variance = float(((labels - labels.mean(dim=0)) ** 2).sum())
    return {
        "valid_loss": loss.final_energy_weight * loss_e / n_structures + loss.force_weight * loss_f / n_atoms,
        "valid_energy_mae": energy_mae / n_structures,
        "valid_force_mae": absolute / (3 * n_atoms),
        "valid_force_rmse": math.sqrt(square / (3 * n_atoms)),
        "valid_force_r2": 1.0 - square / variance if variance > 0 else math.nan,
    }


def _error_sums(batch: Batch, energy: Tensor, forces: Tensor, huber_delta: float) -> Tensor:
    """(5,) float64 sums over the chunk: Huber and |ΔF| losses, |ΔE|/N, |ΔF| and ΔF² by component."""
    n_structures, n_atoms = batch.energy.shape[0], batch.forces.shape[0]
    error = (forces - batch.forces).double()
    sums = [
        n_structures * energy_loss(energy, batch.energy, batch.n_atoms, huber_delta).double(),
        n_atoms * force_loss(forces, batch.forces).double(),
        ((energy - batch.energy).abs() / batch.n_atoms).sum().double(),
        error.abs().sum(),
        (error**2).sum(),
    ]
    return torch.stack(sums).cpu()
