"""What every teacher promises, on a calculator whose results are known."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from mlff_distiller.data.teachers import Teacher
from mlff_distiller.data.teachers.charge import spin_multiplicity, total_charge
from mlff_distiller.errors import TeacherError


class Fixed(Calculator):
    """Gives the results that it was made with, whatever the atoms are."""

    implemented_properties: ClassVar = ["energy", "forces", "stress"]

    def __init__(self, **results: object) -> None:
        super().__init__()
        self.fixed = results

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = dict(self.fixed)


class InfoEnergy(Calculator):
    """Its energy is an entry of atoms.info, which ASE's result cache does not watch."""

    implemented_properties: ClassVar = ["energy", "forces"]

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": atoms.info["field"], "forces": np.zeros((len(atoms), 3))}


def teacher_with(calculator: Calculator, **options) -> Teacher:
    return Teacher(
        name="t", version="1", method="m", licence="l", calculator=calculator, settings={"k": 1}, **options
    )


def test_label_is_a_copy_with_the_calculators_results():
    atoms = molecule("CH3OH")
    atoms.info.update(molecule_id="CO", regime="rattle")
    labelled = teacher_with(LennardJones(rc=8)).label(atoms)
    reference = atoms.copy()
    reference.calc = LennardJones(rc=8)
    assert labelled.get_potential_energy() == reference.get_potential_energy()
    np.testing.assert_array_equal(labelled.get_forces(), reference.get_forces())
    assert type(labelled.get_potential_energy()) is float
    assert labelled.info == {"molecule_id": "CO", "regime": "rattle"}
    assert set(labelled.calc.results) == {"energy", "forces"}
    assert atoms.calc is None


def test_stress_comes_with_three_dimensional_crystals_only():
    crystal = bulk("Ar", cubic=True)
    slab = crystal.copy()
    slab.pbc = (True, True, False)
    teacher = teacher_with(LennardJones(sigma=3.4, epsilon=0.0103, rc=8))
    reference = crystal.copy()
    reference.calc = LennardJones(sigma=3.4, epsilon=0.0103, rc=8)
    np.testing.assert_allclose(teacher.label(crystal).get_stress(), reference.get_stress(), rtol=0, atol=0)
    assert "stress" not in teacher.label(slab).calc.results


def test_forces_are_those_of_the_calculator_also_on_constrained_atoms():
    atoms = molecule("H2O")
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    labelled = teacher_with(LennardJones(rc=8)).label(atoms)
    assert np.abs(labelled.get_forces()).min(axis=0).max() > 0
    assert len(atoms.constraints) == 1


def test_label_uses_no_cached_result():
    teacher = teacher_with(InfoEnergy())
    first, second = Atoms("H", info={"field": 1.0}), Atoms("H", info={"field": 2.0})
    assert [teacher.label(a).get_potential_energy() for a in (first, second)] == [1.0, 2.0]


def test_a_result_that_is_left_over_is_no_result():
    class EnergyOnly(InfoEnergy):
        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            self.results["energy"] = 0.0

    teacher = teacher_with(EnergyOnly())
    teacher.calculator.results["forces"] = np.ones((1, 3))
    with pytest.raises(TeacherError, match="KeyError: 'forces'"):
        teacher.label(Atoms("H"))


def test_energy_is_the_property_that_the_forces_are_the_gradient_of():
    calculator = Fixed(energy=1.0, free_energy=2.0, forces=np.zeros((1, 3)))
    assert teacher_with(calculator).label(Atoms("H")).get_potential_energy() == 1.0
    labelled = teacher_with(calculator, energy_property="free_energy").label(Atoms("H"))
    assert labelled.get_potential_energy() == 2.0


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ({"energy": np.nan, "forces": np.zeros((3, 3))}, "energy is not finite"),
        ({"energy": 0.0, "forces": np.full((3, 3), np.inf)}, "forces is not finite"),
        ({"energy": 0.0, "forces": np.zeros((2, 3))}, r"shape \(2, 3\); expected \(3, 3\)"),
        ({"energy": 0.0}, "KeyError: 'forces'"),
    ],
)
def test_bad_results_are_refused(results, problem):
    with pytest.raises(TeacherError, match=rf"'t' cannot label H2O: .*{problem}"):
        teacher_with(Fixed(**results)).label(molecule("H2O"))


def test_failure_of_the_calculator_keeps_its_reason():
    with pytest.raises(TeacherError, match="H2O: KeyError: 'field'") as caught:
        teacher_with(InfoEnergy()).label(molecule("H2O"))
    assert isinstance(caught.value.__cause__, KeyError)


def test_defects_of_a_calculator_are_not_disguised():
    class Broken(Fixed):
        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            raise TypeError("a defect")

    with pytest.raises(TypeError, match="a defect"):
        teacher_with(Broken()).label(molecule("H2O"))


@pytest.mark.parametrize(
    ("atoms", "problem"),
    [
        (Atoms(), "no atoms: the structure is empty"),
        (Atoms("H", positions=[[np.nan, 0, 0]]), "not finite"),
        (Atoms("H", cell=[3, 0, 3], pbc=True), "singular"),
        (Atoms("H", cell=[3, 3, 0], pbc=[False, True, True]), "singular"),
        (Atoms("H2", positions=[[0, 0, 0], [0, 0, 1]], charges=[0.5, 0]), "whole number"),
        (Atoms("H2", positions=[[0, 0, 0], [0, 0, 1]], info={"charge": 1}), r"charge.* is 1, .* say 0"),
        (Atoms("H2", positions=[[0, 0, 0], [0, 0, 1]], info={"spin": 3}), r"spin.* is 3, .* say 1"),
    ],
)
def test_malformed_structures_are_refused(atoms, problem):
    with pytest.raises(TeacherError, match=problem):
        teacher_with(LennardJones(rc=8)).label(atoms)


@pytest.mark.parametrize(
    ("formula", "charges", "magmoms", "expected"),
    [
        ("H2O", None, None, (0, 1)),
        ("H2O", [1, 0, 0], None, (1, 2)),
        ("OH", None, None, (0, 2)),
        ("OH", [-1, 0], None, (-1, 1)),
        ("O2", None, [1, 1], (0, 3)),
        ("O2", None, [-1, -1], (0, 3)),
    ],
)
def test_charge_and_multiplicity(formula, charges, magmoms, expected):
    atoms = molecule(formula)
    atoms.set_initial_magnetic_moments(magmoms)
    atoms.set_initial_charges(charges)
    assert (total_charge(atoms), spin_multiplicity(atoms)) == expected


def test_metadata_is_text():
    metadata = teacher_with(LennardJones()).metadata()
    assert (metadata["teacher"], metadata["teacher_licence"]) == ("t", "l")
    assert json.loads(metadata["teacher_settings"]) == {"k": 1}
    assert all(isinstance(value, str) for value in metadata.values())
