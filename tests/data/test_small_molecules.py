"""The enumeration of small molecules against counts of isomers from textbooks, and the recipe's file against the enumeration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mlff_distiller.data.molecules import molecules, without_stereo
from mlff_distiller.data.small_molecules import small_molecules

Chem = pytest.importorskip("rdkit.Chem")
formula = pytest.importorskip("rdkit.Chem.rdMolDescriptors").CalcMolFormula

# Constitutional isomers; none of these formulas has an isomer that is refused (enols, hemiacetals, peroxides, N=N-H).
ISOMERS = {
    "C4H10": 2,
    "C5H12": 3,
    "C4H8": 5,
    "C5H10": 10,
    "C4H10O": 7,  # four alcohols, three ethers
    "C3H9N": 4,
    "C4H11N": 8,
    "C3H7Cl": 2,
    "C4H9Cl": 4,
    "C3H6Cl2": 4,
    "C2H4Cl2": 2,
    "C4H10S": 7,
}


@pytest.fixture(scope="module")
def small() -> list[str]:
    return small_molecules(5)


@pytest.mark.parametrize(("name", "count"), ISOMERS.items())
def test_all_isomers_are_found(small: list[str], name: str, count: int) -> None:
    everything = {*small, *map(without_stereo, molecules())}
    assert Counter(formula(Chem.MolFromSmiles(smiles)) for smiles in everything)[name] == count


def test_they_are_new_small_neutral_closed_shells(small: list[str]) -> None:
    assert not set(small) & {without_stereo(smiles) for smiles in molecules()}
    for smiles in small:
        molecule = Chem.MolFromSmiles(smiles)
        assert Chem.MolToSmiles(molecule) == smiles
        assert molecule.GetNumHeavyAtoms() <= 5
        assert Chem.GetFormalCharge(molecule) == 0
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        assert {atom.GetSymbol() for atom in molecule.GetAtoms()} <= {"C", "N", "O", "F", "S", "Cl"}


@pytest.mark.parametrize("smiles", ["C=CO", "OCO", "OO", "NF", "N=N", "OC#N", "NNN"])
def test_what_reacts_at_once_is_left_out(small: list[str], smiles: str) -> None:
    assert Chem.CanonSmiles(smiles) not in small


def test_the_file_of_the_recipe_is_the_enumeration(small: list[str]) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "molecules" / "small.smi"
    assert sorted(recipe.read_text(encoding="utf-8").split()) == small
