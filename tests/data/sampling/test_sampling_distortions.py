"""Turned torsions and scaled bonds move what they should, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms

from mlff_distiller.data.sampling.config import BondConfig, ConformerConfig, TorsionConfig
from mlff_distiller.data.sampling.conformers import embed, smiles_topology
from mlff_distiller.data.sampling.distortions import scale_bond, scaled_bonds, turn_torsion, turned_torsions
from mlff_distiller.data.sampling.topology import Topology, bond_lengths
from mlff_distiller.data.teachers import Teacher

pytest.importorskip("rdkit")

BUTANOL = "CCCCO"


@pytest.fixture
def butanol(rng: np.random.Generator) -> tuple[Atoms, Topology]:
    return embed(BUTANOL, rng, ConformerConfig())[0], smiles_topology(BUTANOL)


@pytest.fixture
def nothing(springs: Callable[..., Teacher]) -> Teacher:
    """A teacher for which any geometry is as good as another."""
    return springs([], 0.0, 0.0)


@pytest.mark.parametrize("angle", [-2.5, -0.4, 0.1, 3.0])
def test_torsion_turns_by_its_angle(butanol: tuple[Atoms, Topology], angle: float) -> None:
    atoms, topology = butanol
    turned = turn_torsion(atoms, topology, 1, 2, angle)
    change = turned.get_dihedral(0, 1, 2, 3) - atoms.get_dihedral(0, 1, 2, 3)
    assert (change - np.degrees(angle) + 180) % 360 == pytest.approx(180, abs=1e-6)


def test_torsions_keep_bonds_and_angles(
    butanol: tuple[Atoms, Topology], nothing: Teacher, rng: np.random.Generator
) -> None:
    atoms, topology = butanol
    frames = list(turned_torsions([atoms], topology, nothing, rng, TorsionConfig(n=20)))
    assert len(frames) == 20
    for frame in frames:
        assert frame.info["regime"] == "torsion"
        np.testing.assert_allclose(
            bond_lengths(frame.positions, topology.bonds), bond_lengths(atoms.positions, topology.bonds)
        )
        for angle in ((0, 1, 2), (1, 2, 3), (2, 3, 4)):
            assert frame.get_angle(*angle) == pytest.approx(atoms.get_angle(*angle))
        found = Topology.from_distances(frame)
        assert {frozenset(bond) for bond in found.bonds.tolist()} == {
            frozenset(b) for b in topology.bonds.tolist()
        }
    dihedrals = [frame.get_dihedral(0, 1, 2, 3) for frame in frames]
    assert np.ptp(dihedrals) > 60


def test_clashing_torsions_are_left_out(
    butanol: tuple[Atoms, Topology], nothing: Teacher, rng: np.random.Generator
) -> None:
    atoms, topology = butanol
    assert list(turned_torsions([atoms], topology, nothing, rng, TorsionConfig(n=3, min_distance=9.0))) == []


def test_ring_has_no_torsion(nothing: Teacher, rng: np.random.Generator) -> None:
    atoms, topology = embed("C1CC1", rng, ConformerConfig())[0], smiles_topology("C1CC1")
    assert list(turned_torsions([atoms], topology, nothing, rng, TorsionConfig())) == []
    with pytest.raises(ValueError, match="ring"):
        turn_torsion(atoms, topology, 0, 1, 1.0)


@pytest.mark.parametrize("scale", [0.75, 1.35])
def test_scaled_bond_moves_its_side_rigidly(butanol: tuple[Atoms, Topology], scale: float) -> None:
    atoms, topology = butanol
    scaled = scale_bond(atoms, topology, 1, 2, scale)
    ratio = bond_lengths(scaled.positions, topology.bonds) / bond_lengths(atoms.positions, topology.bonds)
    is_scaled = (np.sort(topology.bonds, axis=1) == (1, 2)).all(axis=1)
    np.testing.assert_allclose(ratio, np.where(is_scaled, scale, 1.0))


def test_scaled_bond_in_a_ring_moves_two_atoms(rng: np.random.Generator) -> None:
    atoms, topology = embed("C1CC1", rng, ConformerConfig())[0], smiles_topology("C1CC1")
    scaled = scale_bond(atoms, topology, 0, 1, 1.2)
    assert scaled.get_distance(0, 1) == pytest.approx(1.2 * atoms.get_distance(0, 1))
    moved = np.abs(scaled.positions - atoms.positions).max(axis=1) > 0
    assert np.flatnonzero(moved).tolist() == [0, 1]


def test_scaled_bonds_stay_in_range_and_reach_all_bonds(
    butanol: tuple[Atoms, Topology], nothing: Teacher, rng: np.random.Generator
) -> None:
    atoms, topology = butanol
    frames = list(scaled_bonds([atoms], topology, nothing, rng, BondConfig(n=200)))
    start = bond_lengths(atoms.positions, topology.bonds)
    ratios = np.array([bond_lengths(frame.positions, topology.bonds) / start for frame in frames])
    assert 0.75 <= ratios.min() < 0.8
    assert 1.3 < ratios.max() <= 1.35
    assert (np.abs(ratios - 1) > 1e-9).any(axis=0).all()
    assert (np.abs(ratios - 1) > 1e-9).sum(axis=1).max() == 1


def test_lone_atom_has_no_bond(nothing: Teacher, rng: np.random.Generator) -> None:
    assert list(scaled_bonds([Atoms("He")], Topology.without_bonds(1), nothing, rng, BondConfig())) == []


def test_strain_goes_on_top_of_any_start(
    butanol: tuple[Atoms, Topology], nothing: Teacher, rng: np.random.Generator
) -> None:
    atoms, topology = butanol
    other = atoms.copy()
    other.numbers[0] = 14
    frames = list(scaled_bonds([atoms, other], topology, nothing, rng, BondConfig(n=20)))
    assert {int(frame.numbers[0]) for frame in frames} == {6, 14}
