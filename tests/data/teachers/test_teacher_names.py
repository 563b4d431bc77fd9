"""Teachers by name: dispatch, misspelt names, wrong options, missing packages, calculators of one's own."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlff_distiller.data.teachers import load_teacher, teacher_names
from mlff_distiller.errors import ConfigError, MissingDependencyError, TeacherError


def not_a_calculator() -> str:
    return "calculator"


@pytest.fixture
def uninstalled(monkeypatch):
    """A function that makes a package look as if it were not installed."""

    def hide(package: str) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)  # the import system then says that there is none

    return hide


def test_the_default_is_gfn2():
    pytest.importorskip("tblite")
    assert load_teacher().name == "gfn2-xtb"
    assert load_teacher("GFN1_xTB").name == "gfn1-xtb"


@pytest.mark.parametrize(("misspelt", "meant"), [("gfn3-xtb", "gfn"), ("mace-of-small", "mace-off-small")])
def test_unknown_names_are_answered_with_the_known_ones(misspelt, meant):
    with pytest.raises(
        TeacherError, match=rf"Unknown teacher '{misspelt}'. Did you mean '{meant}.*Known: "
    ) as caught:
        load_teacher(misspelt)
    if not misspelt.startswith("mace"):
        assert all(name in str(caught.value) for name in teacher_names())


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("gfn2-xtb", "tblite", "xtb"),
        ("orb-v2", "orb_models", "orb"),
        ("mace-mp-small", "mace", "mace"),
        ("aimnet2", "aimnet", "aimnet2"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(uninstalled, name, package, extra):
    uninstalled(package)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*mlff-distiller\[{extra}\]"):
        load_teacher(name)


def test_an_ase_calculator_by_its_factory():
    teacher = load_teacher("ase:ase.calculators.emt:EMT", asap_cutoff=True)
    crystal = bulk("Cu", cubic=True)
    crystal.rattle(0.1, seed=1)
    labelled = teacher.label(crystal)
    crystal.calc = EMT(asap_cutoff=True)
    np.testing.assert_array_equal(labelled.get_forces(), crystal.get_forces())
    np.testing.assert_array_equal(labelled.get_stress(), crystal.get_stress())
    assert teacher.energy_property == "free_energy"
    assert teacher.version.startswith("ase 3.")
    assert "LGPL" in teacher.licence
    assert teacher.metadata()["teacher_settings"] == '{"asap_cutoff": true}'


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ase:ase.calculators.emt", "expected the form ase:package.module:factory"),
        ("ase:no_such_module_here:make", "cannot be imported .*PYTHONPATH"),
        ("ase:ase.calculators.emt:NoSuchThing", "has no callable 'NoSuchThing'"),
        (f"ase:{__name__}:not_a_calculator", "returned str; expected an ase"),
    ],
)
def test_what_is_no_factory_of_calculators_is_refused(name, problem):
    with pytest.raises(TeacherError, match=problem):
        load_teacher(name)


def test_options_that_a_factory_does_not_take_are_refused():
    with pytest.raises(ConfigError, match=r"does not take these options: .*'colour'"):
        load_teacher(f"ase:{__name__}:not_a_calculator", colour="red")


def test_a_student_is_a_teacher(monkeypatch):
    def student_teacher(source: str, **options):
        return source, options

    module = types.SimpleNamespace(student_teacher=student_teacher)
    monkeypatch.setitem(sys.modules, "mlff_distiller.data.student_teacher", module)
    assert load_teacher("student:runs/My_model.pt", device="cpu") == ("runs/My_model.pt", {"device": "cpu"})
