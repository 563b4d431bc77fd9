"""ONNX with forces: the contract through ONNX Runtime, and bare use without this package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from tests.conftest import ethanol, random_student, tensors, triclinic_crystal
from tests.contract import PotentialContract, assert_close

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.errors import ArtifactError, StructureError
from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.onnx import INPUTS, OnnxPotential, save_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow  # exporting takes half a minute


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    student = random_student(dtype=torch.float32, n_interactions=2)
    example = structures_graph([ethanol(), triclinic_crystal()], student.cutoff)
    save_onnx(path, student, describe(student, "student", Provenance()), example)
    return path


class TestContract(PotentialContract):
    @pytest.fixture
    def potential(self, artifact: Path) -> OnnxPotential:
        return OnnxPotential(artifact)


def test_agrees_with_the_live_student(artifact: Path) -> None:
    live, exported = random_student(dtype=torch.float32, n_interactions=2), OnnxPotential(artifact)
    for structures in (
        [ethanol()],
        [triclinic_crystal()],
        [Atoms("O")],
        [ethanol(), Atoms("N"), triclinic_crystal()],
    ):
        graph = structures_graph(structures, live.cutoff)
        for a, b in zip(live.compute(*graph), exported.compute(*graph), strict=True):
            assert_close(b, a, 2e-5)


def test_bare_onnx_runtime(artifact: Path) -> None:
    """What the docs promise to someone without torch: numpy in, energies and forces out."""
    session = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == list(INPUTS)
    graph = structures_graph([ethanol()], 4.0)
    inputs = dict(zip(INPUTS, (x.numpy() for x in graph), strict=True))
    inputs["edge_vec"] = inputs["edge_vec"].astype(np.float32)
    energy, forces = session.run(["energy", "forces"], inputs)
    expected = random_student(dtype=torch.float32, n_interactions=2).predict(**tensors(ethanol()))
    np.testing.assert_allclose(energy, expected.energy.numpy(), atol=1e-4)
    np.testing.assert_allclose(forces, expected.forces.numpy(), atol=1e-4)


def test_sums_are_safe_with_several_threads(artifact: Path) -> None:
    """ONNX Runtime's ScatterND loses additions to the same row when it runs on several threads: none may be left."""
    onnx = pytest.importorskip("onnx")
    operators = {node.op_type for node in onnx.load(artifact).graph.node}
    assert "ScatterElements" in operators
    assert "ScatterND" not in operators
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
    graph = structures_graph([triclinic_crystal() * (2, 2, 2)] * 4, 4.0)
    inputs = dict(zip(INPUTS, (x.numpy() for x in graph), strict=True))
    inputs["edge_vec"] = inputs["edge_vec"].astype(np.float32)
    first, *others = (session.run(["forces"], inputs)[0] for _ in range(10))
    assert all((forces == first).all() for forces in others)


def test_unknown_element_is_nan_and_never_a_number(artifact: Path) -> None:
    session = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
    graph = structures_graph([ethanol()], 4.0)
    inputs = dict(zip(INPUTS, (x.numpy().copy() for x in graph), strict=True))
    inputs["edge_vec"] = inputs["edge_vec"].astype(np.float32)
    inputs["atomic_numbers"][0] = 14
    (energy,) = session.run(["energy"], inputs)
    assert np.isnan(energy).all()


def test_results_that_overflow_are_refused(artifact: Path) -> None:
    potential = OnnxPotential(artifact)
    close = Atoms("C20", positions=np.linspace(0.0, 1.0, 20)[:, None] * [6.0, 0.0, 0.0])
    graph = structures_graph([close], 4.0)
    assert potential.compute(*graph).energy.isfinite()
    huge = graph._replace(edge_vec=graph.edge_vec * 1e30)  # whose squares float32 does not hold
    with pytest.raises(StructureError, match="is not finite: too many atoms are too close"):
        potential.compute(*huge)


def test_metadata_is_inside(artifact: Path) -> None:
    assert OnnxPotential(artifact).metadata.architecture["n_interactions"] == 2


def test_damaged_and_missing_files(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(artifact.read_bytes()[:5000])
    with pytest.raises(ArtifactError, match="not an ONNX model, or it is damaged"):
        OnnxPotential(path)
    with pytest.raises(ArtifactError, match="there is no artifact"):
        OnnxPotential(tmp_path / "none.onnx")
