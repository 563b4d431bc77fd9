"""OpenMM's energies and forces against the core's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

import mlff_distiller
from mlff_distiller.engines import SinglePoint
from mlff_distiller.errors import StructureError
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.export.verify import check_structures
from mlff_distiller_openmm import openmm_results
from mlff_distiller_openmm.engine import PythonForceEngine
from mlff_distiller_openmm.system import reduced_box
from tests.conftest import ELEMENTS, ethanol, tensors, triclinic_crystal
from tests.contract import EngineContract
from tests.openmm.conftest import water_box


def left_handed_crystal() -> Atoms:
    atoms = triclinic_crystal()
    atoms.cell = atoms.cell[[1, 0, 2]]
    return atoms


STRUCTURES = {
    "ethanol": ethanol,
    "one atom": lambda: Atoms("O"),
    "cell smaller than the cutoff": triclinic_crystal,
    "left-handed cell": left_handed_crystal,
    "triclinic box of water": water_box,
    "more atoms than are compared pair by pair": lambda: water_box(4),
}


class TestConformance(EngineContract):
    @pytest.fixture(params=["float32", "float64"])
    def single_point(self, request: pytest.FixtureRequest, backend: str, artifact: Path):
        return lambda atoms: SinglePoint(*openmm_results(atoms, artifact, backend, request.param))


def core_results(potential: TorchScriptPotential, atoms: Atoms) -> tuple[float, np.ndarray]:
    prediction = potential.predict(**tensors(atoms))
    return prediction.energy.item(), prediction.forces.numpy()


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_float64_agrees_with_the_core(
    name: str, platform: str, backend: str, artifact: Path, exact: TorchScriptPotential
) -> None:
    atoms = STRUCTURES[name]()
    energy, forces = core_results(exact, atoms)
    found_energy, found_forces = openmm_results(atoms, artifact, backend, "float64", platform)
    assert found_energy == pytest.approx(energy, abs=1e-8)
    assert found_forces == pytest.approx(forces, abs=1e-9)


def test_float32_of_a_shipped_student_agrees_with_the_core(backend: str) -> None:
    potential = mlff_distiller.load("tiny")
    for atoms in (ethanol(), water_box(1), water_box(3)):
        energy, forces = core_results(potential, atoms)
        found_energy, found_forces = openmm_results(atoms, "tiny", backend, "float32")
        assert abs(found_energy - energy) / len(atoms) < 1e-5
        np.testing.assert_allclose(found_forces, forces, rtol=0, atol=1e-4)


def test_wrapping_changes_nothing(backend: str, artifact: Path) -> None:
    atoms = water_box()
    moved = atoms.copy()
    moved.positions += np.random.default_rng(0).integers(-2, 3, (len(atoms), 3)) @ atoms.cell.array
    energy, forces = openmm_results(atoms, artifact, backend, "float64")
    found_energy, found_forces = openmm_results(moved, artifact, backend, "float64")
    assert found_energy == pytest.approx(energy, abs=1e-8)
    assert found_forces == pytest.approx(forces, abs=1e-8)


def test_forces_against_central_differences(backend: str, artifact: Path) -> None:
    atoms, step = water_box(), 2e-5
    _, forces = openmm_results(atoms, artifact, backend, "float64")
    for atom, axis in ((0, 0), (4, 1), (11, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(openmm_results(moved, artifact, backend, "float64")[0])
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=1e-6)


def test_the_engine_leaves_out_what_openmm_cannot_do(artifact: Path) -> None:
    structures = check_structures(ELEMENTS, 4.0)
    found = PythonForceEngine().single_points(structures, str(artifact), "float64")
    assert set(structures) - set(found) == {"slab"}
    assert found["H2O"].forces.shape == (3, 3)
    with pytest.raises(StructureError, match="got pbc = \\[True, True, False\\]; make the open directions"):
        openmm_results(structures["slab"], artifact, "pythonforce")


@pytest.mark.parametrize("seed", range(20))
def test_reduced_box_is_the_same_lattice(seed: int) -> None:
    cell = np.random.default_rng(seed).normal(size=(3, 3)) @ np.diag([1.0, 3.0, 9.0])
    cell = cell @ Rotation.random(random_state=seed).as_matrix()
    box, rotation = reduced_box(cell)
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    change = box @ np.linalg.inv(cell @ rotation)  # integers of determinant ±1
    assert change == pytest.approx(np.round(change), abs=1e-9)
    assert abs(np.linalg.det(change)) == pytest.approx(1.0)
    a, b, c = box
    assert a[1] == a[2] == b[2] == 0.0
    assert min(a[0], b[1], c[2]) > 0.0
    assert max(abs(b[0]) / a[0], abs(c[0]) / a[0], abs(c[1]) / b[1]) <= 0.5 + 1e-12


def test_singular_cell_is_refused() -> None:
    atoms = ethanol()
    atoms.pbc = True
    with pytest.raises(StructureError, match="its cell is singular; set the cell"):
        openmm_results(atoms, "tiny", "pythonforce")
