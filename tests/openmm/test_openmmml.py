"""The students under their names in OpenMM-ML, alone and in a mixed system: a molecule in TIP3P water."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlff_distiller
from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller_openmm.conversions import ANGSTROM
from mlff_distiller_openmm.single_point import openmm_results
from mlff_distiller_openmm.states import read_energies, read_forces
from tests.conftest import ethanol
from tests.openmm.conftest import water_box
from tests.openmm.test_force import topology_of

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
MLPotential = pytest.importorskip("openmmml", reason="OpenMM-ML is not installed").MLPotential
app = pytest.importorskip("openmm.app")
unit = openmm.unit


def state_of(system, positions_nm, lambda_interpolate: float | None = None):
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    if lambda_interpolate is not None:
        context.setParameter("lambda_interpolate", lambda_interpolate)
    context.setPositions(positions_nm)
    context.computeVirtualSites()
    return context.getState(energy=True, forces=True)


@pytest.mark.parametrize("name", list(mlff_distiller.list_models()))
def test_create_system(name: str) -> None:
    atoms = ethanol()
    system = MLPotential(f"distilled-{name}", dtype="float64").createSystem(topology_of(atoms))
    state = state_of(system, atoms.positions / ANGSTROM)
    energy, forces = openmm_results(atoms, name, "pythonforce", "float64")
    assert read_energies(state)[0] == pytest.approx(energy, abs=1e-8)
    assert read_forces(state) == pytest.approx(forces, abs=1e-9)


def test_create_periodic_system_from_a_file(artifact: Path) -> None:
    atoms = water_box()
    potential = MLPotential("distilled", model=artifact, dtype="float64")
    system = potential.createSystem(topology_of(atoms))
    assert system.usesPeriodicBoundaryConditions()
    expected, _ = openmm_results(atoms, artifact, "pythonforce", "float64")
    assert read_energies(state_of(system, atoms.positions / ANGSTROM))[0] == pytest.approx(expected, abs=1e-8)


@pytest.fixture(scope="module")
def solvated():
    """A TIP3P water in a box of others, as the ML region's stand-in for a molecule: topology, MM system, positions, ML atoms."""
    modeller = app.Modeller(app.Topology(), [])
    field = app.ForceField("amber14/tip3p.xml")
    modeller.addSolvent(field, boxSize=openmm.Vec3(2.0, 2.0, 2.0) * unit.nanometer)
    system = field.createSystem(
        modeller.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.9 * unit.nanometer
    )
    return modeller.topology, system, modeller.positions, [3, 4, 5]


def test_mixed_system_is_mm_plus_ml(solvated, artifact: Path) -> None:
    """Rigid TIP3P water has no internal MM energy, so ML adds the energy of the molecule and nothing else changes."""
    topology, mm_system, positions, ml_atoms = solvated
    potential = MLPotential("distilled", model=artifact, dtype="float64")
    mixed = potential.createMixedSystem(topology, mm_system, ml_atoms)
    x = positions.value_in_unit(unit.angstrom)
    region = water_box(1)[:3]
    region.positions = np.array([list(x[k]) for k in ml_atoms])
    region.pbc = False
    energy, forces = openmm_results(region, artifact, "pythonforce", "float64")
    mm, both = state_of(mm_system, positions), state_of(mixed, positions)
    internal = read_energies(both)[0] - read_energies(mm)[0]
    assert internal == pytest.approx(
        energy, abs=1e-4
    )  # the PME of the molecule with itself is single precision
    change = read_forces(both) - read_forces(mm)
    assert change[ml_atoms] == pytest.approx(forces, abs=1e-3)
    assert np.abs(np.delete(change, ml_atoms, axis=0)).max() < 1e-3
    constraints = {tuple(mixed.getConstraintParameters(k)[:2]) for k in range(mixed.getNumConstraints())}
    assert not any(set(pair) & set(ml_atoms) for pair in constraints)


def test_interpolation_from_mm_to_ml(solvated, artifact: Path) -> None:
    topology, mm_system, positions, ml_atoms = solvated
    potential = MLPotential("distilled", model=artifact, dtype="float64")
    mixed = potential.createMixedSystem(topology, mm_system, ml_atoms)
    path = potential.createMixedSystem(topology, mm_system, ml_atoms, interpolate=True)
    for system, value in ((mm_system, 0.0), (mixed, 1.0)):
        expected = read_energies(state_of(system, positions))[0]
        assert read_energies(state_of(path, positions, value))[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("distilled", {}, 'expected MLPotential\\("distilled", model=path\\)'),
        ("distilled-tiny", {"model": "other.pt"}, "got 'distilled-tiny' with model='other.pt'"),
        (
            "distilled-tiny",
            {"precision": "single"},
            "unknown option precision.*there are model, device, dtype",
        ),
    ],
)
def test_wrong_options(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MLPotential(name, **options)


def test_wrong_option_of_create_system() -> None:
    with pytest.raises(ConfigError, match="unknown option precision; device and dtype belong to MLPotential"):
        MLPotential("distilled-tiny").createSystem(topology_of(ethanol()), precision="single")


def test_unknown_element(artifact: Path) -> None:
    atoms = ethanol()
    atoms.numbers[4] = 14
    with pytest.raises(StructureError, match="atom 4 has atomic number 14"):
        MLPotential("distilled", model=artifact).createSystem(topology_of(atoms))
