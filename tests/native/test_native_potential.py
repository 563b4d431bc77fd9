"""The native engine against the contract of every backend, and against float64 eager."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from mlff_distiller.export.torchscript import student_from_artifact
from mlff_distiller.native import Evaluation, NativePotential
from tests.conftest import ethanol, random_student, tensors, triclinic_crystal
from tests.contract import PotentialContract
from tests.native.conftest import SHIPPED, box_of_atoms, export, relative_error


def evaluate(potential: NativePotential, atoms: Atoms) -> Evaluation:
    """One structure through the fast path."""
    return potential.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda n: f"{n} passes")
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    student = random_student(n_interactions=request.param)
    return export(student, tmp_path_factory.mktemp("contract") / "student.pt")


class TestContract(PotentialContract):
    tolerance = 2e-5

    @pytest.fixture
    def potential(self, artifact: Path) -> NativePotential:
        return NativePotential(artifact)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
@pytest.mark.parametrize(
    "make", [ethanol, lambda: molecule("C6H6"), lambda: box_of_atoms(192)], ids=["ethanol", "benzene", "box"]
)
def test_shipped_students_against_float64(path: Path, make) -> None:
    atoms = make()
    atoms.rattle(0.05, seed=4)
    student = student_from_artifact(path)[0].double()
    exact = student.predict(**tensors(atoms))
    native = evaluate(NativePotential(path), atoms)
    assert relative_error(native.forces, exact.forces) < 2e-5
    assert native.energy == pytest.approx(exact.energy.item(), abs=3e-6 * len(atoms))
    assert relative_error(native.atomic_energies, exact.atomic_energies) < 1e-6
    np.testing.assert_allclose(native.virial, exact.virial[0], atol=2e-5 * float(exact.virial.abs().max()))
