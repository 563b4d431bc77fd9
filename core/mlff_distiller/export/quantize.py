"""ONNX models with small weights: float16, bfloat16, and 8-bit integers.

Two kinds of scheme:

- *Weights only* (``float16``, ``bfloat16``, ``int8``): the matrices are stored in fewer bits, and the first operations of the
  model turn them back into float32. ONNX Runtime does that once, when it loads the file (constant folding). All arithmetic on
  atoms and edges is float32, and energy and forces use the same rounded weights: forces stay the exact gradient of the energy.
- *Weights and activations* (``int8-dynamic``): ONNX Runtime's ``quantize_dynamic``. The inputs of every matrix product are
  rounded to 8 bits while the model runs. Forces are no longer the gradient of the energy, and a result depends on the other
  structures of its batch, whose range sets the scale.

Why the integers are turned back by Cast and Mul: ONNX Runtime (1.32) does not fold DequantizeLinear, but fuses it with products
into MatMulNBits, which covers the forward half of the model only. Why matrices are stored once: tracing leaves some of them
a second time as transposes, for the gradient. With scales by column the two would be rounded differently.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.errors import ArtifactError, ConfigError, require
from mlff_distiller.export.onnx import PROPERTY, OnnxPotential
from mlff_distiller.export.onnx_graph import (
    products,
    shorten,
    store_transposes,
    store_transposes_once,
    tables,
    with_first_nodes,
)

if TYPE_CHECKING:
    import onnx

SCHEME_PROPERTY = "mlff_distiller_quantization"  # key of the scheme in the model's properties
INT8_MAX = 127  # symmetric: -128 is not used

# name and matrix → tensors to store, and nodes that make the matrix of them
Restore = Callable[[str, np.ndarray], tuple[list[Any], list[Any]]]


@dataclass(frozen=True)
class Scheme:
    """One way to make the weights small.

    Attributes:
        weights: What the file holds (biases are float32 in all).
        products: What ONNX Runtime computes matrix products in; all else is float32.
        conservative: Whether forces are the gradient of the energy.
        apply: Changes the model's matrices; the model comes with each matrix stored once.
    """

    weights: str
    products: str
    conservative: bool
    apply: Callable[[onnx.ModelProto], onnx.ModelProto]

    @property
    def dtype(self) -> str:
        """What the metadata say of the numbers."""
        if self.products == "float32":
            return "float32" if self.weights == "float32" else f"{self.weights} weights, float32 arithmetic"
        return f"{self.weights} weights, {self.products} matrix products, float32 otherwise"


def quantize_onnx(source: Path, target: Path, scheme: str) -> Path:
    """Write a smaller copy of an exported student.

    Args:
        source: Float32 ONNX file written by `mlff_distiller.export.write.write_artifact`.
        target: The file to write.
        scheme: A key of `SCHEMES`.

    Returns:
        ``target``. Its metadata name the scheme under ``dtype``.

    Raises:
        ArtifactError: The source is damaged, not from this package, or quantised already.
        ConfigError: Unknown scheme.
        MissingDependencyError: onnx or onnxruntime is not installed.
    """
    chosen = find_scheme(scheme)
    onnx = require("onnx", extra="onnx")
    checker = require("onnx.checker", extra="onnx")
    metadata = OnnxPotential(source).metadata
    model = onnx.load(source)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if (found := properties.get(SCHEME_PROPERTY)) is not None:
        raise ArtifactError(f"{source} is quantised already ({found}); start from the float32 export")
    model = chosen.apply(store_transposes_once(model))
    model = shorten(store_transposes_once(model))
    properties[SCHEME_PROPERTY] = scheme
    properties[PROPERTY] = _compact(replace(metadata, dtype=chosen.dtype).to_json())
    onnx.helper.set_model_props(model, properties)
    checker.check_model(model, full_check=True)
    replace_file(target, [model.SerializeToString()])
    return target


def find_scheme(name: str) -> Scheme:
    """A scheme by name.

    Raises:
        ConfigError: Unknown name.
    """
    if name not in SCHEMES:
        raise ConfigError(f"unknown quantisation {name!r}; choose one of {', '.join(SCHEMES)}")
    return SCHEMES[name]


def round_to_int8(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scales with ``matrix ≈ integers * scales``.

    Args:
        matrix: (K, N) float32, that maps K inputs to N outputs.

    Returns:
        (K, N) int8 and (1, N) float32; a scale for each output, so that one large column does not coarsen the others.
    """
    largest = np.abs(matrix).max(axis=0, keepdims=True)
    scales = np.where(largest > 0, largest / INT8_MAX, 1.0).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales


def _compact(document: str) -> str:
    return json.dumps(json.loads(document), separators=(",", ":"), ensure_ascii=False)


def _as_they_are(model: onnx.ModelProto) -> onnx.ModelProto:
    return model


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    return _replace(model, [*products(model), *tables(model)], _store_half("FLOAT16"))


def _bfloat16(model: onnx.ModelProto) -> onnx.ModelProto:
    return _replace(model, [*products(model), *tables(model)], _store_half("BFLOAT16"))


def _int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Tables of species go to float16: 8 bits would save 1 % of the file, and triple the error of the energy."""
    model = _replace(model, tables(model), _store_half("FLOAT16"))
    return _replace(model, products(model), _store_int8)


def _store_half(type_name: str) -> Restore:
    """A matrix in a 16-bit float type, and its cast back."""
    helper, proto = require("onnx.helper", extra="onnx"), require("onnx", extra="onnx").TensorProto
    from_array = require("onnx.numpy_helper", extra="onnx").from_array
    dtype = helper.tensor_dtype_to_np_dtype(getattr(proto, type_name))

    def restore(name: str, matrix: np.ndarray) -> tuple[list[Any], list[Any]]:
        stored = from_array(matrix.astype(dtype), f"{name}.stored")
        return [stored], [helper.make_node("Cast", [stored.name], [name], to=proto.FLOAT)]

    return restore


def _store_int8(name: str, matrix: np.ndarray) -> tuple[list[Any], list[Any]]:
    """A matrix as integers and scales, and their product."""
    helper, proto = require("onnx.helper", extra="onnx"), require("onnx", extra="onnx").TensorProto
    from_array = require("onnx.numpy_helper", extra="onnx").from_array
    integers, scales = round_to_int8(matrix)
    stored = [from_array(integers, f"{name}.stored"), from_array(scales, f"{name}.scales")]
    cast = helper.make_node("Cast", [stored[0].name], [f"{name}.cast"], to=proto.FLOAT)
    return stored, [cast, helper.make_node("Mul", [f"{name}.cast", stored[1].name], [name])]


def _replace(model: onnx.ModelProto, names: Iterable[str], restore: Restore) -> onnx.ModelProto:
    """Replace constants by what ``restore`` stores, and the nodes that make them again."""
    to_array = require("onnx.numpy_helper", extra="onnx").to_array
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for name in names:
        stored, made = restore(name, to_array(constants[name]))
        model.graph.initializer.remove(constants[name])
        model.graph.initializer.extend(stored)
        nodes += made
    return with_first_nodes(model, nodes)


def _int8_dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime's dynamic quantisation of all products with a constant matrix, those of the gradient among them.

    One scale for a whole matrix, so that its transpose has the same integers and is stored once.
    """
    quantization = require("onnxruntime.quantization", extra="onnx")
    onnx = require("onnx", extra="onnx")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises to run a pre-processing that has nothing to add here
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            quantization.quantize_dynamic(
                store_transposes(model),
                path,
                weight_type=quantization.QuantType.QInt8,
                per_channel=False,
                op_types_to_quantize=["MatMul", "Gemm"],
            )
            return onnx.load(path)
    finally:
        root.setLevel(level)


SCHEMES: Mapping[str, Scheme] = {
    "float32": Scheme("float32", "float32", True, _as_they_are),
    "float16": Scheme("float16", "float32", True, _float16),
    "bfloat16": Scheme("bfloat16", "float32", True, _bfloat16),
    "int8": Scheme("int8", "float32", True, _int8),
    "int8-dynamic": Scheme("int8", "int8", False, _int8_dynamic),
}
