"""Compare an exported file with the live model before anyone gets to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list as ase_neighbor_list

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.errors import ArtifactError
from mlff_distiller.graph import Graph
from mlff_distiller.model.potential import Potential

ENERGY_TOLERANCE = 1e-5  # eV per atom
FORCE_TOLERANCE = 1e-4  # eV/Å
MOLECULES = (
    "H2O",
    "CH4",
    "C6H6",
    "CH3COOH",
    "CH3SH",
    "PH3",
    "CH3Cl",
    "CF4",
)  # used where their elements are known


@dataclass(frozen=True)
class Disagreement:
    """Largest differences on one structure: energy eV per atom, forces eV/Å, stress eV/Å³."""

    structure: str
    energy: float
    forces: float
    stress: float

    @property
    def acceptable(self) -> bool:
        """Within the tolerances; NaN is not."""
        return self.energy <= ENERGY_TOLERANCE and self.forces <= FORCE_TOLERANCE


def check_structures(elements: Sequence[int], cutoff: float) -> dict[str, Atoms]:
    """Structures that a broken export would get wrong, made of elements that the student knows.

    Molecules, a packed cluster, a triclinic crystal whose cell is smaller than the cutoff, a slab with mixed pbc, one atom,
    and two atoms just within and beyond the cutoff.
    """
    structures = {name: molecule(name) for name in MOLECULES if set(molecule(name).numbers) <= set(elements)}
    first = elements[0]
    structures["cluster"] = _packed(elements, n_atoms=24)
    crystal = _packed(elements, n_atoms=6)
    edge = float(np.ptp(crystal.positions, axis=0).max()) + 2.5 * covalent_radii[crystal.numbers].max()
    triclinic = edge * np.array([[1.0, 0.0, 0.0], [0.25, 1.0, 0.0], [-0.15, 0.2, 1.1]])
    structures["triclinic"] = Atoms(crystal, cell=triclinic, pbc=True)
    structures["slab"] = Atoms(crystal, cell=triclinic, pbc=(True, True, False))
    structures["one atom"] = Atoms([first])
    structures["within the cutoff"] = Atoms([first] * 2, positions=[[0, 0, 0], [0, 0, cutoff - 0.05]])
    structures["beyond the cutoff"] = Atoms([first] * 2, positions=[[0, 0, 0], [0, 0, cutoff + 0.05]])
    return structures


def compare(reference: Potential, other: Potential, structures: Mapping[str, Atoms]) -> list[Disagreement]:
    """Both potentials on every structure, and on all of them as one batch."""
    graphs = {name: structures_graph([atoms], reference.cutoff) for name, atoms in structures.items()}
    graphs["all as one batch"] = structures_graph(list(structures.values()), reference.cutoff)
    return [_disagreement(name, reference, other, graph) for name, graph in graphs.items()]


def require_agreement(
    reference: Potential, other: Potential, structures: Mapping[str, Atoms], what: str
) -> None:
    """Refuse an export that disagrees.

    Raises:
        ArtifactError: Names the structure and the differences.
    """
    for found in compare(reference, other, structures):
        if not found.acceptable:
            raise ArtifactError(
                f"{what} disagrees with the live model on {found.structure!r}: energy by {found.energy:.1e} eV/atom (limit "
                f"{ENERGY_TOLERANCE:.0e}), forces by {found.forces:.1e} eV/Å (limit {FORCE_TOLERANCE:.0e}); nothing was kept. "
                "Report this with the versions of torch and onnxruntime"
            )


def _disagreement(name: str, reference: Potential, other: Potential, graph: Graph) -> Disagreement:
    a, b = reference.compute(*graph), other.compute(*graph)
    n_atoms = torch.bincount(graph.batch, minlength=graph.cell.shape[0])
    differences = [((a.energy - b.energy) / n_atoms), a.forces - b.forces, a.stress - b.stress]
    return Disagreement(name, *(float(x.abs().max()) for x in differences))


def _packed(elements: Sequence[int], n_atoms: int) -> Atoms:
    """A random cluster of the elements in turn, no two atoms closer than 1.1 times the sum of their covalent radii."""
    rng = np.random.default_rng(0)
    numbers = [elements[k % len(elements)] for k in range(n_atoms)]
    box = 2.6 * covalent_radii[numbers].mean() * n_atoms ** (1 / 3)
    atoms = Atoms()
    for number in numbers:
        while True:
            trial = atoms + Atoms([number], positions=rng.uniform(0, box, (1, 3)))
            if len(ase_neighbor_list("i", trial, _contacts(trial))) == 0:
                break
            box *= 1.01  # never stuck: the box grows until there is room
        atoms = trial
    return atoms


def _contacts(atoms: Atoms) -> list[float]:
    return [1.1 * float(covalent_radii[number]) for number in atoms.numbers]
