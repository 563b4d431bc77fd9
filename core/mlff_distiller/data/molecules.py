"""The molecules to sample: hand-written families plus products of string templates, as SMILES.

A template holds open slots ``{}``; a substituent is a SMILES fragment whose first atom binds to the slot.
Templates number their rings from 1 and substituents from 7, so that any fragment fits any slot. All products
of two lists would repeat the same few groups thousands of times. The lists therefore meet in a thinned grid:
row i meets column j where (i + j) is a multiple of a step, so that every fragment of a list occurs about
equally often.

Templates need no chemistry package; RDKit is needed only to tell which SMILES mean the same molecule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, combinations, cycle, product
from typing import TypeVar

from mlff_distiller.data.molecule_families import FAMILIES
from mlff_distiller.data.named_molecules import NAMED
from mlff_distiller.errors import require

__all__ = ["FAMILIES", "NAMED", "enumerated", "filling_molecules", "molecules", "without_stereo"]

Row = TypeVar("Row")
Column = TypeVar("Column")


def _fragments(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# No slot lies on a double bond or beside a saturated N, O or S: no enols, hemiacetals or hemiaminals arise.
_SCAFFOLDS = _fragments("""
    CC(C){} CCC{} C=CC{} C#CC{} CC(=C)C{} COCC{} CSCC{} CN(C)CC{} FC(F)C{} N#CC{} CC(=O)C{} COC(=O)C{}
    CN(C)C(=O)C{} CP(C)(=O)C{} CS(=O)(=O)CC{} C1CC1{} C1CC({})C1 C1CCC({})C1 C1=CCCC1{} C1OC1C{} C1COCC1{}
    C1COCCC1{} C1CSCCC1{} CN1CCC({})CC1 C12CC(C1)({})C2 C1CC2CC1CC2{} C12C3C4C1C5C2C3C45{}
    C1C2CC3CC1CC(C2)({})C3 c1ccccc1{} c1ccccc1C{} c1cc({})ccn1 c1cncc({})c1 c1nccc({})n1 c1nccnc1{}
    c1ccsc1{} c1cscc1{} c1coc(C{})c1 c1nc(C{})c[nH]1 Cn1ccc({})n1 Cc1nocc1{} c1ncsc1{} Cn1cc({})nn1
    c1ccc2occc2c1{} c1ccc2ncccc2c1{} Cn1cc({})c2ccccc12
""")

SUBSTITUENTS = _fragments("""
    F Cl C O N S C#N C=O C(=O)O C(N)=O OC NC N(C)C SC C(C)=O C(=O)OC OC(C)=O NC(C)=O [N+](=O)[O-] N=C=O
    S(C)(=O)=O S(N)(=O)=O C(F)(F)F OC(F)(F)F C=C C#C CO CN CCl CF P(C)C P(C)(C)=O P(=O)(OC)OC OP(=O)(OC)OC
    NC(N)=O C=NO N=[N+]=[N-] SC#N C(N)=S SSC S(C)=O C7CC7 N7CCOCC7 c7ccccc7 n7cccn7 c7ncco7 c7cccs7
    OC(=O)OC NS(C)(=O)=O SC(F)(F)F
""")

_TWO_SLOT_SCAFFOLDS = _fragments("""
    C({})C{} C({})CC{} CC({})C{} C({})/C=C/C{} C({})C#CC{} C({})C(=O)C{} C({})COCC{} C({})CSCC{}
    FC(F)(C{})C{} C1({})CC1{} C1({})CC({})C1 C12({})CC({})(C1)C2 C1({})CCC({})CC1 c1({})ccccc1{}
    c1({})cccc({})c1 c1({})ccc({})cc1 c1({})ccc({})nc1 c1({})cnc({})nc1 c1({})ccc({})s1 Cn1nc({})cc1{}
""")

_COMMON_SUBSTITUENTS = _fragments(
    "F Cl O N S OC SC C#N C=O C(=O)O C(N)=O [N+](=O)[O-] S(C)(=O)=O P(C)C C(F)(F)F C#C"
)

_PAIRS = tuple(combinations(_COMMON_SUBSTITUENTS, 2))

_AMINES = _fragments("""
    CN{} CN(C){} CC(C)N{} C=CCN{} C1CC1N{} C1CN({})C1 C1CCN({})C1 C1CCN({})CC1 C1OCCN({})C1 CN1CCN({})CC1
    c1ccccc1N{} c1ccncc1N{} COCCN{} N#CCN{} FC(F)(F)CN{} CON(C){} CN(C)N{} c1cn({})cn1 c1ccn({})c1
    C1=CCN({})C1
""")

_ALCOHOLS_AND_THIOLS = _fragments("""
    CO{} CCO{} CC(C)O{} C=CCO{} C#CCO{} COCCO{} FC(F)(F)CO{} C1CCC1O{} C1COCC1O{} c1ccccc1O{} c1cnccc1O{}
    c1coc(CO{})c1 CC(C)=NO{} CS{} CC(C)S{} c1ccccc1S{}
""")

_ACYL_GROUPS = _fragments("""
    C=O C(C)=O C(=O)C(C)C C(=O)C=C C(=O)CO C(=O)CCl C(=O)C(F)(F)F C(=O)c7ccccc7 C(=O)c7ccco7 C(=O)OC
    C(=O)NC C(N)=O S(C)(=O)=O S(=O)(=O)c7ccccc7 P(=O)(OC)OC P(C)(C)=O C(C)=S C(=S)NC C#N C(=O)C7CC7
""")

# L-residues from N to C. Acids, amines, guanidine and imidazole are neutral, as in the gas phase.
_RESIDUES = _fragments("""
    NCC(=O) N[C@@H](C)C(=O) N[C@@H](C(C)C)C(=O) N[C@@H](CC(C)C)C(=O) N[C@@H]([C@@H](C)CC)C(=O)
    N7CCC[C@H]7C(=O) N[C@@H](CO)C(=O) N[C@@H]([C@@H](C)O)C(=O) N[C@@H](CS)C(=O) N[C@@H](CC(N)=O)C(=O)
    N[C@@H](CC(=O)O)C(=O) N[C@@H](CCC(N)=O)C(=O) N[C@@H](CCC(=O)O)C(=O) N[C@@H](CCSC)C(=O)
    N[C@@H](CCCCN)C(=O) N[C@@H](CCCN=C(N)N)C(=O) N[C@@H](Cc8c[nH]cn8)C(=O) N[C@@H](Cc8ccccc8)C(=O)
    N[C@@H](Cc8ccc(O)cc8)C(=O) N[C@@H](Cc8c[nH]c9ccccc89)C(=O)
""")
_LIGHT_RESIDUES = _RESIDUES[:11]  # three of these and both caps stay below 30 heavy atoms


def _thinned(rows: Sequence[Row], columns: Sequence[Column], step: int) -> Iterator[tuple[Row, Column]]:
    """Every pair (rows[i], columns[j]) for which (i + j) is a multiple of ``step``."""
    for i, row in enumerate(rows):
        for j in range(-i % step, len(columns), step):
            yield row, columns[j]


def _substituted() -> Iterator[str]:
    """Scaffolds with one and with two functional groups."""
    for scaffold, group in _thinned(_SCAFFOLDS, SUBSTITUENTS, step=6):
        yield scaffold.format(group)
    for scaffold, pair in _thinned(_TWO_SLOT_SCAFFOLDS, _PAIRS, step=11):
        yield scaffold.format(*pair)


def _acylated() -> Iterator[str]:
    """Amides, esters and their carbonic, sulphonic, phosphoric, thio and cyano relatives."""
    for nucleophile, acyl in chain(
        _thinned(_AMINES, _ACYL_GROUPS, step=3), _thinned(_ALCOHOLS_AND_THIOLS, _ACYL_GROUPS, step=4)
    ):
        yield nucleophile.format(acyl)


def _full_grids() -> Iterator[str]:
    """Every product of the lists that `_substituted` and `_acylated` thin."""
    for template, groups in chain(
        product(_SCAFFOLDS, SUBSTITUENTS), product(_AMINES + _ALCOHOLS_AND_THIOLS, _ACYL_GROUPS)
    ):
        yield template.format(groups)
    for template, pair in product(_TWO_SLOT_SCAFFOLDS, _PAIRS):
        yield template.format(*pair)


def _peptides() -> Iterator[str]:
    """Free amino acids, then chains of one to three residues between acetyl and N-methyl caps."""
    for residue in _RESIDUES:
        yield f"{residue}O"
    pairs = _thinned(_RESIDUES, _RESIDUES, step=4)
    light_pairs = _thinned(_LIGHT_RESIDUES, _LIGHT_RESIDUES, step=4)
    triples = ((*pair, third) for pair, third in zip(light_pairs, cycle(_LIGHT_RESIDUES), strict=False))
    for residues in chain(((residue,) for residue in _RESIDUES), pairs, triples):
        yield f"CC(=O){''.join(residues)}NC"


def enumerated() -> list[str]:
    """SMILES of the template products, in the order of the rule; a few repeat hand-written molecules."""
    return [*_substituted(), *_acylated(), *_peptides()]


@cache
def _distinct() -> tuple[str, ...]:
    chem = require("rdkit.Chem", extra="sample")
    everything = chain(chain.from_iterable(FAMILIES.values()), enumerated())
    return tuple(dict.fromkeys(chem.CanonSmiles(smiles) for smiles in everything))


def molecules() -> list[str]:
    """All distinct molecules as RDKit canonical SMILES: the hand-written first, then the enumerated ones.

    Raises:
        MissingDependencyError: RDKit is not installed.
    """
    return list(_distinct())


def filling_molecules(max_heavy_atoms: int) -> list[str]:
    """The template products that the thinned grids leave out, as RDKit canonical SMILES: more training molecules.

    None of them is a molecule of `molecules`, not even as a stereoisomer, so a test set drawn from that list stays unseen.

    Args:
        max_heavy_atoms: Larger products are left out.

    Raises:
        MissingDependencyError: RDKit is not installed.
    """
    chem = require("rdkit.Chem", extra="sample")
    seen = {without_stereo(smiles) for smiles in molecules()}
    found: dict[str, str] = {}
    for smiles in _full_grids():
        name = without_stereo(smiles)
        if name not in seen and chem.MolFromSmiles(name).GetNumHeavyAtoms() <= max_heavy_atoms:
            found.setdefault(name, chem.CanonSmiles(smiles))
    return list(found.values())


def without_stereo(smiles: str) -> str:
    """Canonical SMILES of the constitution: the same for all stereoisomers."""
    chem = require("rdkit.Chem", extra="sample")
    return chem.MolToSmiles(chem.MolFromSmiles(smiles), isomericSmiles=False)
