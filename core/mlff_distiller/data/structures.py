"""Unlabelled structures as arrays, to be sent to worker processes and to be told apart by a hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from mlff_distiller.data.splitting import FILE
from mlff_distiller.data.teachers.charge import charge_problem
from mlff_distiller.errors import DatasetError

_ARRAYS = ("numbers", "positions", "initial_charges", "initial_magmoms")  # the last two where atoms have them


def to_arrays(atoms: Atoms) -> dict[str, np.ndarray]:
    """What a teacher needs to know of a structure: elements, positions, cell, charges, magnetic moments."""
    arrays = {name: atoms.arrays[name] for name in _ARRAYS if name in atoms.arrays}
    return {**arrays, "cell": atoms.cell.array, "pbc": atoms.pbc}


def from_arrays(arrays: Mapping[str, Any]) -> Atoms:
    """The structure of which `to_arrays` gave the arrays."""
    atoms = Atoms(arrays["numbers"], arrays["positions"], cell=arrays["cell"], pbc=arrays["pbc"])
    for name in ("initial_charges", "initial_magmoms"):
        if name in arrays:
            atoms.set_array(name, np.asarray(arrays[name]))
    return atoms


def read_structures(sources: Iterable[str | Path | Atoms]) -> list[tuple[str, Atoms]]:
    """All structures of files that ASE can read, and of Atoms, each with a name.

    Args:
        sources: Paths (every frame of a file is read) or Atoms.

    Returns:
        Pairs of name and structure. The name is ``info["molecule_id"]`` where there is one, else
        ``file:`` and the file's name (its path, where files in several folders have that name), or the formula of Atoms.

    Raises:
        DatasetError: A file cannot be read, a structure is empty or states two different charges, or there is none at all.
    """
    sources = list(sources)
    paths = {Path(source) for source in sources if not isinstance(source, Atoms)}
    shared = {name for name, count in Counter(path.name for path in paths).items() if count > 1}
    named = [
        (info_text(atoms.info.get("molecule_id", name)), atoms)
        for source in sources
        for name, frames in [_frames(source, shared)]
        for atoms in frames
    ]
    if not named:
        raise DatasetError("Expected at least one structure, got none.")
    for index, (name, atoms) in enumerate(named):
        if len(atoms) == 0:
            raise DatasetError(f"structure {index} ({name}) has no atoms")
        if problem := charge_problem(
            atoms
        ):  # `to_arrays` leaves info out, and with it a charge that stands only there
            raise DatasetError(f"structure {index} ({name}): {problem}")
    return named


def info_text(value: object) -> str:
    """A string of ``info`` that ASE may have parsed as something else: the molecule F comes as False."""
    if isinstance(value, bool):
        return "T" if value else "F"
    return str(value)


def unreadable(path: Path, error: Exception, expected: str) -> DatasetError:
    """What to say of a file that ASE could not read.

    Args:
        path: The file.
        error: What ASE raised.
        expected: What the file should be, with its article.
    """
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{path}: expected {expected}, got nothing. Check the path.")
    if path.is_dir():
        return DatasetError(f"{path}: expected {expected}, got a folder.")
    if path.is_file() and path.stat().st_size == 0:
        return DatasetError(f"{path}: expected {expected}, got an empty file.")
    return DatasetError(f"{path}: cannot be read as {expected}: {type(error).__name__}: {error}")


def _frames(source: str | Path | Atoms, shared_names: Container[str]) -> tuple[str, Sequence[Atoms]]:
    """The name of a source, and its structures; ``shared_names`` are those of several files."""
    if isinstance(source, Atoms):
        return source.get_chemical_formula(), [source]
    path = Path(source)
    try:
        frames = ase.io.read(path, index=":")
    except Exception as error:  # ASE's readers raise whatever their parsing meets
        problem = unreadable(path, error, "a structure file")
        raise problem from error
    name = str(path) if path.name in shared_names else path.name
    return FILE + name, frames if isinstance(frames, list) else [frames]
