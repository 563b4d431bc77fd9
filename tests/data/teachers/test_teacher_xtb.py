"""The GFN-xTB teachers against tblite's own interface in atomic units, finite differences and themselves."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr, Hartree
from finite_differences import numerical_forces, numerical_stress
from joblib import Parallel, delayed

from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.errors import ConfigError, TeacherError

tblite_interface = pytest.importorskip("tblite.interface")


def rattled(name: str, seed: int, scale: float = 0.08) -> Atoms:
    atoms = molecule(name)
    atoms.rattle(scale, seed=seed)
    return atoms


def crystal() -> Atoms:
    """Two formaldehyde molecules in a sheared cell."""
    first, second = molecule("H2CO"), molecule("H2CO")
    second.rotate(70, (1, 1, 0))
    second.translate((2.6, 2.2, 2.4))
    atoms = first + second
    atoms.set_cell([[5.0, 0.2, 0.0], [0.0, 5.2, 0.3], [0.1, 0.0, 5.4]])
    atoms.pbc = True
    return atoms


@pytest.mark.parametrize("method", ["GFN1-xTB", "GFN2-xTB"])
@pytest.mark.parametrize("name", ["H2O", "CH4", "CH3CH2OH"])
def test_labels_agree_with_the_interface_in_atomic_units(method, name):
    atoms = rattled(name, seed=1)
    direct = tblite_interface.Calculator(method, atoms.numbers, atoms.positions / Bohr)
    direct.set("verbosity", 0)
    direct.set("accuracy", 0.01)
    results = direct.singlepoint()
    labelled = load_teacher(method.lower()).label(atoms)
    assert labelled.get_potential_energy() == pytest.approx(results["energy"] * Hartree, abs=1e-6)
    np.testing.assert_allclose(
        labelled.get_forces(), -results["gradient"] * Hartree / Bohr, rtol=0, atol=1e-4
    )


def test_gfn2_energy_of_water_is_the_published_one():
    # The example in the documentation of tblite's ASE calculator, for ASE's own geometry of water.
    assert load_teacher("gfn2-xtb").label(molecule("H2O")).get_potential_energy() == pytest.approx(
        -137.967776, abs=2e-6
    )


@pytest.mark.parametrize("name", ["gfn1-xtb", "gfn2-xtb"])
@pytest.mark.parametrize("atoms", [rattled("H2CO", seed=2), crystal()], ids=["molecule", "crystal"])
def test_forces_are_the_gradient_to_a_milli_electronvolt(name, atoms):
    teacher = load_teacher(name)
    numerical = numerical_forces(teacher.label, atoms, first=2, step=2e-3)
    np.testing.assert_allclose(teacher.label(atoms).get_forces()[:2], numerical, rtol=0, atol=1e-3)


def test_stress_is_the_strain_derivative():
    teacher = load_teacher("gfn1-xtb")
    stress = teacher.label(crystal()).get_stress()
    assert np.abs(stress).max() > 1e-3
    np.testing.assert_allclose(stress, numerical_stress(teacher.label, crystal()), rtol=0, atol=1e-5)


def test_labels_do_not_depend_on_the_order():
    frames = [rattled("CH3NO2", seed=seed) for seed in range(3)]
    teacher = load_teacher("gfn2-xtb", accuracy=10.0)  # loose: a warm start would leave its trace
    forward = [teacher.label(frame).get_forces() for frame in frames]
    backward = [teacher.label(frame).get_forces() for frame in reversed(frames)][::-1]
    np.testing.assert_array_equal(forward, backward)


def test_reset_makes_the_calculator_forget():
    frames = [rattled("CH3NO2", seed=seed) for seed in range(3)]
    teacher = load_teacher("gfn2-xtb", accuracy=10.0)
    forces = []
    for frame in frames:
        teacher.calculator.reset()
        frame.calc = teacher.calculator
        forces.append(frame.get_forces())
    np.testing.assert_array_equal(forces, [teacher.label(frame).get_forces() for frame in frames])


def test_charge_is_taken_from_the_atoms():
    neutral, cation = molecule("H2O"), molecule("H2O")
    cation.set_initial_charges([1, 0, 0])
    direct = tblite_interface.Calculator("GFN2-xTB", cation.numbers, cation.positions / Bohr, charge=1)
    direct.set("verbosity", 0)
    teacher = load_teacher("gfn2-xtb")
    energies = [teacher.label(atoms).get_potential_energy() for atoms in (neutral, cation)]
    assert energies[1] == pytest.approx(direct.singlepoint()["energy"] * Hartree, abs=1e-5)
    assert energies[1] - energies[0] > 5


def test_a_vacuum_cell_changes_nothing_but_periodicity_does():
    teacher, isolated, boxed, periodic = load_teacher("gfn2-xtb"), *(molecule("H2O") for _ in range(3))
    boxed.set_cell([4, 4, 4])
    periodic.set_cell([4, 4, 4])
    periodic.pbc = True
    energies = [teacher.label(atoms).get_potential_energy() for atoms in (isolated, boxed, periodic)]
    assert energies[0] == energies[1]
    assert abs(energies[2] - energies[0]) > 1e-3


@pytest.mark.parametrize(
    ("atoms", "problem"),
    [
        (Atoms("U"), "cannot label U: InputError: .*Z >86"),
        (Atoms("H2O", positions=[[0, 0, 0], [0, 0, 0], [0, 0, 1]]), "cannot label H2O: InputError: .*close"),
        (Atoms("He", cell=[4, 4, 4], pbc=[True, True, False]), "cannot label He: .*three-dimensional"),
    ],
)
def test_what_tblite_cannot_treat_is_refused(atoms, problem):
    with pytest.raises(TeacherError, match=problem):
        load_teacher("gfn2-xtb").label(atoms)


def test_no_convergence_is_an_error_and_the_teacher_lives_on():
    teacher = load_teacher("gfn2-xtb", max_iterations=2)
    with pytest.raises(TeacherError, match=r"cannot label C6H6: .*SCF not converged"):
        teacher.label(molecule("C6H6"))
    teacher.label(Atoms("He"))


def test_options_reach_the_calculation_and_the_metadata():
    hot = load_teacher("gfn2-xtb", electronic_temperature=20000.0)
    cold = load_teacher("gfn2-xtb")
    ozone = molecule("O3")
    assert hot.label(ozone).get_potential_energy() < cold.label(ozone).get_potential_energy() - 0.1
    assert '"electronic_temperature": 20000.0' in hot.metadata()["teacher_settings"]
    assert hot.version.startswith("GFN2-xTB, tblite 0.")


def test_options_are_checked():
    with pytest.raises(ConfigError, match="accuracy must be positive, got 0"):
        load_teacher("gfn2-xtb", accuracy=0)
    with pytest.raises(
        ConfigError, match="'charge'; its options are: accuracy, electronic_temperature, max_iter"
    ):
        load_teacher("gfn2-xtb", charge=1)


def _energy_in_a_worker(atoms: Atoms) -> float:
    return load_teacher("gfn2-xtb").label(atoms).get_potential_energy()


def test_worker_processes_give_the_same_label():
    atoms = rattled("CH4", seed=3)
    parallel = Parallel(n_jobs=2, backend="loky")  # n_jobs=1 would stay in this process
    energies = parallel([delayed(_energy_in_a_worker)(atoms)])
    assert energies == [_energy_in_a_worker(atoms)]
