"""What every dataset must satisfy: splits that partition the atoms, finite labels, real elements.

Every reader and writer of this package calls `validate`, so that a bad label stops at the door and not
as a loss of NaN an hour into a training run.

Shapes: S structures, A atoms in all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlff_distiller.errors import DatasetError

if TYPE_CHECKING:
    from mlff_distiller.data.dataset import Dataset

MAX_ATOMIC_NUMBER = 118
MIN_SINGULAR_VALUE = 1e-6  # of lattice vectors, relative to the largest: below it they are linearly dependent
RELABEL = "Label these structures again, or leave them out where the dataset is made."


def validate(dataset: Dataset, source: str, names: Mapping[str, str] | None = None) -> None:
    """Refuse a dataset that no training run could use.

    Args:
        dataset: What to check.
        source: File or object that it came from, for the message.
        names: What the fields are called there, for the message; the names of the attributes if not given.

    Raises:
        DatasetError: No structures; a position, cell, energy, force or stress that is NaN or infinite (a
            stress row of NaN alone is a missing one); an atomic number outside 1-118; a periodic cell whose
            vectors are linearly dependent. The message names the first structure and atom, and how many are
            affected.
    """
    if len(dataset) == 0:
        raise DatasetError(
            f"{source}: expected at least one labelled structure, got 0. Make the dataset again."
        )
    check = _Content(dataset, source, names or {})
    numbers = dataset.atomic_numbers
    check.atoms(
        "atomic_numbers",
        np.asarray((numbers < 1) | (numbers > MAX_ATOMIC_NUMBER)),
        expected=f"1 to {MAX_ATOMIC_NUMBER}",
        fix="Leave out dummy atoms and padding: structures follow one another without gaps.",
    )
    check.atoms("positions", ~_finite(dataset.positions), "finite coordinates in Å", RELABEL)
    check.structures("cells", ~_finite(dataset.cells), "finite lattice vectors in Å", RELABEL)
    check.structures(
        "cells",
        dependent_vectors(dataset.cells, dataset.pbc),
        expected="linearly independent lattice vectors in the directions where pbc is set",
        fix="Give the whole cell, or clear pbc in directions that are not periodic.",
    )
    check.structures("energy", ~_finite(dataset.energy), "a finite energy in eV", RELABEL)
    check.atoms("forces", ~_finite(dataset.forces), "finite forces in eV/Å", RELABEL)
    if dataset.stress is not None:
        missing = np.asarray(np.isnan(dataset.stress).all(axis=1))
        check.structures(
            "stress",
            ~(_finite(dataset.stress) | missing),
            expected="six finite components in eV/Å^3, or six NaN where there is no stress",
            fix=RELABEL,
        )


def check_file(path: str | os.PathLike[str]) -> None:
    """Refuse a path at which there is no file.

    Raises:
        DatasetError: Naming the path.
    """
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "nothing"
        raise DatasetError(f"{path}: expected a file, got {found}. Check the path.")


def dependent_vectors(cells: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(S,) bool, whether the ``chosen`` (S, 3) vectors of the cells (S, 3, 3) are linearly dependent."""
    dependent = np.zeros(len(cells), dtype=bool)
    some = np.flatnonzero(chosen.any(axis=1))
    vectors = cells[some] * chosen[some, :, None]  # (P, 3, 3), zeros in place of the others
    values = np.linalg.svd(vectors, compute_uv=False)  # (P, 3), descending; k chosen vectors have k of them
    smallest = np.take_along_axis(values, chosen[some].sum(axis=1)[:, None] - 1, axis=1)[:, 0]
    dependent[some] = smallest <= MIN_SINGULAR_VALUE * values[:, 0]
    return dependent


def check_splits(splits: np.ndarray, n_atoms: int, where: str) -> None:
    """Refuse splits that do not cut ``n_atoms`` rows into consecutive, non-empty structures.

    Args:
        splits: Should be (S+1,): 0 first, ``n_atoms`` last, increasing.
        n_atoms: A, the number of rows to cut.
        where: Says in the message which array this is.

    Raises:
        DatasetError: Naming the first entry that is wrong.
    """
    fix = "Entry i must be the row at which structure i starts, and the last entry the number of atoms."
    if splits.ndim != 1 or len(splits) == 0:
        raise DatasetError(f"{where}: expected the shape (S+1,), got {splits.shape}. {fix}")
    if splits[0] != 0:
        raise DatasetError(f"{where}: expected 0 at entry 0, got {splits[0]}. {fix}")
    wrong = np.flatnonzero(np.diff(splits) <= 0)
    if len(wrong):
        i = wrong[0]
        reason = "is empty" if splits[i] == splits[i + 1] else "ends before it starts"
        raise DatasetError(
            f"{where}: structure {i} {reason}: got {splits[i]} at entry {i}, then {splits[i + 1]}. {fix}"
        )
    if splits[-1] != n_atoms:
        raise DatasetError(
            f"{where}: expected the number of atoms, {n_atoms}, at entry {len(splits) - 1}, the last; got "
            f"{splits[-1]}. {fix}"
        )


def check_shape(
    array: np.ndarray, shape: tuple[str | int, ...], n_structures: int, n_atoms: int, where: str
) -> None:
    """Refuse an array whose shape is not ``shape``, in which "S", "S+1" and "A" stand for the sizes given.

    Raises:
        DatasetError: Naming both shapes.
    """
    sizes = {"S": n_structures, "S+1": n_structures + 1, "A": n_atoms}
    expected = tuple(sizes[size] if isinstance(size, str) else size for size in shape)
    if array.shape != expected:
        symbols = ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "")
        raise DatasetError(
            f"{where}: expected the shape ({symbols}) = {expected} for S = {n_structures} structures with "
            f"A = {n_atoms} atoms in all, got {array.shape}. Write one row per structure (S) or atom (A)."
        )


class _Content:
    """Reports the first bad value of one dataset."""

    def __init__(self, dataset: Dataset, source: str, names: Mapping[str, str]) -> None:
        self.dataset, self.source, self.names = dataset, source, names

    def atoms(self, field: str, bad: np.ndarray, expected: str, fix: str) -> None:
        """Raise if any of ``bad`` (A,) is set."""
        if not bad.any():
            return
        row = int(np.flatnonzero(bad)[0])
        structure = int(self.dataset.batch[row])
        place = f"structure {structure}, atom {row - self.dataset.splits[structure]} (row {row})"
        affected = len(np.unique(self.dataset.batch[bad]))
        self._refuse(field, row, place, expected, affected, fix)

    def structures(self, field: str, bad: np.ndarray, expected: str, fix: str) -> None:
        """Raise if any of ``bad`` (S,) is set."""
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            self._refuse(field, first, f"structure {first}", expected, int(bad.sum()), fix)

    def _refuse(self, field: str, row: int, place: str, expected: str, affected: int, fix: str) -> None:
        value = getattr(self.dataset, field)[row].tolist()
        raise DatasetError(
            f"{self.source}: {self.names.get(field, field)}: expected {expected}, got {value} at {place}; "
            f"{affected} of {len(self.dataset)} structures are affected. {fix}"
        )


def _finite(values: np.ndarray) -> np.ndarray:
    """Whether all numbers of each row are finite, one bool per row."""
    return np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))
