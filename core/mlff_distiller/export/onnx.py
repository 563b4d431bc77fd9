"""ONNX with forces, and the only file that knows it.

Inputs: atomic_numbers (N,) int64, edge_index (2, E) int64, edge_vec (E, 3) float32 Å, batch (N,) int64, cell (B, 3, 3)
float64 Å; outputs: the fields of `Prediction`, float64. N, E and B are free. ONNX cannot raise errors: for an element that
the student does not know, the energy is NaN.

The gradient is made part of the graph by tracing energy and derivative together (``make_fx``) before the export, since exporting
a module that calls ``autograd.grad`` fails.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._decomp import get_decompositions

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.checks import check_distances, check_edges, check_results, check_species
from mlff_distiller.errors import ArtifactError, require
from mlff_distiller.export.artifact import Metadata, parse_metadata
from mlff_distiller.graph import Graph
from mlff_distiller.model.potential import Prediction, StudentForceField, edge_gradient
from mlff_distiller.tracing import trace

if TYPE_CHECKING:
    import onnx

INPUTS = Graph._fields
OUTPUTS = Prediction._fields
PROPERTY = "mlff_distiller"  # key of the metadata in the model's properties


class OnnxPotential:
    """An ONNX model in ONNX Runtime, on the CPU.

    Args:
        path: File written by `save_onnx`.
        threads: CPU threads; None leaves the choice to ONNX Runtime, which takes all cores.

    Raises:
        ArtifactError: The file is missing, damaged, or was not exported by this package.
        MissingDependencyError: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        runtime, path = require("onnxruntime", extra="onnx"), Path(path)
        if not path.exists():
            raise ArtifactError(f"there is no artifact {path}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # its own word for "you choose"
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no common base class for its errors
            raise ArtifactError(f"{path} is not an ONNX model, or it is damaged: {error}") from None
        properties = self.session.get_modelmeta().custom_metadata_map
        self.metadata: Metadata = parse_metadata(properties.get(PROPERTY, "{}"), str(path))
        self._known = torch.tensor(self.metadata.architecture["elements"])

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.metadata.cutoff

    def compute(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        """See `StudentForceField.compute`."""
        known = torch.isin(atomic_numbers.cpu(), self._known)
        check_species(known.long() - 1, atomic_numbers, " ".join(self.metadata.elements))
        check_edges(atomic_numbers.shape[0], edge_index, edge_vec, batch)
        check_distances(edge_index, edge_vec)
        inputs = dict(
            zip(INPUTS, (atomic_numbers, edge_index, edge_vec.float(), batch, cell.double()), strict=True)
        )
        outputs: list[np.ndarray] = self.session.run(
            None, {name: x.cpu().numpy() for name, x in inputs.items()}
        )
        prediction = Prediction(*(torch.from_numpy(np.asarray(x)) for x in outputs))
        check_results(prediction.energy, prediction.forces)
        return prediction


def save_onnx(path: Path, student: StudentForceField, metadata: Metadata, example: Graph) -> None:
    """Export energy and derivatives, check the model, and write it, all or nothing.

    Args:
        path: The file.
        student: float32.
        metadata: Stored as a property of the model.
        example: Any graph with at least two structures and two edges, to trace with.

    Raises:
        ArtifactError: ``onnx.checker`` refuses the model.
        MissingDependencyError: onnx or onnxscript is not installed.
    """
    checker = require("onnx.checker", extra="onnx")
    require("onnxscript", extra="onnx")
    model = _onnx_model(student, example)
    properties = model.metadata_props.add()
    properties.key, properties.value = PROPERTY, json.dumps(json.loads(metadata.to_json()))
    try:
        checker.check_model(model, full_check=True)
    except checker.ValidationError as error:
        raise ArtifactError(f"the exported ONNX model of {metadata.name} is not valid: {error}") from error
    replace_file(path, [model.SerializeToString()])


class _Derivatives(nn.Module):
    """`StudentForceField.compute` without the checks, whose branches on data no tracer can follow."""

    unknown: Tensor

    def __init__(self, student: StudentForceField) -> None:
        super().__init__()
        self.student = student
        table = torch.full((student.max_z + 1,), torch.nan, dtype=torch.float64)
        table[student.elements] = 0.0
        self.register_buffer("unknown", table)  # (max_z + 1,) NaN for elements that the student does not know

    def forward(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        species = self.student.species_of[atomic_numbers].clamp(min=0)
        vectors = edge_vec.detach().requires_grad_(True)
        e = self.student.interaction_energies(species, edge_index, vectors)
        gradient = edge_gradient(e, vectors)
        poisoned = e.double() + self.unknown[atomic_numbers]
        return self.student.assemble(poisoned, gradient, species, edge_index, vectors, batch, cell)


def _onnx_model(student: StudentForceField, example: Graph) -> onnx.ModelProto:
    inputs = tuple(example._replace(edge_vec=example.edge_vec.float(), cell=example.cell.double()))
    function = _Derivatives(student).eval()
    aten = torch.ops.aten
    decompositions = {
        **get_decompositions([aten.silu_backward, aten.embedding_dense_backward]),
        aten.index_add.default: _index_add,
        aten.index_put.default: _index_put,
    }
    traced = trace(lambda *x: tuple(function(*x)), *inputs, decompositions=decompositions)
    atoms, edges, structures = (torch.export.Dim(name) for name in ("n_atoms", "n_edges", "n_structures"))
    shapes: dict[str, Any] = {
        "atomic_numbers": {0: atoms},
        "edge_index": {1: edges},
        "edge_vec": {0: edges},
        "batch": {0: atoms},
        "cell": {0: structures},
    }
    with torch.no_grad(), _quiet():
        program = torch.export.export(_Named(traced), inputs, dynamic_shapes=shapes)
        exported = torch.onnx.export(
            program, dynamo=True, input_names=list(INPUTS), output_names=list(OUTPUTS), verbose=False
        )
    assert exported is not None  # only a call with a file name returns None
    return exported.model_proto


# Sums over edges would become ScatterND with reduction="add", which is not safe in ONNX Runtime (1.31) with several threads:
# of the rows that go to one atom some get lost, now and then. ScatterElements is safe.


def _index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    rows = index.reshape([-1] + [1] * (source.ndim - 1)).expand_as(source)
    return x.scatter_add(dim, rows, source)


def _index_put(x: Tensor, indices: list[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    assert accumulate  # as the gradient of x[j] does, from which alone the student has this operator
    (index,) = indices
    return _index_add(x, 0, index, values)


class _Named(nn.Module):
    """Gives the traced function's inputs their names."""

    def __init__(self, traced: nn.Module) -> None:
        super().__init__()
        self.traced = traced

    def forward(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> tuple[Tensor, ...]:
        return self.traced(atomic_numbers, edge_index, edge_vec, batch, cell)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its steps and warns of its own internals; errors still come through."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
