"""A student on the native engine. N atoms, E edges, B structures."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlff_distiller.checks import check_edges
from mlff_distiller.errors import ConfigError, DistillerError, StructureError
from mlff_distiller.export.artifact import Metadata, read_metadata
from mlff_distiller.graph import sum_atoms
from mlff_distiller.model.potential import Evaluation, Prediction
from mlff_distiller.native.library import Handle, Results, check, load_library
from mlff_distiller.units import virial_to_stress

_alive: weakref.WeakSet[NativePotential] = weakref.WeakSet()
SKIN = 0.5  # Å; a larger one is searched for less often, but visits more pairs in vain in every step


class NativePotential:
    """A loaded artifact on the CPU, as a `Potential` of given edges and as a fast function of positions.

    An object keeps the memory and the neighbour list of its last structure, so calls from several threads take turns. To
    compute at the same time, give each thread an object of its own.

    Args:
        path: File written by `mlff_distiller.export.torchscript.save_torchscript`.
        threads: Threads to share the work; results do not depend on their number. A forked process goes on with one.
        skin: Å, see `evaluate`.

    Raises:
        ArtifactError: The file is missing, damaged, of an unknown format, or older than the native engine.
        ConfigError: A number of threads or a skin out of range, or an instruction set in the environment variable
            MLFFD_ISA that this processor lacks.
        MissingDependencyError: The package was installed without its compiled part.
    """

    def __init__(self, path: str | Path, threads: int = 1, skin: float = SKIN) -> None:
        if not isinstance(skin, Real) or not 0.0 <= skin < math.inf:
            raise ConfigError(f"expected a finite skin of at least 0 Å, got {skin!r}")
        if not isinstance(threads, Integral):
            raise ConfigError(f"expected a whole number of threads, got {threads!r}")
        path = Path(path)
        self.path = path.resolve()  # copies must find it also from another folder
        self._arguments = (self.path, int(threads), float(skin))
        self._library = library = load_library()
        self.metadata: Metadata = read_metadata(path)
        self._model = Handle(lambda p: library.mlffd_load(str(path).encode(), p), library.mlffd_free)
        _, self.threads, self.skin = self._arguments
        self._system = self._new_system(self.threads)
        self._arrays = _Arrays(0)
        self._turn = threading.Lock()  # ctypes lets other threads run during a call
        _alive.add(self)

    def _new_system(self, threads: int) -> Handle:
        new, free = self._library.mlffd_system_new, self._library.mlffd_system_free
        return Handle(lambda p: new(self._model.address, threads, p), free)

    def _start_again_if_interrupted(self) -> None:
        # In a forked process: a thread that was in a call did not come along, and left a lock held and memory half written.
        if self._turn.locked():
            self._turn, self._arrays = threading.Lock(), _Arrays(0)
            self._system.forget()
            with suppress(DistillerError):  # without a system the next call says so
                self._system = self._new_system(1)

    def __reduce__(self) -> tuple[type, tuple[Path, int, float]]:
        """Copied and pickled as the file that it came from: every object has memory of its own."""
        return NativePotential, self._arguments

    @property
    def batched(self) -> NativePotential:
        """Itself: `compute` takes many structures at once."""
        return self

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.metadata.cutoff

    @property
    def isa(self) -> str:
        """The instruction set in use: portable, avx2 or avx512."""
        return self._library.mlffd_isa(self._model.address).decode()

    @property
    def n_neighbor_searches(self) -> int:
        """How often `evaluate` had to search for neighbours."""
        return self._library.mlffd_n_neighbor_searches(self._system.address)

    def evaluate(
        self,
        atomic_numbers: NDArray[np.integer[Any]],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> Evaluation:
        """Energy and derivatives of one structure, neighbours included.

        The neighbour list reaches ``skin`` beyond the cutoff and is kept from call to call, until an atom has moved by
        half the skin or anything but the positions changes.

        Args:
            atomic_numbers: (N,).
            positions: (N, 3) Å.
            cell: (3, 3) Å, rows are lattice vectors; those of open directions are ignored.
            pbc: (3,).

        Raises:
            StructureError: Shapes that do not fit, an unknown element, positions that are not finite, atoms on top of each
                other, a singular cell where pbc is set, or results that are not finite.
        """
        with self._turn:
            arrays = self._arrays
            if len(atomic_numbers) != arrays.n_atoms:
                arrays = self._arrays = _Arrays(len(atomic_numbers))
            if (positions.shape, cell.shape, pbc.shape) != ((arrays.n_atoms, 3), (3, 3), (3,)):
                raise StructureError(
                    f"expected positions ({arrays.n_atoms}, 3), cell (3, 3) and pbc (3,), "
                    f"got {positions.shape}, {cell.shape} and {pbc.shape}"
                )
            arrays.atomic_numbers[...] = _as_int32(atomic_numbers)
            arrays.positions[...] = positions
            arrays.cell[...] = cell
            arrays.pbc[...] = pbc
            status = self._library.mlffd_compute(
                self._system.address, *arrays.inputs, self.skin, arrays.results
            )
            if status:
                check(status)
            return Evaluation(
                arrays.energy.item(),
                arrays.forces.copy(),
                arrays.virial.copy(),
                arrays.atomic_energies.copy(),
                arrays.force_spread.copy() if self.metadata.n_members > 1 else None,
            )

    def compute(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        """See `StudentForceField.compute`; results are on the CPU.

        Raises:
            StructureError: Shapes that do not fit, an unknown element, atoms on top of each other, or results that are not
                finite.
        """
        return self.compute_with_spread(atomic_numbers, edge_index, edge_vec, batch, cell)[0]

    def compute_with_spread(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> tuple[Prediction, Tensor]:
        """The same, and the spread of a committee's forces (N,) eV/Å; zero of a single student."""
        check_edges(atomic_numbers.shape[0], edge_index, edge_vec, batch)
        z = torch.from_numpy(_as_int32(atomic_numbers.detach().cpu().numpy())).contiguous()
        edges = edge_index.detach().to("cpu", torch.int64).contiguous()
        vectors = edge_vec.detach().to("cpu", torch.float64).contiguous()
        batch, cell = batch.cpu(), cell.detach().to("cpu", torch.float64)
        n_atoms, n_edges = z.shape[0], vectors.shape[0]
        forces = torch.zeros(n_atoms, 3, dtype=torch.float64)
        atomic_energies = torch.zeros(n_atoms, dtype=torch.float64)
        atomic_virials = torch.zeros(n_atoms, 3, 3, dtype=torch.float64)
        force_spread = torch.zeros(n_atoms, dtype=torch.float64)
        results = Results(
            forces=forces.data_ptr(),
            atomic_energies=atomic_energies.data_ptr(),
            atomic_virials=atomic_virials.data_ptr(),
            force_spread=force_spread.data_ptr(),
        )
        with self._turn:
            check(
                self._library.mlffd_compute_edges(
                    self._system.address,
                    n_atoms,
                    z.data_ptr(),
                    n_edges,
                    edges[0].data_ptr(),
                    edges[1].data_ptr(),
                    vectors.data_ptr(),
                    ctypes.byref(results),
                )
            )
        n_structures = cell.shape[0]
        energy = sum_atoms(atomic_energies, batch, n_structures)
        virial = sum_atoms(atomic_virials, batch, n_structures)
        prediction = Prediction(energy, forces, virial, virial_to_stress(virial, cell), atomic_energies)
        return prediction, force_spread


def _as_int32(atomic_numbers: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Never another number: a cast would wrap 2³² + 1 to hydrogen, and cut 1.9 to it."""
    numbers = np.asarray(atomic_numbers)
    narrow = numbers.astype(np.int32, copy=False)
    if numbers.dtype.kind not in "iu" or np.any(narrow != numbers):
        raise StructureError(
            f"expected atomic numbers as whole numbers of at most 32 bits, got {numbers.dtype}"
        )
    return narrow


class _Arrays:
    """Arrays at fixed addresses, so that a step passes pointers that were made once."""

    def __init__(self, n_atoms: int) -> None:
        self.n_atoms = n_atoms
        self.atomic_numbers = np.zeros(n_atoms, dtype=np.int32)
        self.positions = np.zeros((n_atoms, 3))
        self.cell = np.zeros((3, 3))
        self.pbc = np.zeros(3, dtype=np.int32)
        self.energy = np.zeros(())
        self.forces = np.zeros((n_atoms, 3))
        self.virial = np.zeros((3, 3))
        self.atomic_energies = np.zeros(n_atoms)
        self.force_spread = np.zeros(n_atoms)
        self.inputs = (
            n_atoms,
            *(
                ctypes.c_void_p(array.ctypes.data)
                for array in (self.atomic_numbers, self.positions, self.cell, self.pbc)
            ),
        )
        self._results = Results(
            energy=self.energy.ctypes.data,
            forces=self.forces.ctypes.data,
            virial=self.virial.ctypes.data,
            atomic_energies=self.atomic_energies.ctypes.data,
            force_spread=self.force_spread.ctypes.data,
        )
        self.results = ctypes.byref(self._results)


def _after_fork() -> None:
    for potential in list(_alive):
        potential._start_again_if_interrupted()


os.register_at_fork(after_in_child=_after_fork)
