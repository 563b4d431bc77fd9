"""The live student: symmetry, derivatives and smoothness by the contract, and what only the live model has."""

from __future__ import annotations

import pytest
import torch
from tests.conftest import ELEMENTS, ethanol, random_student, tensors, triclinic_crystal
from tests.contract import ExactContract, PotentialContract, assert_close

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller.model.potential import StudentForceField


class TestFloat64(ExactContract):
    @pytest.fixture(params=[1, 3], ids=["one message pass", "three"])
    def potential(self, request: pytest.FixtureRequest) -> StudentForceField:
        return random_student(n_interactions=request.param)


class TestFloat32(PotentialContract):
    @pytest.fixture
    def potential(self) -> StudentForceField:
        return random_student(dtype=torch.float32)


def test_float32_agrees_with_float64() -> None:
    exact, single = random_student(dtype=torch.float32).double(), random_student(dtype=torch.float32)
    for atoms in (ethanol(), triclinic_crystal()):
        a, b = exact.predict(**tensors(atoms)), single.predict(**tensors(atoms))
        assert_close(b.energy, a.energy, 1e-5 * len(atoms))
        assert_close(b.forces, a.forces, 1e-4)


def test_energy_gradient_in_positions_is_minus_the_forces(student: StudentForceField) -> None:
    inputs = tensors(triclinic_crystal())
    inputs["positions"].requires_grad_(True)
    energy = student(**inputs)
    (gradient,) = torch.autograd.grad(energy.sum(), inputs["positions"])
    assert_close(-gradient, student.predict(**inputs).forces, 1e-9)


def test_works_under_no_grad_and_leaves_the_mode_alone(student: StudentForceField) -> None:
    with torch.no_grad():
        forces = student.predict(**tensors(ethanol())).forces
        assert not torch.is_grad_enabled()
    assert forces.abs().max() > 0.01


def test_repulsion_keeps_atoms_apart(student: StudentForceField) -> None:
    """Two carbon atoms at 0.5 Å push each other by more than 100 eV/Å, whatever the network says."""
    forces = student.predict(torch.tensor([6, 6]), torch.tensor([[0.0, 0, 0], [0, 0, 0.5]])).forces
    assert forces[0, 2] < -100
    assert forces[1, 2] > 100


def test_reference_energies_keep_float64_digits() -> None:
    student = random_student(dtype=torch.float32)
    assert student.reference.e0.dtype == torch.float64
    assert student.reference.e0[0].item() == -10.123456789


def test_energies_of_isolated_atoms_hold_e0(student: StudentForceField) -> None:
    shifted = random_student()
    shifted.set_scales({z: -10.0 * z - 1.123456789 for z in ELEMENTS}, energy_scale=1.3, mean_neighbors=9.0)
    a, b = student.predict(**tensors(ethanol())), shifted.predict(**tensors(ethanol()))
    assert_close(b.energy, a.energy - 9.0, 1e-6)  # the scale passes through float32
    assert_close(b.forces, a.forces, 1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": torch.full((9, 3), torch.nan)}, "position of atom 0 is not finite"),
        ({"positions": torch.zeros(8, 3)}, r"expected positions of shape \(9, 3\)"),
        ({"pbc": torch.tensor([True, True, True])}, "cell is singular"),
        ({"batch": torch.tensor([0, 1, 0, 0, 0, 0, 0, 0, 0])}, "batch sorted"),
        ({"pbc": None}, "no pbc"),
        ({"cell": None, "pbc": torch.tensor([True, False, False])}, "no cell"),
        ({"cell": torch.full((3, 3), torch.inf), "pbc": torch.tensor([True, True, True])}, "singular"),
    ],
)
def test_refuses_what_could_only_give_a_wrong_number(
    student: StudentForceField, change, message: str
) -> None:
    with pytest.raises(StructureError, match=message):
        student.predict(**{**tensors(ethanol()), **change})


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_features": 15},
        {"n_features": 0},
        {"n_interactions": 0},
        {"n_rbf": 0},
        {"cutoff": 0.0},
        {"elements": [1, 101]},
        {"elements": []},
    ],
)
def test_refuses_impossible_sizes(arguments) -> None:
    with pytest.raises(ConfigError):
        StudentForceField(**{"n_features": 16, "n_interactions": 2, "n_rbf": 8, **arguments})


def test_all_hundred_elements_are_accepted_by_default() -> None:
    student = StudentForceField(8, 1, 4)
    assert student.elements == list(range(1, 101))
    assert torch.isfinite(student.predict(torch.tensor([100]), torch.zeros(1, 3)).energy).all()


def test_missing_reference_energy_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no reference energy for Cl"):
        random_student().set_scales(dict.fromkeys(ELEMENTS[:-1], 0.0), 1.0, 10.0)


@pytest.mark.parametrize("n_interactions", [1, 3])
def test_stages_for_domains_give_the_whole(n_interactions: int) -> None:
    student = random_student(n_interactions=n_interactions)
    graph = structures_graph([triclinic_crystal()], student.cutoff)
    species = student.species(graph.atomic_numbers)
    s, v, *geometry = student.domain_start(species, graph.edge_index, graph.edge_vec)
    for layer in range(n_interactions - 1):
        s, v = student.domain_update(layer, s, v)
        s, v = student.domain_message(layer, s, v, graph.edge_index, *geometry)
    e = student.domain_finish(species, s, v, graph.edge_index, graph.edge_vec)
    assert_close(e, student.interaction_energies(species, graph.edge_index, graph.edge_vec), 1e-12)
