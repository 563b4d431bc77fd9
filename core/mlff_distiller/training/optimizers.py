"""Which weights are trained by which optimiser."""

from __future__ import annotations

from torch import Tensor
from torch.optim import AdamW, Optimizer

from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.config import OptimizerConfig
from mlff_distiller.training.muon import Muon

BY_SPECIES = ("embedding", "initial_message.phi")  # a row for each element: not a map between features
FILTER = "filter."  # from radial functions to features: made orthogonal, it would grow as rough as the functions allow


def make_optimizers(student: StudentForceField, config: OptimizerConfig, graphed: bool) -> list[Optimizer]:
    """Optimisers that together change every weight, each one once.

    Args:
        student: Whose weights they change.
        config: Settings.
        graphed: Whether their steps are to be recorded as a CUDA graph.
    """
    maps: dict[str, Tensor] = {}
    others: list[Tensor] = []
    for name, weight in student.named_parameters():
        if weight.ndim == 2 and not any(part in name for part in BY_SPECIES):
            maps[name] = weight
        else:
            others.append(weight)
    if config.kind == "adamw":
        return [_adamw(list(maps.values()), others, config, graphed)]
    between_features = [name for name, matrix in maps.items() if FILTER not in name and min(matrix.shape) > 1]
    muon = Muon([maps[name] for name in between_features], config.learning_rate, config.weight_decay)
    rest = [matrix for name, matrix in maps.items() if name not in between_features]
    return [muon, _adamw(rest, others, config, graphed)]


def _adamw(decayed: list[Tensor], others: list[Tensor], config: OptimizerConfig, graphed: bool) -> AdamW:
    """A decay of biases and embeddings has no use."""
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    is_fused = graphed or others[0].device.type == "cpu"  # there it is three times as fast
    return AdamW(groups, lr=config.learning_rate, capturable=graphed, fused=is_fused or None)
