"""A committee in every backend: the mean of its members, the spread of their forces, and what it refuses."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.io.trajectory import Trajectory

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.dynamics import load_for_dynamics
from mlff_distiller.errors import ArtifactError, ConfigError
from mlff_distiller.evaluation.benchmark.formats import usable_formats
from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.torchscript import TorchScriptPotential, save_torchscript
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.committee import CommitteeForceField
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.native import NativePotential
from mlff_distiller.registry import load_model, load_student
from mlff_distiller_ase import DistilledCalculator, SpreadWarning
from tests.conftest import ethanol, random_student, triclinic_crystal
from tests.contract import ExactContract

SEEDS = (0, 1, 2)


def members(dtype: torch.dtype = torch.float64) -> list[StudentForceField]:
    return [random_student(seed, dtype) for seed in SEEDS]


@pytest.fixture(scope="module")
def committee_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small students of random weights in one file."""
    path = tmp_path_factory.mktemp("committee") / "committee.pt"
    committee = CommitteeForceField(members(torch.float32))
    save_torchscript(path, committee, describe(committee, "committee", Provenance()))
    return path


def reference(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and spread by numpy from the members' own answers in float64."""
    found = [member.compute(*structures_graph([atoms], 4.0)) for member in members()]
    forces = np.stack([p.forces.numpy() for p in found])
    deviation = np.linalg.norm(forces - forces.mean(0), axis=2)  # (M, N)
    return float(np.mean([p.energy.item() for p in found])), forces.mean(0), np.sqrt((deviation**2).mean(0))


class TestCommitteeConformance(ExactContract):
    @pytest.fixture
    def potential(self) -> CommitteeForceField:
        return CommitteeForceField(members())


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("atoms", [ethanol(), triclinic_crystal()], ids=["ethanol", "crystal"])
def test_backends_give_mean_and_spread(committee_file: Path, atoms: Atoms, backend: str) -> None:
    potential = load_for_dynamics(committee_file, backend=backend)
    found = potential.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    energy, forces, spread = reference(atoms)
    scale = np.abs(forces).max()
    assert found.energy == pytest.approx(energy, abs=1e-4)
    np.testing.assert_allclose(found.forces, forces, atol=2e-5 * scale)
    assert found.force_spread is not None
    np.testing.assert_allclose(found.force_spread, spread, atol=2e-5 * scale)
    assert spread.max() > 0.1, "members of random weights must differ"


def test_native_edges_give_the_mean(committee_file: Path) -> None:
    """The seam of edges, and with it the benchmark, the metrics and the batches."""
    graph = structures_graph([ethanol(), triclinic_crystal()], 4.0)
    native, script = (
        NativePotential(committee_file).compute(*graph),
        TorchScriptPotential(committee_file).compute(*graph),
    )
    for a, b in zip(native, script, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_batches_have_the_spread_of_each_structure(committee_file: Path, backend: str) -> None:
    calculator = DistilledCalculator(committee_file, backend=backend, max_spread=None)
    structures = [molecule("CH3OH"), molecule("H2O"), molecule("CH3CH2OH")]
    for atoms, results in zip(structures, calculator.evaluate(structures), strict=True):
        calculator.calculate(atoms)
        np.testing.assert_allclose(results["force_spread"], calculator.force_spread, rtol=1e-4)
    assert "force_spread" not in DistilledCalculator("ultra-tiny").evaluate(structures)[0]


def test_file_round_trip(committee_file: Path) -> None:
    committee = load_model(committee_file)
    assert isinstance(committee, CommitteeForceField)
    for found, made in zip(committee.student_members(), members(torch.float32), strict=True):
        torch.testing.assert_close(found.state_dict(), made.state_dict(), rtol=0, atol=0)
    metadata = TorchScriptPotential(committee_file).metadata
    assert (metadata.n_members, metadata.n_parameters) == (3, 3 * members()[0].n_parameters())


def test_e0_stays_exact_in_both_dtypes(committee_file: Path) -> None:
    """An atom alone has E0 and what the network adds; a float32 E0 would be off by 1e-6 eV."""
    single = TorchScriptPotential(committee_file, dtype="float32")
    e0 = [module.e0 for module in single.module.modules() if hasattr(module, "e0")]
    assert len(e0) == 3
    for table, member in zip(e0, members(), strict=True):
        torch.testing.assert_close(table, member.reference.e0, rtol=0, atol=0)


def test_calculator_reports_and_warns_once(committee_file: Path) -> None:
    atoms = ethanol()
    atoms.calc = DistilledCalculator(committee_file, max_spread=0.1)
    with pytest.warns(SpreadWarning, match=r"disagree on the force on atom \d"):
        atoms.get_forces()
    spread = atoms.calc.force_spread
    assert spread is not None
    assert spread.shape == (len(atoms),)
    with warnings.catch_warnings():  # still beyond: no second warning
        warnings.simplefilter("error", SpreadWarning)
        atoms.rattle(0.01)
        atoms.get_forces()
    quiet = ethanol()
    quiet.calc = DistilledCalculator(committee_file, max_spread=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SpreadWarning)
        quiet.get_forces()
    single = ethanol()
    single.calc = DistilledCalculator("ultra-tiny")
    single.get_forces()
    assert single.calc.force_spread is None


def test_results_of_a_committee_are_those_that_ase_knows(committee_file: Path, tmp_path: Path) -> None:
    atoms = ethanol()
    atoms.calc = DistilledCalculator(committee_file, max_spread=None)
    atoms.get_forces()
    assert "forces" in atoms.get_properties(["energy", "forces"])
    SinglePointCalculator(atoms, **atoms.calc.results)
    with Trajectory(tmp_path / "a.traj", "w") as trajectory:
        trajectory.write(atoms)
    write(tmp_path / "a.xyz", atoms)
    for name in ("a.traj", "a.xyz"):
        np.testing.assert_allclose(read(tmp_path / name).get_forces(), atoms.get_forces(), atol=1e-6)


def test_a_benchmark_leaves_out_the_formats_that_hold_one_student(committee_file: Path) -> None:
    assert usable_formats(None, "cpu", ["tiny", str(committee_file)]) == ["torchscript", "native"]


def test_copies_and_pickles(committee_file: Path) -> None:
    potential = NativePotential(committee_file)
    atoms = ethanol()
    arguments = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    again = pickle.loads(pickle.dumps(potential)).evaluate(*arguments)
    np.testing.assert_array_equal(again.forces, potential.evaluate(*arguments).forces)


def test_members_must_fit() -> None:
    with pytest.raises(ConfigError, match="at least two members"):
        CommitteeForceField([random_student()])
    with pytest.raises(
        ConfigError, match="member 1 of the committee differs from the first in n_interactions"
    ):
        CommitteeForceField([random_student(), random_student(n_interactions=2)])


def test_a_committee_is_no_student(committee_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds a committee of 3 students, and one is needed"):
        load_student(committee_file)
    with pytest.raises(ArtifactError, match="no ONNX form"):
        write_artifact(load_model(committee_file), "committee", Provenance(), tmp_path / "committee.onnx")
