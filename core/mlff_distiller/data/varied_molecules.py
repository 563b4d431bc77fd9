"""Random variations of known molecules, as SMILES: realistic chemistry that no list or template has.

Templates repeat a few ring systems and groups in a few surroundings, and a student is worst where a molecule has other
ones: fused heteroaromatics, lactams, amidines. Each molecule here is a known one after one to three random edits of its
graph, in the manner of genetic algorithms on molecular graphs (Jensen, Chem. Sci. 10, 3567 (2019)). After so few edits it
is still mostly what chemists made, so it stays closer to what is simulated than an enumeration does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from mlff_distiller.data.molecular_graphs import VALENCES, completed, has_any, kekulized
from mlff_distiller.data.molecules import SUBSTITUENTS, molecules, without_stereo
from mlff_distiller.data.sampling.conformers import canonical_smiles
from mlff_distiller.errors import SamplingError, require

__all__ = ["varied_molecules"]

_MAX_EDITS = 3
_MAX_MISSES = 2000  # in a row; of a long list every third draw or so is new

# What reacts within picoseconds at 1000 K, what cannot be embedded, or what nobody simulates.
_REFUSED = (
    "[F,Cl]~[O,N,F,Cl,SX2,PX3]",
    "[OX2]~[OX2,SX2]",  # peroxides
    "[SX2][SX2][SX2]",
    "[NX3,OX2,SX2;!$(*=,:*)]-[NX3,OX2,SX2;!$(*=,:*)]-[NX3,OX2,SX2;!$(*=,:*)]",
    "[OX2H,SX2H]-[C;!$(C=[!#6])]=C",  # enols
    "[OX2H,SX2H][CX4][OX2H,SX2H,F,Cl]",
    "[NX3;H1,H2][CX4][F,Cl]",
    "[OH,SH,NH2,NH1]-C#*",
    "[OH,SH]-[#7]=[#7]",
    "[NH]=[NH]",
    "[NH]=C-[OH,SH]",
    "C=C=C=*",
    "[r]#*",
    "*=[r]=*",
    "[r3]=[r3]",
    "[R3]",  # cages
)


def varied_molecules(sources: Sequence[str], n: int, max_heavy_atoms: int, *, seed: int = 0) -> list[str]:
    """Variations of molecules as distinct RDKit canonical SMILES without stereo marks, in the order in which they are drawn.

    None is in ``sources`` or in `molecules`, not even as a stereoisomer, so a test set drawn from that list stays unseen.

    Args:
        sources: SMILES of the molecules to vary: those of the training set alone, since variations of a test molecule
            would be its close relatives.
        n: How many.
        max_heavy_atoms: The largest number of atoms other than hydrogen.
        seed: Draws the molecules and their edits.

    Raises:
        MissingDependencyError: RDKit is not installed.
        SamplingError: The sources have not so many variations, or cannot be read.
    """
    constitutions = sorted({without_stereo(canonical_smiles(smiles)) for smiles in sources})
    if not constitutions:
        raise SamplingError("Expected at least one SMILES, got none.")
    known = {*constitutions, *map(without_stereo, molecules())}
    rng = random.Random(seed)
    found: dict[str, None] = {}
    misses = 0
    while len(found) < n:
        smiles = _varied(constitutions, rng)
        if smiles and smiles not in known and smiles not in found and _is_accepted(smiles, max_heavy_atoms):
            found[smiles] = None
            misses = 0
        elif (misses := misses + 1) == _MAX_MISSES:
            raise SamplingError(
                f"{_MAX_MISSES} variations in a row were known, too large or unstable; {len(found)} of {n} are found. "
                "Ask for fewer, or give more sources."
            )
    return list(found)


def _varied(sources: Sequence[str], rng: random.Random) -> str | None:
    """A source after one to three edits; None if one of them is impossible."""
    chem = require("rdkit.Chem", extra="sample")
    molecule = chem.MolFromSmiles(rng.choice(sources))
    for _ in range(rng.randint(1, _MAX_EDITS)):
        edited = kekulized(molecule)
        try:
            rng.choice(_EDITS)(edited, sources, rng)
            molecule = completed(_largest_part(edited))
        except (IndexError, chem.MolSanitizeException):  # no atom or bond of the kind that the edit needs
            return None
    return chem.MolToSmiles(molecule, isomericSmiles=False)


def _is_accepted(smiles: str, max_heavy_atoms: int) -> bool:
    chem = require("rdkit.Chem", extra="sample")
    molecule = chem.MolFromSmiles(smiles)
    return (
        molecule.GetNumHeavyAtoms() <= max_heavy_atoms
        and chem.GetFormalCharge(molecule) == 0
        and not has_any(molecule, _REFUSED)
    )


def _largest_part(edited: Any) -> Any:
    parts = require("rdkit.Chem", extra="sample").GetMolFrags(edited, asMols=True, sanitizeFrags=False)
    return max(parts, key=lambda part: part.GetNumHeavyAtoms())


def _exchange(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """Another element for an atom of plain valence: benzene to pyridine, furan to thiophene, a methyl to a halogen."""
    chem = require("rdkit.Chem", extra="sample")
    atom = rng.choice(
        [atom for atom in molecule.GetAtoms() if _bond_orders(atom) <= VALENCES.get(atom.GetSymbol(), 0)]
    )
    used = _bond_orders(atom)
    others = [
        element for element, valence in VALENCES.items() if used <= valence and element != atom.GetSymbol()
    ]
    atom.SetAtomicNum(chem.GetPeriodicTable().GetAtomicNumber(rng.choice(others)))


def _attach(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """A group for a hydrogen: a SMILES fragment whose first atom binds."""
    chem = require("rdkit.Chem", extra="sample")
    here = _open_atom(molecule, rng)
    anchor = molecule.GetNumAtoms()  # the "*"
    molecule.InsertMol(kekulized(chem.MolFromSmiles(f"*{rng.choice(SUBSTITUENTS)}")))
    (first,) = (neighbor.GetIdx() for neighbor in molecule.GetAtomWithIdx(anchor).GetNeighbors())
    molecule.AddBond(here, first, chem.BondType.SINGLE)
    molecule.RemoveAtom(anchor)


def _join(molecule: Any, sources: Sequence[str], rng: random.Random) -> None:
    """Another molecule for a hydrogen, itself less a hydrogen of a carbon or nitrogen."""
    chem = require("rdkit.Chem", extra="sample")
    partner = kekulized(chem.MolFromSmiles(rng.choice(sources)))
    there = molecule.GetNumAtoms() + _open_atom(partner, rng)
    here = _open_atom(molecule, rng)
    molecule.InsertMol(partner)
    molecule.AddBond(here, there, chem.BondType.SINGLE)


def _cut(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """A single bond cut that is in no ring; `_largest_part` is kept."""
    bond = rng.choice([bond for bond in _single_bonds(molecule) if not bond.IsInRing()])
    molecule.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())


def _insert(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """An atom into a single bond: a longer chain or a wider ring."""
    chem = require("rdkit.Chem", extra="sample")
    bond = rng.choice(_single_bonds(molecule))
    ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    molecule.RemoveBond(*ends)
    middle = molecule.AddAtom(chem.Atom(rng.choice("CCNOS")))
    for end in ends:
        molecule.AddBond(middle, end, chem.BondType.SINGLE)


def _contract(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """An atom of two single bonds taken out: a shorter chain or a narrower ring."""
    chem = require("rdkit.Chem", extra="sample")
    middle = rng.choice(
        [atom for atom in molecule.GetAtoms() if atom.GetDegree() == 2 and _bond_orders(atom) == 2]
    )
    first, second = (atom.GetIdx() for atom in middle.GetNeighbors())
    if molecule.GetBondBetweenAtoms(first, second) is None:
        molecule.AddBond(first, second, chem.BondType.SINGLE)
    molecule.RemoveAtom(middle.GetIdx())


def _close(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """A ring of five or six atoms closed by a single bond."""
    chem = require("rdkit.Chem", extra="sample")
    first = _open_atom(molecule, rng)
    distances = chem.GetDistanceMatrix(molecule)[first]
    second = rng.choice([k for k in _open_atoms(molecule) if distances[k] in (4, 5)])
    molecule.AddBond(first, second, chem.BondType.SINGLE)


def _unsaturate(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """A single bond made double."""
    chem = require("rdkit.Chem", extra="sample")
    open_atoms = set(_open_atoms(molecule))
    bonds = [
        bond
        for bond in _single_bonds(molecule)
        if {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} <= open_atoms
    ]
    rng.choice(bonds).SetBondType(chem.BondType.DOUBLE)


def _saturate(molecule: Any, _sources: Sequence[str], rng: random.Random) -> None:
    """A double bond between carbon and carbon, nitrogen or oxygen made single."""
    chem = require("rdkit.Chem", extra="sample")
    plain = {"C", "N", "O"}
    bonds = [
        bond
        for bond in molecule.GetBonds()
        if bond.GetBondType() == chem.BondType.DOUBLE
        and {bond.GetBeginAtom().GetSymbol(), bond.GetEndAtom().GetSymbol()} <= plain
        and not bond.GetBeginAtom().GetFormalCharge()
        and not bond.GetEndAtom().GetFormalCharge()
    ]
    rng.choice(bonds).SetBondType(chem.BondType.SINGLE)


# Drawn evenly, but for exchanges: they are twice as frequent
_EDITS: tuple[Callable[[Any, Sequence[str], random.Random], None], ...] = (
    _exchange,
    _exchange,
    _attach,
    _join,
    _cut,
    _insert,
    _contract,
    _close,
    _unsaturate,
    _saturate,
)


def _bond_orders(atom: Any) -> int:
    """The sum of the orders of the bonds to atoms other than hydrogen; more than any valence for an ion."""
    return 8 if atom.GetFormalCharge() else sum(int(bond.GetBondTypeAsDouble()) for bond in atom.GetBonds())


def _open_atoms(molecule: Any) -> list[int]:
    """The carbon and nitrogen atoms that have a hydrogen to give."""
    return [
        atom.GetIdx()
        for atom in molecule.GetAtoms()
        if atom.GetSymbol() in {"C", "N"} and atom.GetTotalNumHs()
    ]


def _open_atom(molecule: Any, rng: random.Random) -> int:
    return rng.choice(_open_atoms(molecule))


def _single_bonds(molecule: Any) -> list[Any]:
    single = require("rdkit.Chem", extra="sample").BondType.SINGLE
    return [bond for bond in molecule.GetBonds() if bond.GetBondType() == single]
