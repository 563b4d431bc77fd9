"""What is measured: structures of several sizes, and their combination with students, formats and batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mlff_distiller.data.structures import read_structures
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.parity import water_box

CC_BOND = 1.53  # Å
CH_BOND = 1.09  # Å
CCC_ANGLE = np.deg2rad(112.0)
HCH_ANGLE = np.deg2rad(107.0)


@dataclass(frozen=True)
class System:
    """A structure with the name that tables give it."""

    name: str
    atoms: Atoms

    @property
    def n_atoms(self) -> int:
        """N."""
        return len(self.atoms)


@dataclass(frozen=True)
class Case:
    """One thing to time: a student in a format, on so many copies of a structure at once."""

    student: str
    format: str
    system: System
    batch: int

    @property
    def n_atoms(self) -> int:
        """Atoms of the whole batch."""
        return self.batch * self.system.n_atoms


def standard_system(n_atoms: int) -> System:
    """A structure of a given size that nearly every student knows: an alkane, or liquid water.

    Args:
        n_atoms: 3k + 2 gives the all-trans alkane of k carbon atoms, 3k³ (k ≥ 2) a cubic box of k³ water molecules at 1 g/cm³.

    Raises:
        ConfigError: Neither.
    """
    k = round((max(n_atoms, 0) / 3) ** (1 / 3))
    if k >= 2 and n_atoms == 3 * k**3:
        return System(f"water, {n_atoms} atoms", water_box(k))
    if n_atoms >= 5 and n_atoms % 3 == 2:
        return System(f"alkane, {n_atoms} atoms", alkane((n_atoms - 2) // 3))
    raise ConfigError(
        f"there is no standard structure of {n_atoms} atoms: expected 3k + 2 (an alkane: 5, 8, 20, …) or 3k³ (water: 24, 81, "
        "192, 1536, …); for another one give a structure file"
    )


def alkane(n_carbon: int) -> Atoms:
    """All-trans C_k H_(2k+2) from standard bond lengths and angles; Å."""
    step = CC_BOND * np.array([np.sin(CCC_ANGLE / 2), np.cos(CCC_ANGLE / 2)])
    zigzag = [np.array([k * step[0], (k % 2) * step[1], 0.0]) for k in range(n_carbon)]
    hydrogens = []
    for k, carbon in enumerate(zigzag):
        away = -1.0 if k % 2 == 0 else 1.0  # side of the chain on which the hydrogens are
        for side in (-1.0, 1.0):
            direction = [0.0, away * np.cos(HCH_ANGLE / 2), side * np.sin(HCH_ANGLE / 2)]
            hydrogens.append(carbon + CH_BOND * np.array(direction))
    for end, along in ((0, -1.0), (n_carbon - 1, 1.0)):
        tilt = 1.0 if end % 2 == 0 else -1.0
        direction = np.array([along * np.sin(CCC_ANGLE / 2), tilt * np.cos(CCC_ANGLE / 2), 0.0])
        hydrogens.append(zigzag[end] + CH_BOND * direction)
    numbers = [6] * n_carbon + [1] * len(hydrogens)
    return Atoms(numbers, positions=np.array(zigzag + hydrogens))


def file_system(path: Path) -> System:
    """The first structure of a file that ASE reads.

    Raises:
        DatasetError: It cannot be read.
    """
    _, atoms = read_structures([path])[0]
    return System(f"{path.stem}, {len(atoms)} atoms", atoms)


def make_cases(
    students: Sequence[str],
    formats: Sequence[str],
    systems: Sequence[System],
    batches: Sequence[int],
    max_atoms: int,
) -> list[Case]:
    """All combinations with at most ``max_atoms`` atoms in a batch; a single structure is always measured.

    Raises:
        ConfigError: A batch below one, nothing to measure, or two structures of one name.
    """
    if not (students and formats and systems and batches):
        raise ConfigError("nothing to measure: give at least one student, format, structure and batch size")
    if min(batches) < 1:
        raise ConfigError(f"expected batches of at least one structure, got {min(batches)}")
    names = [system.name for system in systems]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(
            f"two structures would be called {twice!r} in the tables; give one of the files another name"
        )
    return [
        Case(student, name, system, batch)
        for student in students
        for name in formats
        for system in systems
        for batch in batches
        if _fits(system, batch, max_atoms)
    ]


def left_out(systems: Sequence[System], batches: Sequence[int], max_atoms: int) -> list[str]:
    """The batches that `make_cases` leaves out, in words."""
    return [f"{b} × {system.name}" for system in systems for b in batches if not _fits(system, b, max_atoms)]


def _fits(system: System, batch: int, max_atoms: int) -> bool:
    return batch == 1 or batch * system.n_atoms <= max_atoms
