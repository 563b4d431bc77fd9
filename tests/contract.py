"""What every backend must do, whatever computes its numbers. Subclass `PotentialContract` and give a ``potential`` fixture.

The reference for symmetry is the potential itself on the transformed structure; nothing here knows how it works.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.spatial.transform import Rotation

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.engines import SinglePoint
from mlff_distiller.model.potential import Potential, Prediction
from tests.conftest import ethanol, triclinic_crystal


def compute(potential: Potential, *structures: Atoms) -> Prediction:
    """A batch of structures through the seam for engines."""
    return potential.compute(*structures_graph(structures, potential.cutoff))


def assert_close(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> None:
    """Equal within an absolute tolerance."""
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


class PotentialContract:
    """Energies in eV, forces in eV/Å; ``tolerance`` is absolute."""

    tolerance = 1e-4  # float32 networks with forces of some eV/Å

    @pytest.mark.parametrize("make", [ethanol, triclinic_crystal])
    @pytest.mark.parametrize("reflect", [1.0, -1.0], ids=["rotation", "reflection"])
    def test_rotation_and_reflection(self, potential: Potential, make, reflect: float) -> None:
        q = reflect * Rotation.random(random_state=3).as_matrix()
        atoms = make()
        turned = Atoms(atoms, positions=atoms.positions @ q.T, cell=atoms.cell.array @ q.T)
        a, b = compute(potential, atoms), compute(potential, turned)
        q = torch.from_numpy(q)
        assert_close(b.energy, a.energy, self.tolerance)
        assert_close(b.forces, a.forces @ q.T, self.tolerance)
        assert_close(b.stress, q @ a.stress @ q.T, self.tolerance)

    def test_permutation(self, potential: Potential) -> None:
        atoms = ethanol()
        order = np.random.default_rng(0).permutation(len(atoms))
        a, b = compute(potential, atoms), compute(potential, atoms[order])
        assert_close(b.energy, a.energy, self.tolerance)
        assert_close(b.forces, a.forces[order], self.tolerance)
        assert_close(b.atomic_energies, a.atomic_energies[order], self.tolerance)

    def test_wrapping_changes_nothing(self, potential: Potential) -> None:
        atoms = triclinic_crystal()
        moved = atoms.copy()
        moved.positions += np.array([[1, 0, 0], [0, -2, 1], [3, 3, 3], [0, 0, 0]]) @ atoms.cell.array
        a, b = compute(potential, atoms), compute(potential, moved)
        assert_close(b.energy, a.energy, self.tolerance)
        assert_close(b.forces, a.forces, self.tolerance)
        assert_close(b.stress, a.stress, self.tolerance)

    @pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, True, False)])
    def test_small_cell_equals_its_supercell(self, potential: Potential, pbc) -> None:
        atoms = triclinic_crystal()
        atoms.pbc = pbc
        repeats = [3 if periodic else 1 for periodic in pbc]
        supercell = atoms.repeat(repeats)
        n_copies = len(supercell) // len(atoms)
        a, b = compute(potential, atoms), compute(potential, supercell)
        assert_close(b.energy / n_copies, a.energy, self.tolerance)
        assert_close(b.forces, a.forces.repeat(n_copies, 1), self.tolerance)
        assert_close(b.stress, a.stress, self.tolerance)

    def test_batch_equals_single(self, potential: Potential) -> None:
        structures = [ethanol(), triclinic_crystal(), Atoms("O")]
        batch = compute(potential, *structures)
        singles = [compute(potential, atoms) for atoms in structures]
        assert_close(batch.energy, torch.cat([s.energy for s in singles]), self.tolerance)
        assert_close(batch.forces, torch.cat([s.forces for s in singles]), self.tolerance)
        assert_close(batch.virial, torch.cat([s.virial for s in singles]), self.tolerance)
        assert_close(batch.atomic_energies, torch.cat([s.atomic_energies for s in singles]), self.tolerance)

    def test_energy_is_the_sum_of_atomic_energies(self, potential: Potential) -> None:
        p = compute(potential, ethanol())
        assert_close(p.atomic_energies.sum(), p.energy[0], 1e-9)

    def test_forces_add_up_to_zero(self, potential: Potential) -> None:
        assert float(compute(potential, ethanol()).forces.sum(0).abs().max()) < 1e-9

    def test_far_apart_is_the_sum_of_the_parts(self, potential: Potential) -> None:
        one, other = ethanol(), ethanol()
        other.positions[:, 0] += 100.0
        pair = compute(potential, one + other)
        assert_close(pair.energy, 2 * compute(potential, one).energy, self.tolerance)

    def test_one_atom(self, potential: Potential) -> None:
        p = compute(potential, Atoms("O"))
        assert torch.isfinite(p.energy).all()
        assert p.forces.tolist() == [[0.0, 0.0, 0.0]]
        assert not p.stress.any()

    def test_no_edges_gives_the_free_atoms(self, potential: Potential) -> None:
        pair = compute(potential, Atoms("OC", positions=[[0, 0, 0], [0, 0, potential.cutoff + 0.01]]))
        free = [compute(potential, Atoms(symbol)).energy for symbol in "OC"]
        assert_close(pair.energy, sum(free), self.tolerance)
        assert not pair.forces.any()

    def test_several_sizes_in_turn(self, potential: Potential) -> None:
        """A scripted model can pass on its first call and fail on its second."""
        for _ in range(2):
            for atoms in (ethanol(), Atoms("O"), triclinic_crystal(), ethanol() * (1, 1, 1)):
                assert compute(potential, atoms).forces.shape == (len(atoms), 3)

    def test_inputs_stay_as_they_are(self, potential: Potential) -> None:
        graph = structures_graph([ethanol()], potential.cutoff)
        copies = [x.clone() for x in graph]
        potential.compute(*graph)
        assert all(torch.equal(x, y) for x, y in zip(graph, copies, strict=True))

    def test_edges_beyond_the_cutoff_count_for_nothing(self, potential: Potential) -> None:
        """An engine's list has a skin."""
        atoms = ethanol()
        a = potential.compute(*structures_graph([atoms], potential.cutoff))
        b = potential.compute(*structures_graph([atoms], potential.cutoff + 1.0))
        assert_close(b.energy, a.energy, self.tolerance)
        assert_close(b.forces, a.forces, self.tolerance)

    def test_unknown_element(self, potential: Potential) -> None:
        with pytest.raises(ValueError, match="atom 1 has atomic number 14.*knows H C N O F P S Cl"):
            compute(potential, Atoms("CSi", positions=[[0, 0, 0], [0, 0, 1.9]]))

    def test_overlapping_atoms(self, potential: Potential) -> None:
        with pytest.raises(ValueError, match="atoms 0 and 2 are 10 pm apart, less than 30 pm"):
            compute(potential, Atoms("CHH", positions=[[0, 0, 0], [0, 0, 1.1], [0, 0.1, 0]]))

    def test_edges_that_are_not_finite(self, potential: Potential) -> None:
        graph = structures_graph([ethanol()], potential.cutoff)
        graph.edge_vec[3] = torch.nan
        with pytest.raises(ValueError, match="the vector from atom 0 to atom . is not finite"):
            potential.compute(*graph)


class ExactContract(PotentialContract):
    """For float64 networks: tight tolerances, and derivatives against central differences."""

    tolerance = 1e-9
    step = 1e-4  # Å, or strain

    @pytest.mark.parametrize("make", [ethanol, triclinic_crystal])
    def test_forces_against_central_differences(self, potential: Potential, make) -> None:
        atoms = make()
        forces = compute(potential, atoms).forces
        for atom in range(0, len(atoms), 2):
            for axis in range(3):
                energies = []
                for sign in (1, -1):
                    moved = atoms.copy()
                    moved.positions[atom, axis] += sign * self.step
                    energies.append(compute(potential, moved).energy.item())
                numerical = -(energies[0] - energies[1]) / (2 * self.step)
                assert forces[atom, axis].item() == pytest.approx(numerical, abs=1e-6)

    def test_stress_against_central_differences(self, potential: Potential) -> None:
        atoms = triclinic_crystal()
        stress = compute(potential, atoms).stress[0]
        for a in range(3):
            for b in range(3):
                energies = []
                for sign in (1, -1):
                    strain = np.eye(3)
                    strain[a, b] += sign * self.step
                    strained = atoms.copy()
                    strained.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
                    energies.append(compute(potential, strained).energy.item())
                numerical = (energies[0] - energies[1]) / (2 * self.step) / atoms.get_volume()
                assert stress[a, b].item() == pytest.approx(numerical, abs=1e-7)

    def test_smooth_at_the_cutoff(self, potential: Potential) -> None:
        """Energy and force have no step as an atom crosses the cutoff, and the force dies off as (r_c - r)²."""

        def pair(r: float) -> tuple[float, float]:
            p = compute(potential, Atoms("CO", positions=[[0, 0, 0], [0, 0, r]]))
            return p.energy.item(), p.forces[0, 2].item()

        outside = pair(potential.cutoff + 1e-3)[0]
        energies, forces = zip(*(pair(potential.cutoff - delta) for delta in (1e-2, 1e-3)), strict=True)
        assert abs(energies[1] - outside) < 1e-7
        assert abs(forces[1]) < 1e-5
        assert abs(forces[1] / forces[0]) == pytest.approx(1e-2, rel=0.3)


class EngineContract:
    """What every engine must do, from positions to energies. Subclass it and give a ``single_point`` fixture.

    ``single_point`` takes a structure and gives a `SinglePoint`. The engine's student is one of random weights in which every
    term matters, so its forces are large.
    """

    tolerance = 1e-4  # eV and eV/Å
    step = 1e-2  # Å, or strain, of central differences: float32 energies are not exact enough for less
    derivative_tolerance = 1e-2  # of the largest component

    @pytest.mark.parametrize("make", [ethanol, triclinic_crystal])
    def test_rotation(self, single_point: Callable[[Atoms], SinglePoint], make) -> None:
        q = Rotation.random(random_state=5).as_matrix()
        atoms = make()
        turned = Atoms(atoms, positions=atoms.positions @ q.T, cell=atoms.cell.array @ q.T)
        a, b = single_point(atoms), single_point(turned)
        assert b.energy == pytest.approx(a.energy, abs=self.tolerance)
        np.testing.assert_allclose(b.forces, a.forces @ q.T, atol=self.tolerance)

    def test_permutation(self, single_point: Callable[[Atoms], SinglePoint]) -> None:
        atoms = ethanol()
        order = np.random.default_rng(1).permutation(len(atoms))
        a, b = single_point(atoms), single_point(atoms[order])
        assert b.energy == pytest.approx(a.energy, abs=self.tolerance)
        np.testing.assert_allclose(b.forces, a.forces[order], atol=self.tolerance)

    def test_lattice_translations(self, single_point: Callable[[Atoms], SinglePoint]) -> None:
        atoms = triclinic_crystal()
        moved = atoms.copy()
        moved.positions += np.array([[1, 0, 0], [0, -2, 1], [3, 3, 3], [0, 0, 0]]) @ atoms.cell.array
        a, b = single_point(atoms), single_point(moved)
        assert b.energy == pytest.approx(a.energy, abs=self.tolerance)
        np.testing.assert_allclose(b.forces, a.forces, atol=self.tolerance)

    def test_small_cell_equals_its_supercell(self, single_point: Callable[[Atoms], SinglePoint]) -> None:
        atoms = triclinic_crystal()
        a, b = single_point(atoms), single_point(atoms * (3, 2, 2))
        assert b.energy / 12 == pytest.approx(a.energy, abs=self.tolerance)
        np.testing.assert_allclose(b.forces, np.tile(a.forces, (12, 1)), atol=self.tolerance)

    def test_structure_stays_as_it_is(self, single_point: Callable[[Atoms], SinglePoint]) -> None:
        atoms = triclinic_crystal()
        copy = atoms.copy()
        single_point(atoms)
        assert atoms == copy

    def test_one_atom(self, single_point: Callable[[Atoms], SinglePoint]) -> None:
        point = single_point(Atoms("O"))
        assert np.isfinite(point.energy)
        assert not point.forces.any()

    def test_no_edges_gives_the_free_atoms(self, single_point: Callable[[Atoms], SinglePoint]) -> None:
        pair = single_point(Atoms("OC", positions=[[0, 0, 0], [0, 0, 6.0]]))
        free = sum(single_point(Atoms(symbol)).energy for symbol in "OC")
        assert pair.energy == pytest.approx(free, abs=self.tolerance)
        assert not pair.forces.any()

    @pytest.mark.parametrize("make", [ethanol, triclinic_crystal])
    def test_forces_against_central_differences(
        self, single_point: Callable[[Atoms], SinglePoint], make
    ) -> None:
        atoms = make()
        forces = single_point(atoms).forces
        for atom, axis in ((0, 0), (1, 2), (3, 1)):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[atom, axis] += sign * self.step
                energies.append(single_point(moved).energy)
            numerical = -(energies[0] - energies[1]) / (2 * self.step)
            scale = np.abs(forces).max()
            assert forces[atom, axis] == pytest.approx(numerical, abs=self.derivative_tolerance * scale)

    def test_pressure_against_central_differences(self, single_point: Callable[[Atoms], SinglePoint]) -> None:
        atoms = triclinic_crystal()
        stress = single_point(atoms).stress
        if stress is None:
            pytest.skip("this engine gives no stress")
        energies = []
        for sign in (1, -1):
            scaled = atoms.copy()
            scaled.set_cell(atoms.cell.array * (1 + sign * self.step / 3), scale_atoms=True)
            energies.append(single_point(scaled).energy)
        numerical = (energies[0] - energies[1]) / (2 * self.step / 3) / atoms.get_volume()
        assert stress[:3].sum() == pytest.approx(
            numerical, abs=3 * self.derivative_tolerance * np.abs(stress).max()
        )
