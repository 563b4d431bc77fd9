"""Settings of a training run."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlff_distiller.configuration import STRICT

MACHINE_SETTINGS = ("compile", "cuda_graphs", "max_atoms", "checkpoint_minutes", "threads", "accelerator")


@dataclass(frozen=True, config=STRICT)
class LossConfig:
    """Weights of the loss: w_E · Huber(ΔE/N)/δ + w_F · mean |ΔF| + w_H · mean |Δ(Hv)|, in eV and Å."""

    energy_weight: float = Field(default=5.0, ge=0)
    final_energy_weight: float = Field(
        default=50.0, ge=0
    )  # in the last quarter, when the forces have settled
    force_weight: float = Field(default=100.0, ge=0)
    huber_delta: float = Field(default=0.01, gt=0)  # eV per atom
    hessian_weight: float = Field(default=0.0, ge=0)  # of mean |Δ(Hv)| in eV/Å²; needs data.hessian_pairs
    hessian_pairs: int = Field(default=4, ge=1)  # pairs of frames in a step


@dataclass(frozen=True, config=STRICT)
class OptimizerConfig:
    """Muon and AdamW (see `optimizers`) with linear warm-up and cosine decay to zero."""

    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-6, ge=0)
    warmup: float = Field(default=0.02, ge=0, lt=1)  # fraction of all steps
    gradient_clip: float = Field(default=10.0, gt=0)  # norm over all parameters
    ema_decay: float = Field(
        default=0.999, gt=0, lt=1
    )  # per step; the average is what is evaluated and exported


@dataclass(frozen=True, config=STRICT)
class TrainingConfig:
    """One training run. The same values, data and machine give the same weights on one CPU thread."""

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=16, ge=1)  # structures
    seed: int = Field(default=0, ge=0)
    loss: LossConfig = Field(default_factory=LossConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    compile: bool = True  # torch.compile: about half a minute once, then some three times faster on a CPU
    cuda_graphs: bool = (
        True  # on one GPU, with compile and without a curvature term: several times faster again
    )
    validate_every: int = Field(default=1, ge=1)  # epochs
    max_atoms: int = Field(default=1024, ge=1)  # atoms held at once in validation
    checkpoint_minutes: float = Field(default=2.0, gt=0)  # also within an epoch
    threads: int | None = Field(default=None, ge=1)  # CPU threads; None leaves torch's choice
    accelerator: str = "auto"  # as in Lightning Fabric: auto, cpu, cuda, mps
    devices: int | str = 1  # number of devices, or "auto" under torchrun

    def without_machine(self) -> TrainingConfig:
        """The same run wherever it is computed: a run may go on with other values of the rest."""
        default = TrainingConfig()
        return replace(self, **{name: getattr(default, name) for name in MACHINE_SETTINGS})
