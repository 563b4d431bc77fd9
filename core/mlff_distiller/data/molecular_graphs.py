"""Editing molecules as RDKit graphs: what the generators of molecules share."""

from __future__ import annotations

from functools import cache
from typing import Any

from mlff_distiller.errors import require

VALENCES = {"C": 4, "N": 3, "O": 2, "S": 2, "F": 1, "Cl": 1}  # plain ones, of uncharged atoms


def kekulized(molecule: Any) -> Any:
    """An editable copy (RDKit's ``RWMol``) with single, double and triple bonds only."""
    chem = require("rdkit.Chem", extra="sample")
    edited = chem.RWMol(molecule)
    chem.Kekulize(edited, clearAromaticFlags=True)
    return edited


def completed(edited: Any) -> Any:
    """The molecule whose hydrogens follow from the valences again, and whose rings are aromatic where they should be.

    Changes ``edited``.

    Raises:
        rdkit.Chem.MolSanitizeException: An atom has more bonds than its valence allows.
    """
    chem = require("rdkit.Chem", extra="sample")
    for atom in edited.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
    chem.SanitizeMol(edited)
    return edited


def has_any(molecule: Any, patterns: tuple[str, ...]) -> bool:
    """Whether one of the SMARTS patterns is in the molecule."""
    return any(molecule.HasSubstructMatch(pattern) for pattern in _compiled(patterns))


@cache
def _compiled(patterns: tuple[str, ...]) -> tuple[Any, ...]:
    chem = require("rdkit.Chem", extra="sample")
    return tuple(chem.MolFromSmarts(pattern) for pattern in patterns)
