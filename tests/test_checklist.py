"""What must hold for every shipped student in every format: it loads, repeats itself, batches, scales, and leaks nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from mlff_distiller import list_models, load, load_student
from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.errors import StructureError
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.export.onnx import OnnxPotential
from mlff_distiller.export.write import write_artifact
from mlff_distiller.graph import checked_graph
from mlff_distiller.model.potential import Potential, Prediction
from mlff_distiller.native import NativePotential, is_built
from mlff_distiller.registry import artifact_path
from tests.conftest import needs_cuda
from tests.contract import assert_close, compute

ROOT = Path(__file__).parents[1]
NAMES = tuple(list_models())
MOLECULES = ("H2O", "CH3CH2OH", "C6H6", "CH3SH", "PH3", "CH3Cl", "CF4", "CH3CONH2")
ENERGY_PER_ATOM, FORCE = 1e-5, 1e-4  # eV and eV/Å: tolerances of float32 networks
ROUNDING = 3e-6  # eV and eV/Å, of float32 sums in another order; one pair at 4.8 Å that is missing changes a force by 1e-4

needs_native = pytest.mark.skipif(not is_built(), reason="the native engine was not compiled here")
needs_onnx = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="ONNX Runtime is not installed")
FORMATS = [
    "torchscript",
    pytest.param("native", marks=needs_native),
    pytest.param("onnx", marks=[needs_onnx, pytest.mark.slow]),  # exporting takes seconds
]


@pytest.fixture(scope="module")
def open_student(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Potential]:
    """Opens the file of a student in a format; ONNX files are exported once."""
    folder = tmp_path_factory.mktemp("onnx")

    def onnx(name: str) -> Potential:
        path = folder / f"{name}.onnx"
        if not path.exists():
            write_artifact(load_student(name), name, load(name).metadata.provenance, path)
        return OnnxPotential(path, threads=1)

    def open_file(name: str, which: str) -> Potential:
        opened = {"torchscript": load, "native": lambda n: NativePotential(artifact_path(n)), "onnx": onnx}
        return opened[which](name)

    return open_file


def rattled(name: str) -> Atoms:
    """A molecule without symmetry, so that nothing cancels."""
    atoms = molecule(name)
    atoms.rattle(0.03, seed=len(atoms))
    return atoms


def assert_agree(a: Prediction, b: Prediction, n_atoms: torch.Tensor) -> None:
    assert_close(a.energy / n_atoms, b.energy / n_atoms, ENERGY_PER_ATOM)
    assert_close(a.forces, b.forces, FORCE)


@pytest.mark.parametrize("which", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_loads_and_gives_the_same_output_twice(open_student, name: str, which: str) -> None:
    structures = [rattled("CH3CH2OH"), rattled("CH3SH")]
    first, second = open_student(name, which), open_student(name, which)
    assert first.metadata.name == name
    for potential in (
        first,
        second,
    ):  # TorchScript's first call runs before its optimiser, and rounds differently
        compute(potential, rattled("H2O"))
    a = compute(first, *structures)
    compute(first, rattled("C6H6"))  # what was computed in between leaves no trace
    b, c = compute(first, *structures), compute(second, *structures)
    for x, y, z in zip(a, b, c, strict=True):
        assert torch.isfinite(x).all()
        assert torch.equal(x, y)
        assert torch.equal(x, z)


@pytest.mark.parametrize("which", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_batches_of_several_sizes_agree_with_single_structures(open_student, name: str, which: str) -> None:
    potential = open_student(name, which)
    structures = [rattled(m) for m in MOLECULES]
    singles = [compute(potential, atoms) for atoms in structures]
    for size in (1, 2, 3, 8):
        batch = compute(potential, *structures[:size])
        expected = Prediction(*(torch.cat(parts) for parts in zip(*singles[:size], strict=True)))
        assert_agree(batch, expected, torch.tensor([len(atoms) for atoms in structures[:size]]))


@pytest.mark.parametrize("which", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_one_atom(open_student, name: str, which: str) -> None:
    """Its energy is the teacher's of a fragment, and no force acts on it, wherever it is."""
    potential = open_student(name, which)
    here = compute(potential, Atoms("O"))
    there = compute(potential, Atoms("O", positions=[[3.0, -2.0, 50.0]]))
    assert torch.isfinite(here.energy).all()
    assert torch.equal(here.energy, there.energy)
    assert not here.forces.any()
    assert not here.virial.any()
    two = compute(potential, Atoms("O2", positions=[[0, 0, 0], [0, 0, potential.cutoff + 0.1]]))
    assert_close(two.energy, 2 * here.energy, 2 * ENERGY_PER_ATOM)


@pytest.mark.parametrize("which", FORMATS)
def test_edges_of_other_shapes_are_refused(open_student, which: str) -> None:
    """Instead of what lies in memory beyond them."""
    potential = open_student("ultra-tiny", which)
    z, edge_index, edge_vec, batch, cell = structures_graph([rattled("H2O")], potential.cutoff)
    for edges, vectors in (
        (edge_index[:, :4], edge_vec),
        (edge_index, edge_vec[:, :2]),
        (edge_index[0], edge_vec),
        (edge_index.T, edge_vec),
    ):
        with pytest.raises(StructureError, match=r"expected edge_index \(2, E\) and edge_vec \(E, 3\)"):
            potential.compute(z, edges, vectors, batch, cell)
    with pytest.raises(StructureError, match=r"expected batch of shape \(3,\)"):
        potential.compute(z, edge_index, edge_vec, batch[:2], cell)


@pytest.mark.parametrize("which", FORMATS)
def test_inference_mode_and_a_pbc_of_integers(open_student, which: str) -> None:
    """Callers that know nothing of derivatives, and files that write 1 for true."""
    potential = open_student("ultra-tiny", which)
    box = water_box(2)
    z, x, cell = torch.tensor(box.numbers), torch.tensor(box.positions), torch.tensor(box.cell.array)
    periodic = torch.tensor([True] * 3)
    expected = potential.compute(*checked_graph(z, x, None, cell, periodic, potential.cutoff))
    with torch.inference_mode():
        found = potential.compute(*checked_graph(z, x, None, cell, periodic.int(), potential.cutoff))
    assert_agree(found, expected, torch.tensor([len(box)]))


@pytest.mark.slow
@needs_native
@pytest.mark.parametrize("name", NAMES)
def test_five_thousand_atoms(name: str) -> None:
    """Water: TorchScript and the native engine agree, no net force acts, and the engine finds the same pairs itself.

    Atom by atom, since a pair that is missing or doubled shows in its two atoms, and hardly in the sum over all.
    """
    box = water_box(12)
    assert len(box) == 5184
    graph = structures_graph([box], load(name).cutoff)
    n_atoms = torch.tensor([len(box)])
    native = NativePotential(artifact_path(name)).compute(*graph)
    assert_agree(native, load(name).compute(*graph), n_atoms)
    assert native.forces.sum(0).abs().max() < 1e-8
    own_neighbors = NativePotential(artifact_path(name)).evaluate(
        box.numbers, box.positions, box.cell.array, np.array(box.pbc)
    )
    np.testing.assert_allclose(own_neighbors.atomic_energies, native.atomic_energies, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(own_neighbors.forces, native.forces, rtol=0, atol=ROUNDING)


def test_a_path_is_that_file_and_no_other(tmp_path: Path) -> None:
    shutil.copy(artifact_path("tiny"), tmp_path / "model")
    shutil.copy(artifact_path("ultra-tiny"), tmp_path / "model.pt")
    assert artifact_path(tmp_path / "model") == tmp_path / "model"
    assert load(tmp_path / "model").metadata.name == "tiny"


@needs_cuda
@pytest.mark.parametrize("name", NAMES)
def test_cuda_agrees_with_the_cpu(name: str) -> None:
    structures = [*(rattled(m) for m in MOLECULES), water_box(3)]
    n_atoms = torch.tensor([len(atoms) for atoms in structures])
    found = Prediction(*(x.cpu() for x in compute(load(name, device="cuda"), *structures)))
    assert_agree(found, compute(load(name), *structures), n_atoms)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
@pytest.mark.parametrize(
    "backend",
    [
        "torchscript",
        "ase-torch",
        *(pytest.param(b, marks=needs_native) for b in ("native", "ase-native")),
        pytest.param("onnx", marks=needs_onnx),
    ],
)
def test_memory_is_flat_over_ten_thousand_calls(backend: str, tmp_path: Path) -> None:
    """A call that kept its forces would gain some 2 MB; all backends gained less than 60 kB when this was written."""
    path = artifact_path("ultra-tiny")
    if backend == "onnx":
        provenance = load("ultra-tiny").metadata.provenance
        path = write_artifact(load_student("ultra-tiny"), "ultra-tiny", provenance, tmp_path / "student.onnx")
    command = [sys.executable, "-m", "tests.memory_growth", backend, str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 1e6
