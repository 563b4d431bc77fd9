"""Geometries from SMILES, their bonds, and relaxations with the teacher."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from mlff_distiller.data.sampling.config import ConformerConfig, RelaxConfig
from mlff_distiller.data.sampling.conformers import (
    EmbeddingError,
    canonical_smiles,
    embed,
    n_heavy_atoms,
    relaxation_frames,
    relaxation_path,
    smiles_topology,
)
from mlff_distiller.data.sampling.topology import Topology, bond_lengths, side_of_bond
from mlff_distiller.data.teachers import Teacher

pytest.importorskip("rdkit")

MOLECULES = [
    "C",
    "CCO",
    "c1ccccc1C",
    "C=CC(=O)N",
    "CS(=O)(=O)C",
    "C1CC1",
    "FC(F)(F)C#N",
    "O=C(O)c1ccncc1",
    "ClCCl",
]


def as_set(pairs: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in pairs.tolist()}


@pytest.mark.parametrize("smiles", MOLECULES)
def test_bonds_of_smiles_and_of_distances_agree(smiles: str, rng: np.random.Generator) -> None:
    """Two independent sources: RDKit's graph, and covalent radii."""
    from_smiles = smiles_topology(smiles)
    from_distances = Topology.from_distances(embed(smiles, rng, ConformerConfig())[0])
    assert as_set(from_smiles.bonds) == as_set(from_distances.bonds)
    assert as_set(from_smiles.rotatable) == as_set(from_distances.rotatable)


@pytest.mark.parametrize(
    ("smiles", "expected"), [("CC", 1), ("CCCC", 3), ("C=C", 0), ("c1ccccc1", 0), ("C", 0)]
)
def test_number_of_rotatable_bonds(smiles: str, expected: int) -> None:
    assert len(smiles_topology(smiles).rotatable) == expected


def test_side_of_a_bond() -> None:
    chain_with_ring = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 2]])
    np.testing.assert_array_equal(side_of_bond(5, chain_with_ring, 1, 2), [False, False, True, True, True])
    np.testing.assert_array_equal(side_of_bond(5, chain_with_ring, 2, 1), [True, True, False, False, False])
    assert side_of_bond(5, chain_with_ring, 2, 3) is None


def test_lengths_of_bonds() -> None:
    water = molecule("H2O")
    expected = [water.get_distance(0, 1), water.get_distance(0, 2)]
    np.testing.assert_allclose(bond_lengths(water.positions, np.array([[0, 1], [0, 2]])), expected)


def test_conformers_follow_the_seed() -> None:
    def positions(seed: int) -> np.ndarray:
        return embed("CCCO", np.random.default_rng(seed), ConformerConfig(n=2))[1].positions

    np.testing.assert_array_equal(positions(0), positions(0))
    assert np.abs(positions(0) - positions(1)).max() > 0.1


def test_charge_and_unpaired_electrons_are_kept(rng: np.random.Generator) -> None:
    ammonium, methyl, methane = (
        embed(smiles, rng, ConformerConfig())[0] for smiles in ("[NH4+]", "[CH3]", "C")
    )
    assert ammonium.get_initial_charges().sum() == 1
    assert methyl.get_initial_magnetic_moments().sum() == 1
    assert "initial_charges" not in methane.arrays


def test_names_and_sizes() -> None:
    assert canonical_smiles("OCC") == canonical_smiles("C(O)C") == "CCO"
    assert canonical_smiles("[H]OC") == "CO"
    assert n_heavy_atoms("CCO") == 3


@pytest.mark.parametrize("smiles", ["C(", "CC.O", ""])
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_one_molecule_is_refused(smiles: str) -> None:
    with pytest.raises(EmbeddingError):
        canonical_smiles(smiles)


def test_relaxation_goes_down_to_a_minimum(xtb: Teacher, rng: np.random.Generator) -> None:
    start = embed("CO", rng, ConformerConfig(mmff_steps=0))[0]
    path = relaxation_path(start, xtb, RelaxConfig(max_steps=50, max_force=0.02))
    frames = list(relaxation_frames(path, xtb, 3))
    np.testing.assert_array_equal(frames[0].positions, start.positions)
    energies = [frame.get_potential_energy() for frame in frames]
    assert energies == sorted(energies, reverse=True)
    assert np.linalg.norm(frames[-1].get_forces(), axis=1).max() < 0.02
    assert {frame.info["regime"] for frame in frames} == {"conformer"}


@pytest.mark.parametrize(
    ("n", "expected"), [(0, []), (1, [4]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_frames_of_a_relaxation_are_spread_over_it(
    springs: Callable[..., Teacher], n: int, expected: list[int]
) -> None:
    path = [Atoms("H2", [[0, 0, 0], [0, 0, 1 + k]]) for k in range(5)]
    frames = relaxation_frames(path, springs([(0, 1)], 1.0, 1.0), n)
    assert [round(frame.get_distance(0, 1)) - 1 for frame in frames] == expected
