"""Nearly every small molecule that plain valences allow, as SMILES: rare groups, each a few atoms away from the next.

Templates (`molecules`) repeat the groups that chemists wrote down. Small molecules are where a student meets what
no template has (thioketenes, cumulenes, strained rings of two heteroatoms), they cost a millisecond to label, and
their environments recur in large molecules. In the manner of GDB (Fink and Reymond, J. Chem. Inf. Model. 47, 342
(2007)) each molecule grows from a smaller one that is not refused, by one atom with each bond order, and may close one
ring. RDKit calls some rings of three and four atoms aromatic, and the refusals do not match those: 94 of the 2,502
molecules of ``recipes/molecules/small.smi`` (cyclopropenones, azetes and their like) are of kinds that they name.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from mlff_distiller.data.molecular_graphs import VALENCES, completed, has_any, kekulized
from mlff_distiller.data.molecules import molecules, without_stereo
from mlff_distiller.errors import require

__all__ = ["small_molecules"]

# What reacts within picoseconds at 1000 K, or that nobody simulates.
_REFUSED = (
    "[F,Cl]~[!#6]",  # halogens at anything but carbon
    "[!#6]~[!#6]~[!#6]",
    "[OX2,SX2]~[OX2]",  # peroxides
    "[OX2H,SX2H,NX3;!$(N-C=O)]-C=C",  # enols and enamines
    "[OX2H,SX2H,NX3H2,NX3H1]-[CX4]-[O,S,N,F,Cl]",  # hemiacetals and their like
    "[OH,SH,NH2,NH1]-C#C",
    "[NH1]=[#6]=*",
    "[NH]=C-[OH,SH]",
    "[NH]=[NH]",
    "[OH,SH]-[#7]=[#7]",
    "[OH,SH]C#N",
    "S.S.S",
    "[N,O,n,o].[N,O,n,o].[N,O,n,o].[N,O,n,o]",
    "[r]#[r]",
    "*=[r]=*",
    "[r3]=[r3]",
)


def small_molecules(max_heavy_atoms: int) -> list[str]:
    """Molecules of H, C, N, O, F, S and Cl with at most one ring, as sorted RDKit canonical SMILES without stereo marks.

    Phosphorus is left out: with its plain valence of three there would be nothing but phosphines. None is a molecule
    of `molecules`, not even as a stereoisomer, so a test set drawn from that list stays unseen.

    Args:
        max_heavy_atoms: The largest number of atoms other than hydrogen. 5 gives 2,502 molecules in a few seconds; each
            further atom gives some seven times as many.

    Raises:
        MissingDependencyError: RDKit is not installed.
    """
    chem = require("rdkit.Chem", extra="sample")
    level = {chem.CanonSmiles(element) for element in VALENCES}
    found = set(level)
    for _ in range(max_heavy_atoms - 1):
        grown = {larger for smiles in level for larger in _grown(smiles)}
        grown |= {ring for smiles in grown for ring in _closed(smiles)}
        level = {smiles for smiles in grown if _is_accepted(smiles)}
        found |= level
    return sorted(found - {without_stereo(smiles) for smiles in molecules()})


def _is_accepted(smiles: str) -> bool:
    molecule = require("rdkit.Chem", extra="sample").MolFromSmiles(smiles)
    return not has_any(molecule, _REFUSED)


def _grown(smiles: str) -> Iterator[str]:
    """The molecule with one more atom, at every atom with room for it and with every bond order."""
    chem = require("rdkit.Chem", extra="sample")
    molecule = kekulized(chem.MolFromSmiles(smiles))
    for atom in molecule.GetAtoms():
        for element, valence in VALENCES.items():
            for order in range(1, min(_free_valence(atom), valence, 3) + 1):
                larger = chem.RWMol(molecule)
                larger.AddBond(atom.GetIdx(), larger.AddAtom(chem.Atom(element)), chem.BondType.values[order])
                yield _canonical(larger)


def _closed(smiles: str) -> Iterator[str]:
    """The molecule with a ring, closed by a single bond between any two atoms with room for it."""
    chem = require("rdkit.Chem", extra="sample")
    molecule = kekulized(chem.MolFromSmiles(smiles))
    if molecule.GetRingInfo().NumRings():
        return
    open_atoms = [atom.GetIdx() for atom in molecule.GetAtoms() if _free_valence(atom) > 0]
    for i, j in combinations(open_atoms, 2):
        if molecule.GetBondBetweenAtoms(i, j) is None:
            ring = chem.RWMol(molecule)
            ring.AddBond(i, j, chem.BondType.SINGLE)
            yield _canonical(ring)


def _free_valence(atom: Any) -> int:
    return VALENCES[atom.GetSymbol()] - sum(int(bond.GetBondTypeAsDouble()) for bond in atom.GetBonds())


def _canonical(molecule: Any) -> str:
    return str(require("rdkit.Chem", extra="sample").MolToSmiles(completed(molecule)))
