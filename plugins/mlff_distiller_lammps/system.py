"""ASE structures as LAMMPS systems: box, data file, and the lines that set up the potential.

LAMMPS wants a lower-triangular cell, so a structure may be turned; `LammpsSystem` turns the results back.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.data import chemical_symbols
from ase.io.lammpsdata import write_lammps_data

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.checks import check_positions
from mlff_distiller.errors import StructureError
from mlff_distiller.neighbors import complete_cell

MARGIN = 20.0  # Å of room for a structure along open directions; the box grows when the atoms leave it


@dataclass(frozen=True)
class LammpsSystem:
    """A structure in LAMMPS' frame.

    Attributes:
        atoms: Complete cell, positions within it along open directions.
        prism: The rotation between the two frames.
        shift: (3,) Å, how far the structure was moved along open directions, in ASE's frame.
        symbols: Element of each atom type, in type order.
    """

    atoms: Atoms
    prism: Prism
    shift: np.ndarray
    symbols: list[str]

    @property
    def boundary(self) -> str:
        """Periodic, or a box that grows with the atoms and never shrinks: LAMMPS cannot bin one far below the cutoff."""
        return " ".join("p" if periodic else "m" for periodic in self.atoms.pbc)

    def write_data(self, path: Path) -> None:
        """The LAMMPS data file: box, masses, positions and velocities; units metal (Å, u, ps)."""
        text = io.StringIO()
        write_lammps_data(
            text,
            self.atoms,
            specorder=self.symbols,
            masses=True,
            velocities=bool(self.atoms.get_momenta().any()),
            prismobj=self.prism,
            units="metal",
            atom_style="atomic",
        )
        replace_file(path, [text.getvalue().encode()])

    def vectors_from_lammps(self, vectors: np.ndarray) -> np.ndarray:
        """(N, 3) velocities or forces in LAMMPS' frame → ASE's."""
        return self.prism.vector_to_ase(vectors)

    def positions_from_lammps(self, positions: np.ndarray) -> np.ndarray:
        """(N, 3) Å in LAMMPS' box → where the structure was."""
        return self.prism.vector_to_ase(positions) - self.shift

    def stress_from_lammps(self, stress: np.ndarray) -> np.ndarray:
        """(3, 3) in LAMMPS' frame → ASE's."""
        return self.prism.tensor2_to_ase(stress)


def lammps_system(atoms: Atoms) -> LammpsSystem:
    """Give a structure the complete box that LAMMPS needs, and its atom types (one for each element).

    Raises:
        StructureError: Positions that are not finite, a singular periodic cell, or atoms of one element with different masses:
            LAMMPS has one mass for each type.
    """
    check_positions(
        torch.from_numpy(atoms.positions),
        torch.from_numpy(atoms.cell.array[None]),
        torch.from_numpy(atoms.pbc[None]),
    )
    masses = atoms.get_masses()
    for number in set(atoms.numbers.tolist()):
        if np.ptp(masses[atoms.numbers == number]) > 1e-6:
            raise StructureError(
                f"the {chemical_symbols[number]} atoms have different masses, and LAMMPS has one for each type; "
                "write a data file with a type for each isotope and map both types to the element in pair_coeff"
            )
    boxed = Atoms(
        atoms.numbers,
        positions=atoms.positions,
        momenta=atoms.get_momenta(),
        masses=atoms.get_masses(),
        cell=_complete_box(atoms),
        pbc=atoms.pbc,
    )
    scaled = boxed.cell.scaled_positions(boxed.positions)
    lengths = boxed.cell.lengths()
    into_box = np.where(boxed.pbc, 0.0, 0.5 * MARGIN / lengths - scaled.min(axis=0))  # of cell vectors
    shift = into_box @ boxed.cell.array
    boxed.positions += shift
    symbols = [chemical_symbols[number] for number in sorted(set(atoms.numbers.tolist()))]
    return LammpsSystem(boxed, Prism(boxed.cell.array, pbc=boxed.pbc), shift, symbols)


def _complete_box(atoms: Atoms) -> np.ndarray:
    """(3, 3) Å: open directions orthogonal to the periodic ones, long enough for the atoms."""
    cell = (
        complete_cell(torch.from_numpy(atoms.cell.array.copy()), torch.from_numpy(atoms.pbc.copy()))
        .numpy()
        .copy()
    )
    if np.linalg.det(cell) < 0 and not atoms.pbc.all():
        cell[np.flatnonzero(~atoms.pbc)[0]] *= -1.0  # LAMMPS needs a right-handed box
    for axis in np.flatnonzero(~atoms.pbc):
        extent = np.ptp(atoms.positions @ cell[axis])
        cell[axis] *= extent + MARGIN
    return cell
