"""What dynamics asks of a student: one structure, step after step, neighbours included.  N atoms.

`Potential.compute` is the seam for engines that bring edges. Engines that bring positions (ASE, OpenMM's PythonForce) get a
`StructurePotential`: the native engine with its own neighbour list, or TorchScript behind a `VerletPotential`.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlff_distiller.errors import ConfigError
from mlff_distiller.export.artifact import Metadata
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.model.potential import Evaluation, Potential, Prediction
from mlff_distiller.native import SKIN, NativePotential, is_built
from mlff_distiller.registry import artifact_path, load
from mlff_distiller.verlet import VerletList

__all__ = [
    "BACKENDS",
    "SKIN",
    "BatchedPotential",
    "StructurePotential",
    "VerletPotential",
    "load_for_dynamics",
    "single_evaluation",
]

BACKENDS = ("auto", "native", "torch")


class BatchedPotential(Potential, Protocol):
    """A loaded artifact as a function of edges."""

    @property
    def metadata(self) -> Metadata:
        """Of the artifact."""
        ...

    def compute_with_spread(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> tuple[Prediction, Tensor]:
        """Of a committee: the mean, and the spread of the forces (N,) eV/Å; arguments as for `compute`."""
        ...


class StructurePotential(Protocol):
    """A function of positions that remembers its last neighbour list."""

    @property
    def metadata(self) -> Metadata:
        """Of the artifact."""
        ...

    @property
    def batched(self) -> BatchedPotential:
        """The same student as a function of edges, for many structures at once."""
        ...

    @property
    def n_neighbor_searches(self) -> int:
        """How often `evaluate` had to search for neighbours."""
        ...

    def evaluate(
        self,
        atomic_numbers: NDArray[np.integer[Any]],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> Evaluation:
        """Energy and derivatives of a structure: (N,), (N, 3) Å, (3, 3) Å and (3,)."""
        ...


class VerletPotential:
    """A TorchScript student with a neighbour list that is made anew only when it must be.

    Calls from several threads take turns, since they share the list.

    Args:
        potential: From `mlff_distiller.load`.
        skin: Å, see `VerletList`.
    """

    def __init__(self, potential: TorchScriptPotential, skin: float) -> None:
        self.potential = potential
        self.neighbors = VerletList(potential.cutoff, skin)
        self._turn = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[TorchScriptPotential, float]]:
        """Copied and pickled without the list and the lock."""
        return VerletPotential, (self.potential, self.neighbors.skin)

    @property
    def metadata(self) -> Metadata:
        """Of the artifact."""
        return self.potential.metadata

    @property
    def batched(self) -> BatchedPotential:
        """The student as a function of edges."""
        return self.potential

    @property
    def n_neighbor_searches(self) -> int:
        """How often `evaluate` had to search for neighbours."""
        return self.neighbors.n_searches

    def evaluate(
        self,
        atomic_numbers: NDArray[np.integer[Any]],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> Evaluation:
        """See `StructurePotential`.

        Raises:
            StructureError: The student cannot evaluate the structure.
        """
        with self._turn:
            graph = self.neighbors.graph(
                torch.from_numpy(np.asarray(atomic_numbers, dtype=np.int64)),
                torch.from_numpy(np.array(positions, dtype=np.float64)),
                torch.from_numpy(np.array(cell, dtype=np.float64)),
                torch.from_numpy(np.array(pbc, dtype=bool)),
            )
        if self.metadata.n_members == 1:
            return single_evaluation(self.potential.compute(*graph))
        prediction, spread = self.potential.compute_with_spread(*graph)
        return single_evaluation(prediction)._replace(force_spread=spread.cpu().numpy())


def single_evaluation(prediction: Prediction) -> Evaluation:
    """A batch of one structure as an `Evaluation`."""
    return Evaluation(
        prediction.energy.item(),
        prediction.forces.cpu().numpy(),
        prediction.virial[0].cpu().numpy(),
        prediction.atomic_energies.cpu().numpy(),
    )


def load_for_dynamics(
    source: str | Path,
    device: str = "cpu",
    dtype: str = "float32",
    skin: float = SKIN,
    backend: str = "auto",
    threads: int = 1,
) -> StructurePotential:
    """A student that is ready for dynamics.

    Args:
        source: A shipped name or the path of an artifact.
        device: Any torch device.
        dtype: ``float32`` or ``float64``, of the network.
        skin: Å.
        backend: ``native`` (CPU, float32), ``torch``, or ``auto``: native where it can.
        threads: Of the native engine.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: Unknown backend, dtype or device, or one that the backend has not.
        MissingDependencyError: The native engine was asked for, and this installation lacks it.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")
    suits_native = device == "cpu" and dtype == "float32"
    if backend == "native" and not suits_native:
        raise ConfigError(
            f"the native engine computes in float32 on the CPU, not in {dtype} on {device}; choose backend='torch'"
        )
    if backend == "native" or (backend == "auto" and suits_native and is_built()):
        return NativePotential(artifact_path(source), threads, skin)
    return VerletPotential(load(source, device, dtype), skin)
