"""Energies and forces for training in the native engine: hand-written passes instead of automatic differentiation.

The four passes (forward, reverse, tangents, and the reverse of these) are derived in docs/native_training.md.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_int, c_int32, c_int64, c_void_p
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mlff_distiller.errors import ConfigError, MissingDependencyError
from mlff_distiller.graph import sum_atoms
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.native.library import Handle, Signature, check, declare, load_library

VERSION = 1  # MLFFD_TRAINING_VERSION of the header that these declarations follow


class _Sizes(ctypes.Structure):
    """``mlffd_training_sizes``."""

    _fields_ = (
        ("n_features", c_int32),
        ("n_message_passes", c_int32),
        ("n_rbf", c_int32),
        ("n_species", c_int32),
        ("cutoff", c_double),
        ("charge", c_void_p),
        ("charge_power", c_void_p),
        ("radius", c_void_p),
        ("amplitudes", c_void_p),
        ("exponents", c_void_p),
    )


class _Batch(ctypes.Structure):
    """``mlffd_training_batch``."""

    _fields_ = (
        ("message_scale", c_double),
        ("energy_scale", c_double),
        ("n_atoms", c_int64),
        ("n_edges", c_int64),
        ("species", c_void_p),
        ("structures", c_void_p),
        ("receivers", c_void_p),
        ("senders", c_void_p),
        ("edge_vec", c_void_p),
    )


_SIGNATURES: dict[str, Signature] = {
    "mlffd_training_version": (c_int, []),
    "mlffd_training_new": (c_int, [POINTER(_Sizes), c_int, c_int, POINTER(c_void_p)]),
    "mlffd_training_free": (None, [c_void_p]),
    "mlffd_training_forward": (c_int, [c_void_p, c_void_p, POINTER(_Batch), c_void_p, c_void_p]),
    "mlffd_training_backward": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
}


def _library() -> ctypes.CDLL:
    library = load_library()
    try:
        declare(library, _SIGNATURES)
        is_known = library.mlffd_training_version() == VERSION
    except AttributeError:
        is_known = False
    if not is_known:
        raise MissingDependencyError(
            "the native engine was built with another version of its training; install the package again"
        )
    return library


class NativeEnergyForces(nn.Module):
    """The same numbers as `EnergyForces`, by the native engine: interaction energies (B,) eV and forces (N, 3) eV/Å in float32.

    In training mode both are differentiable, once, in the student's parameters; after ``eval()`` they are not.

    Args:
        student: Its parameters stay where they are.
        n_threads: That share out the structures. Let torch have one then: its threads go on spinning for milliseconds after
            they have worked, on the cores of these.

    Raises:
        MissingDependencyError: The package was installed without its compiled part, or with an older one.
    """

    def __init__(self, student: StudentForceField, n_threads: int = 1) -> None:
        super().__init__()
        _library()
        self.student, self.n_threads = student, n_threads
        self._idle: list[_Step] = []  # steps keep their memory and threads from batch to batch

    def forward(
        self, species: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, n_atoms: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `EnergyForces.forward`.

        Raises:
            ConfigError: Parameters or edge vectors that are not in float32, tensors that are not on a CPU or do not fit, or
                structures that do not follow one another.
        """
        parameters = tuple(self.student.painn.parameters())
        inputs = _Inputs(species, edge_index, edge_vec, batch)
        _check(inputs, parameters)
        step = self._idle.pop() if self._idle else _Step(self.student, self.n_threads)
        if self.training and torch.is_grad_enabled() and any(p.requires_grad for p in parameters):
            energies, forces = _Passes.apply(step, self._idle, inputs, *parameters)
        else:
            energies, forces = step.forward(parameters, inputs)
            self._idle.append(step)
        return sum_atoms(energies, batch, n_atoms.shape[0]), forces


class _Inputs(NamedTuple):
    species: Tensor  # (N,) int64
    edge_index: Tensor  # (2, E) int64
    edge_vec: Tensor  # (E, 3) float32
    structures: Tensor  # (N,) int64


def _check(inputs: _Inputs, parameters: tuple[Tensor, ...]) -> None:
    """The engine reads memory as it is told to: everything must be what it seems."""
    real, whole = [inputs.edge_vec, *parameters], [inputs.species, inputs.edge_index, inputs.structures]
    if any(t.device.type != "cpu" for t in (*real, *whole)) or any(t.dtype != torch.float32 for t in real):
        raise ConfigError("native training needs a student and its batches in float32 on a CPU")
    n_edges = len(inputs.edge_vec)
    if (
        any(t.dtype != torch.int64 for t in whole)
        or inputs.species.ndim != 1
        or inputs.structures.shape != inputs.species.shape
        or inputs.edge_index.shape != (2, n_edges)
        or inputs.edge_vec.shape != (n_edges, 3)
    ):
        raise ConfigError(
            "expected int64 species (N,), edge_index (2, E), edge_vec (E, 3) and int64 structures (N,), got "
            + ", ".join(f"{t.dtype} {tuple(t.shape)}" for t in inputs)
        )


class _Passes(torch.autograd.Function):
    """Interaction energies (N,) and forces (N, 3) of a batch, from the parameters of a network."""

    @staticmethod
    def forward(
        ctx: Any, step: _Step, idle: list[_Step], inputs: _Inputs, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.step, ctx.idle = step, idle
        return step.forward(parameters, inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_energies: Tensor, grad_forces: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.step is None:
            raise RuntimeError("the gradients of a native step can be taken once")
        gradients = ctx.step.backward(grad_energies, grad_forces)
        ctx.idle.append(ctx.step)
        ctx.step = None
        return None, None, None, *gradients


class _Step(Handle):
    """``mlffd_training_step``: memory for one batch, from its forward to its backward pass."""

    def __init__(self, student: StudentForceField, n_threads: int) -> None:
        library, zbl = _library(), student.repulsion
        constants = [
            tensor.double().contiguous()
            for tensor in (zbl.charge, zbl.charge_power, zbl.radius, zbl.amplitudes, zbl.exponents)
        ]
        sizes = _Sizes(
            student.n_features,
            student.n_interactions,
            student.n_rbf,
            len(student.elements),
            student.cutoff,
            *(tensor.data_ptr() for tensor in constants),
        )
        self._shapes = [parameter.shape for parameter in student.painn.parameters()]
        super().__init__(
            lambda address: library.mlffd_training_new(
                ctypes.byref(sizes), len(self._shapes), n_threads, address
            ),
            library.mlffd_training_free,
        )
        self._library, self._student = library, student

    def forward(self, parameters: tuple[Tensor, ...], inputs: _Inputs) -> tuple[Tensor, Tensor]:
        """Interaction energies (N,) and forces (N, 3)."""
        weights = [parameter.detach().contiguous() for parameter in parameters]
        species, edge_index, edge_vec, structures = (tensor.detach().contiguous() for tensor in inputs)
        n_atoms, n_edges = len(species), len(edge_vec)
        energies, forces = _empty(n_atoms), _empty(n_atoms, 3)
        batch = _Batch(
            float(self._student.painn.message_scale),
            float(self._student.energy_scale),
            n_atoms,
            n_edges,
            species.data_ptr(),
            structures.data_ptr(),
            edge_index.data_ptr(),
            edge_index.data_ptr() + n_edges * edge_index.element_size(),
            edge_vec.data_ptr(),
        )
        check(
            self._library.mlffd_training_forward(
                self.address, _addresses(weights), ctypes.byref(batch), energies.data_ptr(), forces.data_ptr()
            )
        )
        return energies, forces

    def backward(self, grad_energies: Tensor, grad_forces: Tensor) -> list[Tensor]:
        """Gradients of the parameters, from those of the energies (N,) and forces (N, 3) of the last `forward`."""
        gradients = [_empty(*shape) for shape in self._shapes]
        grad_energies, grad_forces = grad_energies.contiguous(), grad_forces.contiguous()
        check(
            self._library.mlffd_training_backward(
                self.address, grad_energies.data_ptr(), grad_forces.data_ptr(), _addresses(gradients)
            )
        )
        return gradients


def _empty(*shape: int) -> Tensor:
    """Whatever torch's default dtype and device are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def _addresses(tensors: list[Tensor]) -> ctypes.Array[c_void_p]:
    return (c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
