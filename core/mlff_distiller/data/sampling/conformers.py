"""Start geometries: conformers from SMILES by RDKit, and short relaxations with the teacher.

ETKDGv3: Wang, Witek, Landrum, Riniker, J. Chem. Inf. Model. 60, 2044 (2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import LBFGS

from mlff_distiller.data.sampling.config import ConformerConfig, RelaxConfig
from mlff_distiller.data.sampling.frames import labelled
from mlff_distiller.data.sampling.topology import Topology
from mlff_distiller.data.teachers import Teacher
from mlff_distiller.errors import SamplingError, require


class EmbeddingError(SamplingError):
    """A molecule for which RDKit finds no geometry, or a SMILES that it cannot read."""

    reason = "embedding failed"


def parse_smiles(smiles: str) -> Any:
    """An RDKit molecule with its hydrogen atoms.

    Raises:
        EmbeddingError: The SMILES cannot be read, or is of more than one molecule.
    """
    chem = require("rdkit.Chem", extra="sample")
    molecule = chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise EmbeddingError(f"Expected the SMILES of a molecule, got {smiles!r}, which RDKit cannot read.")
    if "." in smiles:
        raise EmbeddingError(f"Expected one molecule, got {smiles!r}. Give its molecules one by one.")
    return chem.AddHs(molecule)


def canonical_smiles(smiles: str) -> str:
    """The canonical SMILES, by which a dataset names the molecule.

    Raises:
        EmbeddingError: The SMILES cannot be read, or is of more than one molecule.
    """
    chem = require("rdkit.Chem", extra="sample")
    return chem.MolToSmiles(chem.RemoveHs(parse_smiles(smiles)))


def n_heavy_atoms(smiles: str) -> int:
    """Number of atoms other than hydrogen."""
    return parse_smiles(smiles).GetNumHeavyAtoms()


def atomic_numbers(smiles: str) -> set[int]:
    """The elements of a molecule, hydrogen included.

    Raises:
        EmbeddingError: The SMILES cannot be read, or is of more than one molecule.
    """
    return {atom.GetAtomicNum() for atom in parse_smiles(smiles).GetAtoms()}


def embed(smiles: str, rng: np.random.Generator, settings: ConformerConfig) -> list[Atoms]:
    """Conformers of a molecule, relaxed by MMFF94 where it knows the atoms.

    Raises:
        EmbeddingError: The SMILES cannot be read, or RDKit finds no geometry.
    """
    all_chem = require("rdkit.Chem.AllChem", extra="sample")
    molecule = parse_smiles(smiles)
    parameters = all_chem.ETKDGv3()
    parameters.randomSeed = int(rng.integers(2**31 - 1))
    if not (ids := list(all_chem.EmbedMultipleConfs(molecule, settings.n, parameters))):
        parameters.useRandomCoords = True  # slower, but finds geometries of cages and large rings
        ids = list(all_chem.EmbedMultipleConfs(molecule, settings.n, parameters))
    if not ids:
        raise EmbeddingError(
            f"RDKit finds no three-dimensional geometry of {smiles}. Leave the molecule out."
        )
    if settings.mmff_steps and all_chem.MMFFHasAllMoleculeParams(molecule):
        all_chem.MMFFOptimizeMoleculeConfs(molecule, maxIters=settings.mmff_steps)
    return [_to_atoms(molecule, i) for i in ids]


def _to_atoms(molecule: Any, conformer: int) -> Atoms:
    """ASE's form of an RDKit conformer, with formal charges and unpaired electrons where there are any."""
    atoms = Atoms(
        [atom.GetAtomicNum() for atom in molecule.GetAtoms()], molecule.GetConformer(conformer).GetPositions()
    )
    charges = np.array([atom.GetFormalCharge() for atom in molecule.GetAtoms()], dtype=float)
    unpaired = np.array([atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()], dtype=float)
    if charges.any():
        atoms.set_initial_charges(charges)
    if unpaired.any():
        atoms.set_initial_magnetic_moments(unpaired)
    return atoms


def smiles_topology(smiles: str) -> Topology:
    """The bonds as the SMILES gives them, atoms in the order of `embed`."""
    molecule = parse_smiles(smiles)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    rotatable = [
        (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        for bond in molecule.GetBonds()
        if bond.GetBondTypeAsDouble() == 1.0
        and not bond.IsInRing()
        and min(bond.GetBeginAtom().GetDegree(), bond.GetEndAtom().GetDegree()) > 1
    ]
    as_array = [np.array(pairs, dtype=np.int64).reshape(-1, 2) for pairs in (bonds, rotatable)]
    return Topology(molecule.GetNumAtoms(), *as_array)


def relaxation_path(atoms: Atoms, teacher: Teacher, settings: RelaxConfig) -> list[Atoms]:
    """The geometries, without labels, of a relaxation with the teacher, its start and its end included."""
    system = atoms.copy()
    system.calc = teacher.calculator
    teacher.calculator.reset()  # what was computed before must not matter
    path = []
    optimizer = LBFGS(system, logfile=None)  # pyright: ignore[reportArgumentType]  # ASE means "no log"
    for _ in optimizer.irun(fmax=settings.max_force, steps=settings.max_steps):
        path.append(atoms.copy())
        path[-1].positions = system.positions
    return path


def relaxation_frames(path: list[Atoms], teacher: Teacher, n: int) -> Iterator[Atoms]:
    """``n`` labelled frames of a relaxation path, evenly spaced, the last one always among them."""
    for index in np.unique(np.linspace(len(path) - 1, 0, n).round().astype(int)):
        yield labelled(path[index], teacher, "conformer")
