"""The shipped molecules are what they claim: valid, neutral, distinct, diverse and embeddable."""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from mlff_distiller.data.molecules import FAMILIES, NAMED, enumerated, filling_molecules, molecules

Chem = pytest.importorskip("rdkit.Chem")
descriptors = pytest.importorskip("rdkit.Chem.rdMolDescriptors")
geometry = pytest.importorskip("rdkit.Chem.rdDistGeom")
cip = pytest.importorskip("rdkit.Chem.rdCIPLabeler")

ELEMENTS = {"H", "C", "N", "O", "F", "P", "S", "Cl"}


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    """SMILES -> RDKit molecule with explicit hydrogens; parsing sanitizes and gives None where that fails."""
    found = {smiles: Chem.MolFromSmiles(smiles) for smiles in molecules()}
    assert [smiles for smiles, molecule in found.items() if molecule is None] == []
    return {smiles: Chem.AddHs(molecule) for smiles, molecule in found.items()}


def charges_far_from_their_partner(molecule: Any) -> list[int]:
    """Atoms whose formal charge has no opposite charge on a neighbour."""
    return [
        atom.GetIdx()
        for atom in molecule.GetAtoms()
        if atom.GetFormalCharge()
        and not any(atom.GetFormalCharge() * other.GetFormalCharge() < 0 for other in atom.GetNeighbors())
    ]


REQUIREMENTS: dict[str, Callable[[Any], bool]] = {
    "elements": lambda molecule: {atom.GetSymbol() for atom in molecule.GetAtoms()} <= ELEMENTS,
    "1 to 30 heavy atoms": lambda molecule: 1 <= molecule.GetNumHeavyAtoms() <= 30,
    "neutral": lambda molecule: Chem.GetFormalCharge(molecule) == 0,
    "one fragment": lambda molecule: len(Chem.GetMolFrags(molecule)) == 1,
    "no radical": lambda molecule: not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()),
    "no zwitterion": lambda molecule: not charges_far_from_their_partner(molecule),
    "no isotope": lambda molecule: not any(atom.GetIsotope() for atom in molecule.GetAtoms()),
}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_molecule_meets(requirement: str, parsed: dict[str, Any]) -> None:
    holds = REQUIREMENTS[requirement]
    assert [smiles for smiles, molecule in parsed.items() if not holds(molecule)] == []


@pytest.mark.parametrize(
    ("requirement", "smiles"),
    [
        ("elements", "CBr"),
        ("1 to 30 heavy atoms", "C" * 31),
        ("neutral", "C[NH3+]"),
        ("one fragment", "C.C"),
        ("no radical", "[CH3]"),
        ("no zwitterion", "[NH3+]CC(=O)[O-]"),
        ("no isotope", "[13CH4]"),
    ],
)
def test_requirements_refuse_a_counterexample(requirement: str, smiles: str) -> None:
    assert not REQUIREMENTS[requirement](Chem.AddHs(Chem.MolFromSmiles(smiles)))


def test_molecules_are_distinct_and_canonical() -> None:
    found = molecules()
    assert len(found) >= 2800
    assert len({Chem.CanonSmiles(smiles) for smiles in found}) == len(found)
    assert [smiles for smiles in found if Chem.CanonSmiles(smiles) != smiles] == []


def mirror_image(smiles: str) -> str:
    """Canonical SMILES of the molecule with every stereocentre inverted."""
    return Chem.CanonSmiles(re.sub("@+", lambda mark: "@" if mark[0] == "@@" else "@@", smiles))


def test_no_molecule_is_the_mirror_image_of_another() -> None:
    # Mirror images have the same energies, so a split by molecule would leak between them.
    found = set(molecules())
    images = {smiles: mirror_image(smiles) for smiles in found}
    assert [smiles for smiles, image in images.items() if image != smiles and image in found] == []


def test_hand_written_molecules_come_first_and_do_not_repeat() -> None:
    hand_written = [Chem.CanonSmiles(smiles) for smiles in chain.from_iterable(FAMILIES.values())]
    assert len(hand_written) >= 700
    assert molecules()[: len(hand_written)] == hand_written


def test_every_family_is_worth_its_name() -> None:
    assert len(FAMILIES) >= 35
    assert {family: len(members) for family, members in FAMILIES.items() if len(members) < 15} == {}


def test_enumeration_is_deterministic_and_hardly_repeats_itself() -> None:
    products = enumerated()
    assert products == enumerated()
    assert len({Chem.CanonSmiles(smiles) for smiles in products}) > 0.98 * len(products) > 850


def test_callers_cannot_change_the_list() -> None:
    molecules().clear()
    assert molecules()


def test_sizes_keep_labelling_cheap(parsed: dict[str, Any]) -> None:
    sizes = [molecule.GetNumHeavyAtoms() for molecule in parsed.values()]
    assert 7 <= statistics.median(sizes) <= 10
    assert sum(size <= 16 for size in sizes) >= 0.8 * len(sizes)
    assert sum(size >= 17 for size in sizes) >= 0.07 * len(sizes)


@pytest.mark.parametrize(
    ("element", "least"), [("N", 1200), ("O", 1500), ("S", 400), ("F", 200), ("Cl", 200), ("P", 200)]
)
def test_every_element_is_common(element: str, least: int, parsed: dict[str, Any]) -> None:
    with_element = [m for m in parsed.values() if any(atom.GetSymbol() == element for atom in m.GetAtoms())]
    assert len(with_element) >= least


@pytest.mark.parametrize(
    "smiles",
    [
        "O", "N", "C", "F", "Cl", "S", "P", "O=C=O", "C=O", "CO", "CS(C)=O", "c1ccccc1",
        "CC(=O)Oc1ccccc1C(=O)O",  # aspirin
        "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",  # caffeine
        "C([C@@H]1[C@H]([C@@H]([C@H]([C@@H](O1)O)O)O)O)O",  # beta-D-glucose
        "C[C@@H](C(=O)NC)NC(=O)C",  # alanine dipeptide
        "N1C=NC2=C(N)N=CN=C12",  # adenine
        "C12C3C4C1C5C2C3C45",  # cubane
    ],
)  # fmt: skip
def test_well_known_molecules_are_there(smiles: str) -> None:
    assert Chem.CanonSmiles(smiles) in set(molecules())


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("aspirin", "C9H8O4"), ("caffeine", "C8H10N4O2"), ("celecoxib", "C17H14F3N3O2S"),
        ("morphine", "C17H19NO3"), ("cholesterol", "C27H46O"), ("testosterone", "C19H28O2"),
        ("biotin", "C10H16N2O3S"), ("AMP", "C10H14N5O7P"), ("sucrose", "C12H22O11"),
        ("artemisinin", "C15H22O5"), ("penicillin-G", "C16H18N2O4S"), ("DDT", "C14H9Cl5"),
        ("malathion", "C10H19O6PS2"), ("riboflavin", "C17H20N4O6"), ("glutathione", "C10H17N3O6S"),
        ("glyphosate", "C3H8NO5P"), ("cyclophosphamide", "C7H15Cl2N2O2P"), ("haloperidol", "C21H23ClFNO2"),
        ("limonene", "C10H16"), ("quinine", "C20H24N2O2"),
    ],
)  # fmt: skip
def test_named_compounds_have_their_formula(name: str, formula: str) -> None:
    assert descriptors.CalcMolFormula(Chem.MolFromSmiles(NAMED[name])) == formula


def cip_labels(smiles: str) -> str:
    """The CIP labels of all stereocentres, sorted."""
    molecule = Chem.MolFromSmiles(smiles)
    cip.AssignCIPLabels(molecule)
    return "".join(
        sorted(atom.GetProp("_CIPCode") for atom in molecule.GetAtoms() if atom.HasProp("_CIPCode"))
    )


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("beta-glucopyranose", "RRRSS"), ("beta-galactopyranose", "RRRRS"), ("beta-mannopyranose", "RRSSS"),
        ("adenosine", "RRRS"), ("thymidine", "RRS"), ("estradiol", "RSSSS"), ("cholesterol", "RRRRSSSS"),
        ("artemisinin", "RRRRSSS"),
    ],
)  # fmt: skip
def test_named_compounds_have_their_configuration(name: str, labels: str) -> None:
    # Labels as in the IUPAC names, e.g. (2R,3R,4S,5S,6R) for beta-D-glucopyranose.
    assert cip_labels(NAMED[name]) == labels


def test_peptides_are_built_of_the_twenty_l_amino_acids() -> None:
    free = [smiles for smiles in enumerated() if smiles.startswith("N") and smiles.endswith("C(=O)O")]
    formulas = {descriptors.CalcMolFormula(Chem.MolFromSmiles(smiles)) for smiles in free}
    assert formulas == {
        "C2H5NO2", "C3H7NO2", "C5H11NO2", "C6H13NO2", "C5H9NO2", "C3H7NO3", "C4H9NO3", "C3H7NO2S", "C4H8N2O3",
        "C4H7NO4", "C5H10N2O3", "C5H9NO4", "C5H11NO2S", "C6H14N2O2", "C6H14N4O2", "C6H9N3O2", "C9H11NO2",
        "C9H11NO3", "C11H12N2O2",
    }  # fmt: skip
    # All centres are S, but for the side chain of threonine, and for cysteine, where sulphur ranks first.
    assert sorted(map(cip_labels, free)) == sorted(["", *["S"] * 16, "SS", "RS", "R"])


def test_filling_molecules_are_new_small_and_those_of_the_recipe() -> None:
    """None is a molecule of the list, from which test molecules are drawn, whatever its configuration."""
    chem = pytest.importorskip("rdkit.Chem")

    def flat(smiles: str) -> str:
        return chem.MolToSmiles(chem.MolFromSmiles(smiles), isomericSmiles=False)

    found = filling_molecules(max_heavy_atoms=14)
    names = [flat(smiles) for smiles in found]
    assert len(set(names)) == len(names)
    assert not set(names) & {flat(smiles) for smiles in molecules()}
    assert max(chem.MolFromSmiles(smiles).GetNumHeavyAtoms() for smiles in found) <= 14
    recipe = Path(__file__).parents[2] / "recipes" / "molecules" / "fill.smi"
    assert set(recipe.read_text(encoding="utf-8").split()) == set(found)


def test_only_the_merged_list_needs_rdkit() -> None:
    script = """
import sys
sys.modules["rdkit"] = None  # import then raises ModuleNotFoundError
from mlff_distiller.data.molecules import enumerated, molecules
from mlff_distiller.errors import MissingDependencyError
assert enumerated()
try:
    molecules()
except MissingDependencyError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "mlff-distiller[sample]" in done.stdout


def test_a_random_sample_can_be_embedded(parsed: dict[str, Any]) -> None:
    parameters = geometry.ETKDGv3()
    parameters.randomSeed = 7
    sample = random.Random(7).sample(sorted(parsed), 40)
    failed = [
        smiles for smiles in sample if geometry.EmbedMolecule(Chem.Mol(parsed[smiles]), parameters) != 0
    ]
    assert failed == []
