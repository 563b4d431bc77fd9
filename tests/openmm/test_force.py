"""`create_force`: regions, groups, options, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import chemical_symbols

import mlff_distiller
from mlff_distiller.errors import ArtifactError, ConfigError, MissingDependencyError, StructureError
from mlff_distiller.native import NativePotential
from mlff_distiller_openmm import create_force, models, openmm_torch, save_torchforce_module
from mlff_distiller_openmm.conversions import ANGSTROM, KJ_PER_MOL, KJ_PER_MOL_NM
from mlff_distiller_openmm.single_point import openmm_results
from mlff_distiller_openmm.states import read_energies, read_forces
from tests.conftest import ethanol, random_student, tensors
from tests.openmm.conftest import water_box

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed")
app = pytest.importorskip("openmm.app")
unit = openmm.unit


def context_of(force, positions: np.ndarray, box: np.ndarray | None = None):
    """A Context with one force, on the Reference platform; Å."""
    system = openmm.System()
    for _ in positions:
        system.addParticle(1.0)
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*(box / ANGSTROM))
    system.addForce(force)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions / ANGSTROM)
    return context


def evaluate(force, positions: np.ndarray, box: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    state = context_of(force, positions, box).getState(energy=True, forces=True)
    return read_energies(state)[0], read_forces(state)


def topology_of(atoms: Atoms) -> app.Topology:
    topology = app.Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    for number in atoms.numbers:
        symbol = chemical_symbols[number]
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    if atoms.pbc.all():
        topology.setPeriodicBoxVectors(atoms.cell.array * unit.angstrom)
    return topology


def test_units_are_those_of_openmm() -> None:
    ev = (1.0 * unit.elementary_charge * unit.volt * unit.AVOGADRO_CONSTANT_NA).value_in_unit(
        unit.kilojoule_per_mole
    )
    assert pytest.approx(ev, rel=1e-7) == KJ_PER_MOL
    assert pytest.approx((1.0 * unit.nanometer).value_in_unit(unit.angstrom)) == ANGSTROM
    assert pytest.approx(10 * ev, rel=1e-7) == KJ_PER_MOL_NM


def test_importing_the_plugin_imports_no_openmm() -> None:
    code = "import sys, mlff_distiller_openmm; print('openmm' in sys.modules or 'openmmtorch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def test_topology_and_numbers_are_the_same(backend: str, artifact: Path) -> None:
    atoms = ethanol()
    by_numbers = evaluate(create_force(atoms.numbers, artifact, backend=backend), atoms.positions)
    by_topology = evaluate(create_force(topology_of(atoms), artifact, backend=backend), atoms.positions)
    assert by_numbers[0] == by_topology[0]
    assert not create_force(atoms.numbers, artifact, backend=backend).usesPeriodicBoundaryConditions()


def test_periodic_if_the_topology_has_a_box(backend: str, artifact: Path) -> None:
    atoms = water_box()
    assert create_force(topology_of(atoms), artifact, backend=backend).usesPeriodicBoundaryConditions()
    open_force = create_force(topology_of(atoms), artifact, backend=backend, periodic=False)
    assert not open_force.usesPeriodicBoundaryConditions()
    alone = atoms.copy()
    alone.pbc = False
    expected = openmm_results(alone, artifact, backend)[0]
    assert evaluate(open_force, atoms.positions)[0] == pytest.approx(expected, abs=1e-9)


def test_box_of_the_context_counts(backend: str, artifact: Path) -> None:
    """As a barostat changes it, not as it was when the force was made."""
    atoms = water_box()
    force = create_force(topology_of(atoms), artifact, backend=backend, dtype="float64")
    context = context_of(force, atoms.positions, atoms.cell.array)
    context.setPeriodicBoxVectors(*(1.1 * atoms.cell.array / ANGSTROM))
    stretched = atoms.copy()
    stretched.set_cell(1.1 * atoms.cell.array)
    found, _ = read_energies(context.getState(energy=True))
    expected = mlff_distiller.load(artifact, dtype="float64").predict(**tensors(stretched)).energy.item()
    assert found == pytest.approx(expected, abs=1e-8)


def test_subset_sees_no_others_and_puts_no_force_on_them(backend: str, artifact: Path) -> None:
    atoms = ethanol() + Atoms("Si4", positions=np.arange(12.0).reshape(4, 3))  # Si: unknown to the student
    order = np.random.default_rng(1).permutation(len(atoms))
    inside = np.flatnonzero(order < len(ethanol()))
    mixed = atoms[order]
    force = create_force(mixed.numbers, artifact, backend=backend, atoms=inside, dtype="float64")
    energy, forces = evaluate(force, mixed.positions)
    expected_energy, expected_forces = openmm_results(ethanol(), artifact, backend, "float64")
    assert energy == pytest.approx(expected_energy, abs=1e-8)
    assert forces[inside] == pytest.approx(expected_forces[order[inside]], abs=1e-9)
    assert not np.delete(forces, inside, axis=0).any()


def test_force_group(backend: str, artifact: Path) -> None:
    atoms = ethanol()
    force = create_force(atoms.numbers, artifact, backend=backend, force_group=7)
    assert force.getForceGroup() == 7
    context = context_of(force, atoms.positions)
    assert read_energies(context.getState(energy=True, groups={0}))[0] == 0.0
    assert read_energies(context.getState(energy=True, groups={7}))[0] < -100.0


def test_loaded_potential_keeps_its_dtype(backend: str, artifact: Path) -> None:
    atoms = ethanol()
    force = create_force(atoms.numbers, mlff_distiller.load(artifact, dtype="float64"), backend=backend)
    expected = openmm_results(atoms, artifact, backend, "float64")[0]
    assert evaluate(force, atoms.positions)[0] == pytest.approx(expected, abs=1e-9)


def test_pythonforce_survives_xml(artifact: Path) -> None:
    atoms = water_box()
    system = openmm.System()
    for _ in atoms:
        system.addParticle(1.0)
    chosen = list(range(3, 9))
    system.addForce(
        create_force(topology_of(atoms), artifact, backend="pythonforce", atoms=chosen, dtype="float64")
    )
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    first, second = (s.getForce(0) for s in (system, again))
    assert list(second.getParticles()) == chosen
    copy = openmm.XmlSerializer.clone(second)
    a = evaluate(openmm.XmlSerializer.clone(first), atoms.positions, atoms.cell.array)
    b = evaluate(copy, atoms.positions, atoms.cell.array)
    assert a[0] == b[0]
    assert np.array_equal(a[1], b[1])


def test_saved_module_with_two_lines_of_openmm_torch(
    torchforce_only: None, artifact: Path, tmp_path: Path
) -> None:
    atoms = water_box()
    path = tmp_path / "module.pt"
    save_torchforce_module(path, topology_of(atoms), artifact, dtype="float64")
    for periodic in (True, False):
        atoms.pbc = periodic
        force = openmm_torch.load_openmm_torch().TorchForce(str(path))
        force.setOutputsForces(True)
        force.setUsesPeriodicBoundaryConditions(periodic)
        found, forces = evaluate(force, atoms.positions, atoms.cell.array)
        expected, expected_forces = openmm_results(atoms, artifact, "torchforce", "float64")
        assert found == pytest.approx(expected, abs=1e-8)
        assert forces == pytest.approx(expected_forces, abs=1e-9)


def test_openmm_may_be_imported_first(torchforce_only: None) -> None:
    """Then OpenMM has tried to load the plugin's kernels without libtorch, and failed."""
    code = """
import openmm
from mlff_distiller_openmm import openmm_results
from ase import Atoms
print(openmm_results(Atoms("O"), "ultra-tiny", "torchforce")[0])
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(result.stdout) < -10.0


@pytest.mark.xfail(reason="openmm-torch 1.5 crashes when it reads a TorchForce from XML", strict=True)
def test_torchforce_survives_xml(torchforce_only: None) -> None:
    """In a process of its own. If this passes, docs/openmm.md and the OpenMM-ML factory can say so."""
    code = """
from mlff_distiller_openmm import create_force
import openmm
openmm.XmlSerializer.clone(create_force([8, 1, 1], "ultra-tiny", backend="torchforce"))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.filterwarnings("ignore:.torch.jit.*deprecated")
def test_module_runs_without_openmm_torch(artifact: Path, tmp_path: Path) -> None:
    """Frozen too, as for CUDA; with several numbers of edges: a scripted module can fail on its second call."""
    atoms = ethanol()
    path = tmp_path / "module.pt"
    save_torchforce_module(path, atoms.numbers, artifact)
    module = torch.jit.load(path)
    for call in (module, torch.jit.freeze(module.eval())):
        for scale in (1.0, 0.9, 100.0, 1.0):
            for dtype in (torch.float32, torch.float64):
                energy, forces = call(torch.tensor(scale * atoms.positions / ANGSTROM, dtype=dtype))
                assert energy.dtype == torch.float64
                assert forces.dtype == dtype
    expected = openmm_results(atoms, artifact, "pythonforce")[0]
    assert energy.item() / KJ_PER_MOL == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tensorflow"}, "expected backend auto, torchforce or pythonforce, got 'tensorflow'"),
        ({"force_group": 32}, "expected a force_group within 0 … 31, got 32"),
        ({"dtype": "float16"}, "expected dtype float32 or float64, got 'float16'"),
        ({"atoms": [0, 9]}, "different indices within 0 … 8, got 9 among them"),
        ({"atoms": [0, 0]}, "got one twice"),
        ({"atoms": []}, "got none"),
        (
            {"atoms": np.array([True, False] + 7 * [False])},
            "indices of particles in atoms=, whole numbers; got bool",
        ),
        ({"atoms": [0.9]}, "whole numbers; got float"),
    ],
)
def test_options_are_checked(options: dict, message: str, artifact: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        create_force(ethanol().numbers, artifact, **({"backend": "pythonforce"} | options))


def test_unknown_model() -> None:
    with pytest.raises(ArtifactError, match="there is no student 'huge'"):
        create_force([8, 1, 1], "huge", backend="pythonforce")


def test_unknown_element_is_refused_at_once(backend: str, artifact: Path) -> None:
    with pytest.raises(StructureError, match="atom 1 has atomic number 14, which this student does not know"):
        create_force([6, 14], artifact, backend=backend)
    with pytest.raises(StructureError, match="atom 0 has atomic number 14.*counted within atoms="):
        create_force([6, 14], artifact, backend=backend, atoms=[1])


def test_particle_without_element_is_refused(artifact: Path) -> None:
    topology = topology_of(ethanol())
    topology.addAtom("EP", None, next(topology.residues()))
    with pytest.raises(StructureError, match="particle 9 has no element.*leave it out with atoms="):
        create_force(topology, artifact, backend="pythonforce")
    create_force(topology, artifact, backend="pythonforce", atoms=range(9))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_not_finite(value: float, backend: str, artifact: Path) -> None:
    positions = ethanol().positions
    positions[2, 1] = value
    force = create_force(ethanol().numbers, artifact, backend=backend)
    with pytest.raises(openmm.OpenMMException, match="the position of atom 2 is not finite|NaN"):
        evaluate(force, positions)


def test_overlapping_atoms(backend: str, artifact: Path) -> None:
    positions = ethanol().positions
    positions[2] = positions[0] + [0.1, 0.0, 0.0]
    force = create_force(ethanol().numbers, artifact, backend=backend)
    with pytest.raises(openmm.OpenMMException, match="atoms 0 and 2 are 10 pm apart, less than 30 pm"):
        evaluate(force, positions)


def test_another_number_of_particles(backend: str, artifact: Path) -> None:
    force = create_force(ethanol().numbers, artifact, backend=backend)
    with pytest.raises(
        openmm.OpenMMException, match="expected 9 particles|made for 9 atoms, and the System gives it 24"
    ):
        evaluate(force, water_box().positions)


@pytest.mark.parametrize("numbers", [["O", "H", "H"], [8.7, 1.0, 1.0], ethanol()])
def test_what_are_no_atomic_numbers(numbers: Any) -> None:
    with pytest.raises(ConfigError, match="expected a Topology or atomic numbers, whole numbers; got"):
        create_force(numbers, "ultra-tiny", backend="pythonforce")


def test_threads_of_the_native_engine_change_no_result(artifact: Path) -> None:
    numbers, positions = ethanol().numbers, ethanol().positions
    one, two = (
        create_force(numbers, artifact, backend="pythonforce", device="cpu", threads=n) for n in (1, 2)
    )
    assert evaluate(one, positions)[0] == pytest.approx(evaluate(two, positions)[0], abs=1e-9)


def test_live_student_is_no_artifact(backend: str) -> None:
    with pytest.raises(ConfigError, match="not StudentForceField; export it first"):
        create_force([8, 1, 1], random_student(), backend=backend)  # pyright: ignore[reportArgumentType]


def test_missing_openmm_torch(monkeypatch: pytest.MonkeyPatch, artifact: Path) -> None:
    def not_installed(name: str) -> str:
        raise openmm_torch.PackageNotFoundError(name)

    monkeypatch.setattr(openmm_torch, "version", not_installed)
    openmm_torch.load_openmm_torch.cache_clear()
    with pytest.raises(
        MissingDependencyError, match=r"openmm-torch, which is not installed; install it.*openmm-torch\]"
    ):
        create_force([8, 1, 1], artifact, backend="torchforce")
    assert isinstance(create_force([8, 1, 1], artifact, backend="auto"), openmm.PythonForce)


def test_mismatched_openmm_torch(monkeypatch: pytest.MonkeyPatch, artifact: Path) -> None:
    monkeypatch.setattr(openmm_torch, "version", lambda _: "1.5")
    monkeypatch.setattr(openmm_torch.torch, "__version__", "2.13.0")
    openmm_torch.load_openmm_torch.cache_clear()
    with pytest.raises(
        MissingDependencyError, match=r"1.5 was compiled for torch 2.9, but torch 2.13.0 is installed"
    ):
        create_force([8, 1, 1], artifact, backend="torchforce")


def test_auto_takes_the_native_engine_on_a_cpu(torchforce_only: None, artifact: Path) -> None:
    for model in (artifact, mlff_distiller.load(artifact), NativePotential(artifact)):
        assert isinstance(create_force([8, 1, 1], model, device="cpu"), openmm.PythonForce)


def test_auto_takes_the_torchforce_on_a_gpu(
    torchforce_only: None, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "default_device", lambda: "cuda")
    openmm_torch.load_openmm_torch.cache_clear()
    force = create_force([8, 1, 1], artifact)
    assert openmm_torch.load_openmm_torch().TorchForce.isinstance(force)
