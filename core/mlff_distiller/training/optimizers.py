"""Which weights are trained by which optimiser."""

from __future__ import annotations

from torch.optim import AdamW, Optimizer

from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.training.config import OptimizerConfig
from mlff_distiller.training.muon import Muon


def make_optimizers(student: StudentForceField, config: OptimizerConfig, graphed: bool) -> list[Optimizer]:
    """Muon for matrices between features; AdamW, without decay, for biases, embeddings and the row that gives the energy.

    Args:
        student: Whose weights they change.
        config: Settings.
        graphed: Whether their steps are to be recorded as a CUDA graph.
    """
    by_species = ("embedding", "initial_message.phi")  # a row for each element: not a map between features
    matrices = [
        weight
        for name, weight in student.named_parameters()
        if weight.ndim == 2 and min(weight.shape) > 1 and not any(part in name for part in by_species)
    ]
    chosen = {id(matrix) for matrix in matrices}
    others = [weight for weight in student.parameters() if id(weight) not in chosen]
    rate = config.learning_rate
    return [
        Muon(matrices, rate, config.weight_decay),
        AdamW(others, rate, weight_decay=0.0, capturable=graphed, fused=True if graphed else None),
    ]
