"""Edits of an ONNX graph that change its size and not its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlff_distiller.errors import require

if TYPE_CHECKING:
    import onnx

PRODUCTS = ("MatMul", "Gemm")
MIN_ELEMENTS = 256  # smaller matrices, such as the last row of the readout, stay as they are


def products(model: onnx.ModelProto) -> list[str]:
    """Names of the constant matrices that products use, directly or transposed, in the order of their first use."""
    original = {name: name for name in _large_matrices(model)}
    found: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type == "Transpose" and node.input[0] in original:
            original[node.output[0]] = original[node.input[0]]
        elif node.op_type in PRODUCTS and node.input[1] in original:
            found[original[node.input[1]]] = None
    return list(found)


def tables(model: onnx.ModelProto) -> list[str]:
    """Names of the constant matrices of which rows are taken by species."""
    large = _large_matrices(model)
    taken = (node.input[0] for node in model.graph.node if node.op_type == "Gather")
    return list(dict.fromkeys(name for name in taken if name in large))


def _large_matrices(model: onnx.ModelProto) -> set[str]:
    float32 = require("onnx", extra="onnx").TensorProto.FLOAT
    return {
        tensor.name
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type == float32 and np.prod(tensor.dims) >= MIN_ELEMENTS
    }


def store_transposes_once(model: onnx.ModelProto) -> onnx.ModelProto:
    """Where a constant matrix is the transpose of another, compute it from that one."""
    helper = require("onnx.helper", extra="onnx")
    to_array = require("onnx.numpy_helper", extra="onnx").to_array
    kept: dict[tuple[tuple[int, ...], bytes], str] = {}
    nodes = []
    for tensor in list(model.graph.initializer):
        if len(tensor.dims) != 2 or min(tensor.dims) == 0:
            continue
        matrix = to_array(tensor)
        transposed = np.ascontiguousarray(matrix.T)
        same = kept.get((transposed.shape, transposed.tobytes()))
        if same is None:
            kept[matrix.shape, matrix.tobytes()] = tensor.name
            continue
        model.graph.initializer.remove(tensor)
        nodes.append(helper.make_node("Transpose", [same], [tensor.name], perm=[1, 0]))
    return with_first_nodes(model, nodes)


def store_transposes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every transpose of a constant by a constant: the opposite of `store_transposes_once`."""
    numpy_helper = require("onnx.numpy_helper", extra="onnx")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "Transpose" and node.input[0] in constants:
            matrix = numpy_helper.to_array(constants[node.input[0]])
            axes = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            stored = np.ascontiguousarray(matrix.transpose(axes))
            model.graph.initializer.append(numpy_helper.from_array(stored, node.output[0]))
            model.graph.node.remove(node)
    return model


def shorten(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out what running does not need: the exporter's notes on each node, shapes of intermediate values, long names.

    Names of the model's inputs and outputs stay, and so do the model's own properties.
    """
    graph = model.graph
    fixed = {value.name for value in (*graph.input, *graph.output)}
    names: dict[str, str] = {"": ""}  # an optional input that is left out

    def short(name: str) -> str:
        return name if name in fixed else names.setdefault(name, f"{len(names):x}")

    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    for node in graph.node:
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
        node.name, node.doc_string = "", ""
        del node.metadata_props[:]
    del graph.value_info[:]
    del graph.metadata_props[:]
    graph.doc_string = ""
    return model


def with_first_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """The model with these nodes before all others; an ONNX graph is sorted."""
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    return model
