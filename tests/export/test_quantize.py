"""Smaller ONNX files: what rounding does, what the graph edits keep, and that a quantised student is still a student."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from tests.conftest import ethanol, random_student, triclinic_crystal
from tests.contract import compute

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.errors import ArtifactError, ConfigError
from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.onnx import OnnxPotential, save_onnx
from mlff_distiller.export.quantize import SCHEMES, quantize_onnx, round_to_int8

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

# module-level imports of onnx come after the skip
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from mlff_distiller.export import onnx_graph  # noqa: E402

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(16, 32)).astype(np.float32)


def test_rounding_by_hand() -> None:
    integers, scales = round_to_int8(np.array([[127.0, 0.5, 0.0], [-64.4, -1.0, 0.0]], dtype=np.float32))
    assert integers.tolist() == [
        [127, 64, 0],
        [-64, -127, 0],
    ]  # 0.5 is 63.5 steps of 1/127, which rounds to even
    np.testing.assert_allclose(scales, [[1.0, 1 / 127, 1.0]])


def test_rounding_errs_by_half_a_step_at_most() -> None:
    matrix = MATRIX * np.logspace(-6, 6, 32, dtype=np.float32)  # columns of very different size
    integers, scales = round_to_int8(matrix)
    assert integers.dtype == np.int8
    assert (np.abs(integers * scales - matrix) <= 0.5001 * np.abs(matrix).max(axis=0) / 127).all()


def model_of(nodes: list, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """x (n, 16) → y (n, 16)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def there_and_back() -> onnx.ModelProto:
    """y = x M Mᵀ, with the transpose as a constant of its own, as tracing leaves it."""
    nodes = [helper.make_node("MatMul", ["x", "m"], ["h"]), helper.make_node("MatMul", ["h", "m_t"], ["y"])]
    return model_of(nodes, {"m": MATRIX, "m_t": np.ascontiguousarray(MATRIX.T)})


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_transposes_are_stored_once_and_give_the_same() -> None:
    x = RNG.normal(size=(5, 16)).astype(np.float32)
    model = onnx_graph.store_transposes_once(there_and_back())
    assert [tensor.name for tensor in model.graph.initializer] == ["m"]
    np.testing.assert_allclose(run(model, x), x @ MATRIX @ MATRIX.T, rtol=1e-5)
    assert onnx_graph.products(model) == ["m"]
    back = onnx_graph.store_transposes(model)
    assert {tensor.name for tensor in back.graph.initializer} == {"m", "m_t"}
    np.testing.assert_allclose(run(back, x), x @ MATRIX @ MATRIX.T, rtol=1e-5)


def test_shortening_keeps_results_and_the_names_of_inputs_and_outputs() -> None:
    x = RNG.normal(size=(5, 16)).astype(np.float32)
    long = there_and_back()
    note = long.graph.node[0].metadata_props.add()
    note.key, note.value = "stack_trace", "z" * 1000
    size = len(long.SerializeToString())
    short = onnx_graph.shorten(long)
    assert len(short.SerializeToString()) < size - 1000
    assert [value.name for value in (*short.graph.input, *short.graph.output)] == ["x", "y"]
    np.testing.assert_allclose(run(short, x), x @ MATRIX @ MATRIX.T, rtol=1e-5)


def test_tables_and_small_matrices_are_told_apart() -> None:
    nodes = [
        helper.make_node("Gather", ["table", "index"], ["rows"]),
        helper.make_node("MatMul", ["x", "small"], ["h"]),
        helper.make_node("Add", ["h", "rows"], ["y"]),
    ]
    constants = {
        "table": RNG.normal(size=(16, 16)).astype(np.float32),
        "index": np.zeros(1, dtype=np.int64),
        "small": np.eye(16, dtype=np.float32)[:, :15],
    }
    model = model_of(nodes, constants)
    assert onnx_graph.tables(model) == ["table"]
    assert onnx_graph.products(model) == []


def test_unknown_scheme() -> None:
    with pytest.raises(ConfigError, match="unknown quantisation 'int4'; choose one of float32, float16"):
        quantize_onnx(Path("a.onnx"), Path("b.onnx"), "int4")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    student = random_student(dtype=torch.float32)
    example = structures_graph([ethanol(), triclinic_crystal()], student.cutoff)
    save_onnx(path, student, describe(student, "student", Provenance(teacher={"teacher": "none"})), example)
    return path


@pytest.fixture(scope="module")
def quantised(exported: Path) -> dict[str, Path]:
    folder = exported.parent
    return {name: quantize_onnx(exported, folder / f"{name}.onnx", name) for name in SCHEMES}


@pytest.mark.slow
class TestStudent:
    """With random weights of order one, errors of 8 bits are percents of the forces, which are large."""

    @pytest.mark.parametrize(
        ("scheme", "tolerance"), [("float32", 1e-6), ("float16", 2e-3), ("bfloat16", 2e-2), ("int8", 2e-2)]
    )
    def test_forces_are_close_to_those_of_float32(
        self, exported: Path, quantised: dict[str, Path], scheme: str, tolerance: float
    ) -> None:
        graph = structures_graph([ethanol(), triclinic_crystal()], 4.0)
        expected = OnnxPotential(exported).compute(*graph).forces
        forces = OnnxPotential(quantised[scheme]).compute(*graph).forces
        assert (forces - expected).abs().max() < tolerance * expected.abs().max()
        if scheme != "float32":
            assert (forces - expected).abs().max() > 0

    @pytest.mark.parametrize("scheme", [name for name, scheme in SCHEMES.items() if scheme.conservative])
    def test_forces_are_the_gradient_of_the_energy(self, quantised: dict[str, Path], scheme: str) -> None:
        potential = OnnxPotential(quantised[scheme])
        atoms = ethanol()
        forces = compute(potential, atoms).forces.numpy()
        for atom, axis in ((0, 0), (1, 2), (3, 1)):
            assert forces[atom, axis] == pytest.approx(
                central_difference(potential, atoms, atom, axis), abs=3e-3 * np.abs(forces).max()
            )

    def test_dynamic_forces_are_not(self, quantised: dict[str, Path]) -> None:
        """What the table says of it; if this ever fails, the table must say something better."""
        potential = OnnxPotential(quantised["int8-dynamic"])
        atoms = ethanol()
        forces = compute(potential, atoms).forces.numpy()
        differences = [
            abs(forces[atom, axis] - central_difference(potential, atoms, atom, axis))
            for atom, axis in ((0, 0), (1, 2), (3, 1))
        ]
        assert max(differences) > 0.02 * np.abs(forces).max()

    def test_files_are_smaller_and_store_each_matrix_once(
        self, exported: Path, quantised: dict[str, Path]
    ) -> None:
        sizes = {name: path.stat().st_size for name, path in quantised.items()}
        assert sizes["int8"] < sizes["float16"] == pytest.approx(sizes["bfloat16"], abs=100)
        assert sizes["float16"] < sizes["float32"] < exported.stat().st_size
        for path in quantised.values():
            model = onnx.load(path)
            n_stored = len(model.graph.initializer)
            assert len(onnx_graph.store_transposes_once(model).graph.initializer) == n_stored

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_metadata_name_the_scheme(self, quantised: dict[str, Path], scheme: str) -> None:
        potential = OnnxPotential(quantised[scheme])
        assert potential.metadata.dtype == SCHEMES[scheme].dtype
        assert potential.metadata.provenance.teacher == {"teacher": "none"}
        properties = potential.session.get_modelmeta().custom_metadata_map
        assert properties["mlff_distiller_quantization"] == scheme

    @pytest.mark.parametrize("scheme", [name for name, scheme in SCHEMES.items() if scheme.conservative])
    def test_runtime_computes_in_float32(
        self, quantised: dict[str, Path], scheme: str, tmp_path: Path
    ) -> None:
        """The first operations are folded away when the file is loaded: nothing is converted in each step."""
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        onnxruntime.InferenceSession(str(quantised[scheme]), options, providers=["CPUExecutionProvider"])
        model = onnx.load(tmp_path / "optimised.onnx")
        stored = {tensor.data_type for tensor in model.graph.initializer}
        assert not stored & {TensorProto.INT8, TensorProto.FLOAT16, TensorProto.BFLOAT16}
        assert not {node.op_type for node in model.graph.node} & {"DequantizeLinear", "MatMulNBits"}

    def test_one_atom_and_unknown_elements(self, quantised: dict[str, Path]) -> None:
        potential = OnnxPotential(quantised["int8"])
        free = random_student(dtype=torch.float32)
        energy = compute(potential, Atoms("O")).energy.item()
        assert energy == pytest.approx(compute(free, Atoms("O")).energy.item(), abs=0.1)
        with pytest.raises(ValueError, match="atomic number 14"):
            compute(potential, Atoms("Si"))

    def test_quantising_twice_is_an_error(self, quantised: dict[str, Path], tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="quantised already .int8.; start from the float32 export"):
            quantize_onnx(quantised["int8"], tmp_path / "again.onnx", "float16")


def central_difference(potential: OnnxPotential, atoms: Atoms, atom: int, axis: int) -> float:
    """-dE/dx of one coordinate, eV/Å; the energies are float32 sums, so the step is large."""
    step = 5e-3
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[atom, axis] += sign * step
        energies.append(compute(potential, moved).energy.item())
    return -(energies[0] - energies[1]) / (2 * step)
