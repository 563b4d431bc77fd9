"""Variations of molecules: what every one must be, and that each kind of edit is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlff_distiller.data.molecules import molecules, without_stereo
from mlff_distiller.data.varied_molecules import varied_molecules
from mlff_distiller.errors import SamplingError

Chem = pytest.importorskip("rdkit.Chem")

RECIPES = Path(__file__).parents[2] / "recipes" / "molecules"


@pytest.fixture(scope="module")
def sources() -> list[str]:
    return (RECIPES / "train.smi").read_text(encoding="utf-8").split()


@pytest.fixture(scope="module")
def varied(sources: list[str]) -> list[str]:
    return varied_molecules(sources, 1000, 12, seed=3)


def test_they_are_new_small_neutral_closed_shells(sources: list[str], varied: list[str]) -> None:
    assert len(set(varied)) == len(varied) == 1000
    assert not set(varied) & {without_stereo(smiles) for smiles in [*sources, *molecules()]}
    for smiles in varied:
        molecule = Chem.MolFromSmiles(smiles)
        assert Chem.MolToSmiles(molecule, isomericSmiles=False) == smiles
        assert molecule.GetNumHeavyAtoms() <= 12
        assert Chem.GetFormalCharge(molecule) == 0
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        assert {atom.GetSymbol() for atom in molecule.GetAtoms()} <= {"C", "N", "O", "F", "P", "S", "Cl"}
        assert "." not in smiles


@pytest.mark.parametrize(
    ("source", "edited"),
    [
        ("c1ccc2ncccc2c1", "c1cnc2ccncc2c1"),  # one atom is of another element
        ("c1ccc2ncccc2c1", "C1=CCC2C=CC=NC2=C1"),  # a double bond is single
        ("CCCCOCC", "CCC=COCC"),  # a single bond is double
        ("CCCCOCC", "CC1CCOCC1"),  # a ring is closed
        ("CCCCOCC", "CCCCOC"),  # an atom is taken out
        ("CCCCOCC", "CCCOCC"),  # an end is cut
        ("CCCCOCC", "CCCCCOCC"),  # an atom is put between
        ("CCC", "CCCP(C)(C)=O"),  # a group is attached
        ("CC#CC", "CC#CCCC#CC"),  # two molecules are joined
    ],
)
def test_each_edit_is_made(source: str, edited: str) -> None:
    assert edited in varied_molecules([source], 200, 14)


def test_the_seed_draws_them(sources: list[str], varied: list[str]) -> None:
    assert varied_molecules(sources, 100, 12, seed=3) == varied[:100]
    assert varied_molecules(sources, 100, 12, seed=4) != varied[:100]


@pytest.mark.parametrize("sources", [[], ["C1CC"], ["CC.O"]])
def test_sources_that_are_no_molecules_are_refused(sources: list[str]) -> None:
    with pytest.raises(SamplingError):
        varied_molecules(sources, 1, 5)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(SamplingError, match="Ask for fewer"):
        varied_molecules(["C"], 10_000, 2)
