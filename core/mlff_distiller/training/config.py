"""Settings of a training run."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlff_distiller.configuration import STRICT

MACHINE_SETTINGS = (
    "native",
    "compile",
    "cuda_graphs",
    "max_atoms",
    "checkpoint_minutes",
    "threads",
    "accelerator",
    "devices",
)


@dataclass(frozen=True, config=STRICT)
class LossConfig:
    """Weights of the loss: w_E · Huber(ΔE/N)/δ + w_F · mean |ΔF| + w_H · mean |Δ(Hv)|, in eV and Å.

    Attributes:
        energy_weight: w_E; 5.
        final_energy_weight: w_E in the last quarter, when the forces have settled; 50.
        force_weight: w_F; 100.
        huber_delta: δ, eV per atom; 0.01.
        hessian_weight: w_H, of errors in eV/Å²; 0. Needs ``data.hessian_pairs``.
        hessian_pairs: Pairs of frames in a step; 4.
    """

    energy_weight: float = Field(default=5.0, ge=0)
    final_energy_weight: float = Field(default=50.0, ge=0)
    force_weight: float = Field(default=100.0, ge=0)
    huber_delta: float = Field(default=0.01, gt=0)
    hessian_weight: float = Field(default=0.0, ge=0)
    hessian_pairs: int = Field(default=4, ge=1)


@dataclass(frozen=True, config=STRICT)
class OptimizerConfig:
    """Linear warm-up and cosine decay to zero.

    Attributes:
        kind: ``adamw`` (the default), or ``muon`` for the matrices between features and AdamW for the rest: fewer steps to the
            same error, but take a weight decay of 0.1 with it (docs/training.md).
        learning_rate: Highest; 0.001.
        weight_decay: Of the matrices; 1e-6.
        warmup: Fraction of all steps; 0.02.
        gradient_clip: Largest norm over all parameters; 10.
        ema_decay: Per step, of the average that is evaluated and exported; 0.999.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-6, ge=0)
    warmup: float = Field(default=0.02, ge=0, lt=1)
    gradient_clip: float = Field(default=10.0, gt=0)
    ema_decay: float = Field(default=0.999, gt=0, lt=1)


@dataclass(frozen=True, config=STRICT)
class TrainingConfig:
    """One training run. The same values, data and machine give the same weights on one CPU thread.

    Attributes:
        epochs: Passes over the training data; 100.
        batch_size: Structures; 16.
        seed: Of the order of the structures; 0.
        loss: Weights of the loss.
        optimizer: How weights change.
        native: On a CPU, by the native engine: some ten times faster than plain torch; true.
        compile: Elsewhere, or without the native engine, by torch.compile: about half a minute once, then some three times
            faster than plain torch on a CPU; true.
        cuda_graphs: On one GPU, with ``compile`` and without a curvature term: several times faster again; true.
        validate_every: Epochs; 1.
        max_atoms: Atoms held at once in validation; 1024.
        checkpoint_minutes: Between checkpoints, also within an epoch; 2.
        threads: Of a CPU; none leaves torch's choice.
        accelerator: auto (the default: a GPU where there is one), cpu, cuda or mps.
        devices: Their number (1), or "auto" under torchrun.
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=16, ge=1)
    seed: int = Field(default=0, ge=0)
    loss: LossConfig = Field(default_factory=LossConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    native: bool = True
    compile: bool = True
    cuda_graphs: bool = True
    validate_every: int = Field(default=1, ge=1)
    max_atoms: int = Field(default=1024, ge=1)
    checkpoint_minutes: float = Field(default=2.0, gt=0)
    threads: int | None = Field(default=None, ge=1)
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int | str = 1

    def without_machine(self) -> TrainingConfig:
        """The same run wherever it is computed: a run may go on with other values of the rest."""
        default = TrainingConfig()
        return replace(self, **{name: getattr(default, name) for name in MACHINE_SETTINGS})
