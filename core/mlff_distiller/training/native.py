"""Energies and forces for training in the native engine: hand-written passes instead of automatic differentiation.

The four passes (forward, reverse, tangents, and the reverse of these) are derived in docs/native_training.md.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_int, c_int32, c_int64, c_void_p
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mlff_distiller.errors import ConfigError, MissingDependencyError
from mlff_distiller.graph import sum_atoms
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.native.library import Handle, check, load_library


class _Sizes(ctypes.Structure):
    """``mlffd_training_sizes``."""

    _fields_ = (
        ("n_features", c_int32),
        ("n_interactions", c_int32),
        ("n_rbf", c_int32),
        ("n_species", c_int32),
        ("cutoff", c_double),
        ("message_scale", c_double),
        ("energy_scale", c_double),
        ("charge", c_void_p),
        ("charge_power", c_void_p),
        ("radius", c_void_p),
        ("amplitudes", c_void_p),
        ("exponents", c_void_p),
    )


class _Batch(ctypes.Structure):
    """``mlffd_training_batch``."""

    _fields_ = (
        ("n_atoms", c_int64),
        ("n_edges", c_int64),
        ("species", c_void_p),
        ("structures", c_void_p),
        ("receivers", c_void_p),
        ("senders", c_void_p),
        ("edge_vec", c_void_p),
    )


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "mlffd_training_new": (c_int, [POINTER(_Sizes), c_int, POINTER(c_void_p)]),
    "mlffd_training_free": (None, [c_void_p]),
    "mlffd_training_forward": (c_int, [c_void_p, c_void_p, POINTER(_Batch), c_void_p, c_void_p]),
    "mlffd_training_backward": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p]),
}


def _library() -> ctypes.CDLL:
    library = load_library()
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise MissingDependencyError(
                "the native engine was built before it could train; install the package again"
            ) from None
        function.restype, function.argtypes = result, arguments
    return library


class NativeEnergyForces(nn.Module):
    """The same numbers as `EnergyForces`, by the native engine on the threads of torch.

    In training mode both are differentiable, once, in the student's parameters; after ``eval()`` nothing is kept for that.

    Args:
        student: On a CPU, in float32; its scales are final. Its parameters stay where they are.

    Raises:
        ConfigError: Another device or dtype.
        MissingDependencyError: The package was installed without its compiled part, or with an older one.
    """

    def __init__(self, student: StudentForceField) -> None:
        super().__init__()
        parameters = list(student.parameters())
        if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
            raise ConfigError("native training needs a student in float32 on a CPU")
        _library()
        self.student = student
        self._idle: list[_Step] = []  # a step keeps its memory, and the threads their stacks

    def forward(
        self, species: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, n_atoms: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `EnergyForces.forward`."""
        step = self._idle.pop() if self._idle else _Step(self.student)
        inputs, parameters = (species, edge_index, edge_vec, batch), tuple(self.student.painn.parameters())
        if self.training and torch.is_grad_enabled():
            energies, forces = _Passes.apply(step, self._idle, inputs, *parameters)
        else:
            energies, forces = step.forward(parameters, *inputs)
            self._idle.append(step)
        return sum_atoms(energies, batch, n_atoms.shape[0]), forces


class _Passes(torch.autograd.Function):
    """Interaction energies (N,) and forces (N, 3) of a batch, from the parameters of a network."""

    @staticmethod
    def forward(
        ctx: Any, step: _Step, idle: list[_Step], inputs: tuple[Tensor, ...], *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.step, ctx.idle = step, idle
        return step.forward(parameters, *inputs)

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

    def __init__(self, student: StudentForceField) -> None:
        library = _library()
        repulsion = student.repulsion
        arrays = [
            tensor.double().contiguous()
            for tensor in (
                repulsion.charge,
                repulsion.charge_power,
                repulsion.radius,
                repulsion.amplitudes,
                repulsion.exponents,
            )
        ]
        sizes = _Sizes(
            student.n_features,
            student.n_interactions,
            student.n_rbf,
            len(student.elements),
            student.cutoff,
            float(student.painn.message_scale),
            float(student.energy_scale),
            *(array.data_ptr() for array in arrays),
        )
        n_threads = torch.get_num_threads()
        super().__init__(
            lambda address: library.mlffd_training_new(ctypes.byref(sizes), n_threads, address),
            library.mlffd_training_free,
        )
        self._library = library
        self._shapes = [parameter.shape for parameter in student.painn.parameters()]

    def forward(
        self,
        parameters: tuple[Tensor, ...],
        species: Tensor,
        edge_index: Tensor,
        edge_vec: Tensor,
        structures: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Interaction energies (N,) and forces (N, 3)."""
        kept = [parameter.detach().contiguous() for parameter in parameters]
        species, edge_index, structures = (
            species.contiguous(),
            edge_index.contiguous(),
            structures.contiguous(),
        )
        edge_vec = edge_vec.detach().contiguous()
        n_atoms, n_edges = len(species), len(edge_vec)
        energies, forces = torch.empty(n_atoms), torch.empty(n_atoms, 3)
        batch = _Batch(
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
                self.address, _addresses(kept), ctypes.byref(batch), energies.data_ptr(), forces.data_ptr()
            )
        )
        return energies, forces

    def backward(self, grad_energies: Tensor, grad_forces: Tensor) -> list[Tensor]:
        """Gradients of the parameters, from those of the energies (N,) and forces (N, 3) of the last `forward`."""
        gradients = [torch.empty(shape) for shape in self._shapes]
        grad_energies, grad_forces = grad_energies.contiguous(), grad_forces.contiguous()
        check(
            self._library.mlffd_training_backward(
                self.address, grad_energies.data_ptr(), grad_forces.data_ptr(), _addresses(gradients)
            )
        )
        return gradients


def _addresses(tensors: list[Tensor]) -> ctypes.Array[c_void_p]:
    return (c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
