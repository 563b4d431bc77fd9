"""Which weights are trained by which optimiser."""

from __future__ import annotations

from torch import Tensor
from torch.optim import AdamW, Optimizer

from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.config import OptimizerConfig
from mlff_distiller.training.muon import Muon

BY_SPECIES = ("embedding", "initial_message.phi")  # a row for each element: not a map between features


def make_optimizers(student: StudentForceField, config: OptimizerConfig, graphed: bool) -> list[Optimizer]:
    """Optimisers that together change every weight, each one once.

    Args:
        student: Whose weights they change.
        config: Settings.
        graphed: Whether their steps are to be recorded as a CUDA graph.
    """
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in student.named_parameters():
        is_map = weight.ndim == 2 and not any(part in name for part in BY_SPECIES)
        (matrices if is_map else others).append(weight)
    if config.kind == "adamw":
        return [_adamw(matrices, others, config, graphed)]
    # the row that gives the energy has nothing to orthogonalise
    rows = [matrix for matrix in matrices if min(matrix.shape) == 1]
    between_features = [matrix for matrix in matrices if min(matrix.shape) > 1]
    muon = Muon(between_features, config.learning_rate, config.weight_decay)
    return [muon, _adamw(rows, others, config, graphed)]


def _adamw(decayed: list[Tensor], others: list[Tensor], config: OptimizerConfig, graphed: bool) -> AdamW:
    """A decay of biases and embeddings has no use."""
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.learning_rate, capturable=graphed, fused=True if graphed else None)
