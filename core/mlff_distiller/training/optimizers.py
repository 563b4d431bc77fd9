"""Which weights are trained by which optimiser."""

from __future__ import annotations

from collections.abc import Collection

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
    matrices = [
        weight
        for name, weight in student.named_parameters()
        if weight.ndim == 2 and not any(part in name for part in BY_SPECIES)
    ]
    if config.kind == "adamw":
        return [_adamw(student, matrices, [], config, graphed)]
    between_features = [
        matrix for matrix in matrices if min(matrix.shape) > 1
    ]  # not the row that gives the energy
    muon = Muon(between_features, config.learning_rate, config.weight_decay)
    return [muon, _adamw(student, matrices, between_features, config, graphed)]


def _adamw(
    student: StudentForceField,
    matrices: Collection[Tensor],
    without: Collection[Tensor],
    config: OptimizerConfig,
    graphed: bool,
) -> AdamW:
    """AdamW that decays matrices only: a decay of biases and embeddings has no use."""
    decayed, left_out = {id(w) for w in matrices}, {id(w) for w in without}
    weights = [w for w in student.parameters() if id(w) not in left_out]
    groups = [
        {"params": [w for w in weights if id(w) in decayed], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if id(w) not in decayed], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=config.learning_rate, capturable=graphed, fused=True if graphed else None)
