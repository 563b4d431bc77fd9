"""`DistilledCalculator`: the conformance suite, the skin, what ASE does with calculators, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.io.trajectory import Trajectory
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS
from ase.phonons import Phonons
from tests.conftest import ethanol, needs_cuda, random_student, triclinic_crystal
from tests.contract import EngineContract
from tests.native.conftest import export

from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.native import NativePotential
from mlff_distiller.registry import artifact_path, load
from mlff_distiller_ase import DistilledCalculator
from mlff_distiller_ase.engine import ase_single_point

BACKENDS = ("native", "torch")


class TestConformance(EngineContract):
    @pytest.fixture(
        params=[
            "native float32 cpu",
            "torch float32 cpu",
            "torch float64 cpu",
            pytest.param("torch float32 cuda", marks=needs_cuda),
        ]
    )
    def single_point(self, request: pytest.FixtureRequest, artifact: Path):
        backend, dtype, device = request.param.split()
        calculator = DistilledCalculator(artifact, backend=backend, dtype=dtype, device=device)
        return lambda atoms: ase_single_point(calculator, atoms)


def test_a_device_may_be_torchs() -> None:
    calculator = DistilledCalculator("ultra-tiny", device=torch.device("cpu"))
    assert isinstance(calculator.potential, NativePotential)
    assert calculator.parameters["device"] == "cpu"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("start", [ethanol, triclinic_crystal, lambda: water_box(2)])
def test_skin_changes_no_result(start, backend: str) -> None:
    """Along a trajectory with large steps, with atoms wrapped in between, and with the cell changed."""
    atoms = start()
    with_skin, without = (
        DistilledCalculator("ultra-tiny", skin=skin, backend=backend) for skin in (1.0, 0.0)
    )
    rng = np.random.default_rng(0)
    for step in range(12):
        atoms.positions += rng.normal(scale=0.04, size=(len(atoms), 3))
        if step == 5:
            atoms.wrap()
        if step == 8 and atoms.pbc.any():
            atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
        with_skin.calculate(atoms)
        without.calculate(atoms)
        np.testing.assert_allclose(with_skin.results["forces"], without.results["forces"], atol=2e-5)
        assert with_skin.results["energy"] == pytest.approx(without.results["energy"], abs=2e-5)
    assert with_skin.potential.n_neighbor_searches < without.potential.n_neighbor_searches == 12


@pytest.mark.parametrize("backend", BACKENDS)
def test_list_is_made_anew_when_anything_but_small_moves_changes(backend: str) -> None:
    calculator = DistilledCalculator("ultra-tiny", skin=1.0, backend=backend)
    atoms = triclinic_crystal()
    changes = [
        lambda a: a,
        lambda a: a.positions.__setitem__((0, 0), a.positions[0, 0] + 0.4),
        lambda a: a.positions.__setitem__(
            (0, 0), a.positions[0, 0] + 0.2
        ),  # 0.6 Å in all, more than half the skin
        lambda a: a.set_cell(a.cell.array * 1.01),
        lambda a: setattr(a, "pbc", (True, True, False)),
        lambda a: a.append("O"),
    ]
    searches = []
    for change in changes:
        change(atoms)
        atoms.positions[-1] = atoms.positions[0] + [1.5, 1.5, 1.5] if len(atoms) > 4 else atoms.positions[-1]
        calculator.calculate(atoms)
        searches.append(calculator.potential.n_neighbor_searches)
    assert searches == [1, 1, 2, 3, 4, 5]


def test_energies_stress_and_free_energy() -> None:
    atoms = triclinic_crystal()
    atoms.calc = DistilledCalculator("ultra-tiny")
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    assert atoms.get_stress().shape == (6,)
    molecule = ethanol()
    molecule.calc = DistilledCalculator("ultra-tiny")
    with pytest.raises(NotImplementedError):
        molecule.get_stress()


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluate_gives_what_single_calls_give(backend: str) -> None:
    structures = [ethanol(), triclinic_crystal(), Atoms("O"), water_box(2), ethanol()]
    calculator = DistilledCalculator("ultra-tiny", backend=backend)
    together = calculator.evaluate(structures, max_edges=300)  # several batches
    for atoms, results in zip(structures, together, strict=True):
        calculator.calculate(atoms)
        assert set(results) == set(calculator.results)
        for name, value in results.items():
            np.testing.assert_allclose(value, calculator.results[name], atol=2e-5)
    assert calculator.evaluate([]) == []


def test_evaluate_names_the_structure_at_fault() -> None:
    bad = Atoms("CHH", positions=[[0, 0, 0], [0, 0, 1.1], [0, 0.1, 0]])
    with pytest.raises(StructureError, match="structure 1: atoms 0 and 2 are 10 pm apart"):
        DistilledCalculator("ultra-tiny").evaluate([ethanol(), bad])


def test_optimiser_dynamics_and_trajectory(tmp_path: Path) -> None:
    atoms = ethanol()
    atoms.calc = DistilledCalculator("ultra-tiny")
    assert BFGS(atoms, logfile=None, trajectory=str(tmp_path / "opt.traj")).run(fmax=0.02, steps=200)
    relaxed = atoms.get_potential_energy()
    atoms.set_momenta(np.random.default_rng(0).normal(scale=0.3, size=(9, 3)))
    total = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.5 * units.fs).run(200)
    assert atoms.get_total_energy() == pytest.approx(total, abs=0.02)
    with Trajectory(str(tmp_path / "opt.traj")) as trajectory:
        assert trajectory[-1].get_potential_energy() == pytest.approx(relaxed, abs=1e-9)


def test_phonons_of_a_crystal_are_acoustic_at_gamma(tmp_path: Path) -> None:
    """Three branches vanish at Γ for any smooth potential without external forces."""
    from ase.build import bulk

    phonons = Phonons(
        bulk("C", a=3.6),
        DistilledCalculator("tiny", dtype="float64"),
        supercell=(2, 2, 2),
        name=str(tmp_path / "ph"),
    )
    phonons.run()
    phonons.read(acoustic=False)
    frequencies = np.sort(np.abs(phonons.band_structure(np.zeros((1, 3)))[0]))
    assert (frequencies[:3] < 1e-3 * frequencies[-1]).all()


def test_nudged_elastic_band_with_a_calculator_for_each_image() -> None:
    start, end = ethanol(), ethanol()
    end.rotate_dihedral(2, 0, 1, 3, 20.0)
    images = [start, start.copy(), end]
    for image in images:
        image.calc = DistilledCalculator("ultra-tiny")
    band = NEB(images, method="improvedtangent")
    band.interpolate()
    assert np.isfinite(band.get_forces()).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))], ids=["deepcopy", "pickle"]
)
def test_copies_compute_the_same_and_share_no_state(copied, backend: str) -> None:
    calculator = DistilledCalculator("ultra-tiny", backend=backend)
    calculator.calculate(ethanol())
    twin = copied(calculator)
    twin.calculate(triclinic_crystal())
    assert len(calculator.results["forces"]) == 9
    twin.calculate(ethanol())  # rounding differs with the order of the neighbours
    np.testing.assert_allclose(twin.results["forces"], calculator.results["forces"], atol=1e-5)


def test_todict_says_what_it_is() -> None:
    assert DistilledCalculator("ultra-tiny", skin=0.3).todict() == {
        "model": "ultra-tiny",
        "device": "cpu",
        "dtype": "float32",
        "skin": 0.3,
        "backend": "auto",
    }


def test_takes_a_loaded_potential() -> None:
    potential = load("ultra-tiny", dtype="float64")
    calculator = DistilledCalculator(potential)
    calculator.calculate(ethanol())
    expected = DistilledCalculator("ultra-tiny", dtype="float64")
    expected.calculate(ethanol())
    assert calculator.results["energy"] == expected.results["energy"]
    assert calculator.todict()["dtype"] == "float64"


def test_records_what_a_loaded_potential_is_and_not_what_was_asked() -> None:
    native = DistilledCalculator(
        NativePotential(artifact_path("ultra-tiny"), skin=0.3), dtype="float64", skin=2.0
    )
    found = native.todict()
    assert (found["dtype"], found["backend"], found["skin"]) == ("float32", "native", 0.3)


def test_options_cannot_be_changed_behind_its_back() -> None:
    with pytest.raises(ConfigError, match="dtype, skin cannot be changed; make a new DistilledCalculator"):
        DistilledCalculator("ultra-tiny").set(dtype="float64", skin=3.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_copies_find_their_file_from_another_folder(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.chdir(artifact.parent)
    calculator = DistilledCalculator(artifact.name, backend=backend)
    monkeypatch.chdir(tmp_path)
    copy.deepcopy(calculator).calculate(ethanol())
    pickle.loads(pickle.dumps(calculator)).calculate(ethanol())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (
            Atoms("CSi", positions=[[0, 0, 0], [0, 0, 1.9]]),
            "atom 1 has atomic number 14.*it knows H C N O F P S Cl",
        ),
        (Atoms("CO", positions=[[0, 0, 0], [0, 0, np.nan]]), "position of atom 1 is not finite"),
        (Atoms("CO", positions=[[0, 0, 0], [0, 0, 0.2]]), "atoms 0 and 1 are 20 pm apart"),
        (Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.2]], cell=[3, 3, 0], pbc=True), "singular"),
        (
            Atoms("CO", positions=[[0, 0, 0], [0, 0, 2e9]]),
            "position of atom 1 is more than 1e9 Å from the origin",
        ),
    ],
)
def test_refuses(atoms: Atoms, message: str, backend: str) -> None:
    with pytest.raises(StructureError, match=message):
        DistilledCalculator("ultra-tiny", backend=backend).calculate(atoms)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "fast"}, "unknown backend 'fast'; choose one of auto, native, torch"),
        ({"backend": "native", "dtype": "float64"}, "native engine computes in float32"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"skin": -1.0}, "skin"),
        ({"skin": np.inf, "backend": "native"}, "a finite skin"),
        ({"skin": "a", "backend": "native"}, "a finite skin"),
        ({"threads": 1.5, "backend": "native"}, "whole number of threads"),
        ({"device": "cuda:77"}, "cannot be used here"),
    ],
)
def test_refuses_options(arguments, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistilledCalculator("ultra-tiny", **arguments)


def test_what_is_no_model_and_what_is_one_structure() -> None:
    with pytest.raises(ConfigError, match="path of a student, got int; export it first"):
        DistilledCalculator(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="got one Atoms; put it in a list"):
        DistilledCalculator("ultra-tiny").evaluate(ethanol())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("distance", [3e5, 1e7])
def test_atoms_far_apart_do_not_feel_each_other(distance: float, backend: str) -> None:
    """In a row, which ends the process in vesin. Also in batches, whose neighbour search is another."""
    calculator = DistilledCalculator("ultra-tiny", backend=backend)
    alone, both = ethanol(), ethanol()
    for k in range(1, 4):
        other = ethanol()
        other.positions[:, 0] += distance * k
        both += other
    calculator.calculate(both)
    together, single = calculator.evaluate([both, alone])
    for energy in (calculator.results["energy"], together["energy"]):
        assert energy == pytest.approx(4 * single["energy"], abs=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_that_overflow_are_refused(backend: str, tmp_path: Path) -> None:
    student = random_student(dtype=torch.float32)
    with torch.no_grad():
        student.painn.readout[-1].weight.fill_(3e38)
    calculator = DistilledCalculator(export(student, tmp_path / "large.pt"), backend=backend)
    with pytest.raises(StructureError, match="is not finite: too many atoms are too close"):
        calculator.calculate(ethanol())
