"""The HDF5 dataset file: read, check, write.

    /structures/atomic_numbers          (A,)       int64
    /structures/atomic_numbers_splits   (S+1,)     int64     structure i: rows splits[i] to splits[i + 1]
    /structures/positions               (A, 3)     float64   Å
    /structures/cells                   (S, 3, 3)  float64   Å, rows are lattice vectors
    /structures/pbc                     (S, 3)     bool
    /labels/energy                      (S,)       float64   eV
    /labels/forces                      (A, 3)     float32   eV/Å
    /labels/forces_splits               (S+1,)     int64     as the splits of the atoms
    /labels/stress                      (S, 6)     float64   eV/Å^3, optional
    /labels/stress_mask                 (S,)       bool      True where there is a stress
    /metadata                           attributes: teacher, version, units, creation, sampling, ...
    /metadata/molecule_id, regime       (S,)       UTF-8     optional

The two per-structure strings are arrays because an HDF5 attribute holds at most 64 KiB. The reader takes what
others write: numbers of any width, no cells and pbc (not periodic), no forces_splits, stress as (S, 3, 3) or
without a mask, molecule_id and regime as attributes, no /metadata. It refuses what is damaged or
inconsistent.

Shapes: S structures, A atoms in all.
"""

from __future__ import annotations

import io
import os

import h5py
import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.data.dataset import LAYOUT, Dataset
from mlff_distiller.data.hdf5 import find, load
from mlff_distiller.data.metadata import (
    GROUP,
    PER_STRUCTURE,
    check_units,
    read_metadata,
    read_strings,
    write_metadata,
)
from mlff_distiller.data.validation import check_file, check_shape, check_splits, dependent_vectors, validate
from mlff_distiller.errors import DatasetError

__all__ = ["PATHS", "Dataset", "read_dataset", "write_dataset"]

PATHS = {
    "atomic_numbers": "/structures/atomic_numbers",
    "splits": "/structures/atomic_numbers_splits",
    "positions": "/structures/positions",
    "cells": "/structures/cells",
    "pbc": "/structures/pbc",
    "energy": "/labels/energy",
    "forces": "/labels/forces",
    "stress": "/labels/stress",
}
FORCES_SPLITS = "/labels/forces_splits"
STRESS_MASK = "/labels/stress_mask"


def read_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read a dataset file and check all of it.

    A stress where the cell has no volume is dropped: it is dE/dε per volume.

    Raises:
        DatasetError: No such file; not HDF5, truncated or damaged; an array that is missing or of a wrong
            shape; splits that do not partition the atoms; NaN or infinite values; units other than eV and Å.
            The message names the file, the array, the structure, what was expected and what to do.
    """
    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            dataset = _read(_Arrays(file, str(path)))
    except (
        OSError,
        RuntimeError,
    ) as error:  # what h5py raises for a broken file
        raise DatasetError(
            f"{path}: cannot be read as HDF5: {error}. The file is truncated, damaged or of another format: "
            "copy it again from its source, or make it again."
        ) from error
    validate(dataset, str(path), PATHS)
    return dataset


def write_dataset(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a dataset file.

    Equal datasets give equal bytes. An older file stays until the new one is complete.

    Args:
        path: Where to; the folder must exist.
        dataset: What to write. Its ``metadata`` become attributes; "units" is added.

    Raises:
        DatasetError: The dataset would not be read back (see `validate`).
        OutputError: The file cannot be written.
    """
    validate(dataset, f"the dataset for {path}", PATHS)
    # Made in memory: on a full disk HDF5 may fail as late as at closing, and even crash the interpreter.
    image = io.BytesIO()
    # HDF5 1.10 has checksums on the file's structure; before, a flipped bit could turn forces into zeros.
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        for where, values in _arrays_of(dataset).items():
            file.create_dataset(where, data=values, compression="gzip", shuffle=True)
        write_metadata(file.require_group(GROUP), dataset.metadata, str(path))
    replace_file(path, [image.getbuffer()])


def _arrays_of(dataset: Dataset) -> dict[str, np.ndarray]:
    """What to write, by path."""
    arrays = {where: getattr(dataset, field) for field, where in PATHS.items()}
    arrays[FORCES_SPLITS] = dataset.splits
    if dataset.stress is None:
        del arrays[PATHS["stress"]]
    else:
        arrays[STRESS_MASK] = np.asarray(np.isfinite(dataset.stress).all(axis=1))
    for name in PER_STRUCTURE:
        arrays[f"{GROUP}/{name}"] = getattr(dataset, name).astype(h5py.string_dtype())
    return arrays


def _read(arrays: _Arrays) -> Dataset:
    """The dataset in an open file: its arrays have the right shape, their content is not checked yet."""
    cells = arrays.shaped("cells") if arrays.has(PATHS["cells"]) else np.zeros((arrays.n_structures, 3, 3))
    pbc = arrays.pbc(cells)
    arrays.check_forces_splits()
    check_units(arrays.file, ["/structures", "/labels", GROUP, *PATHS.values()], arrays.source)
    return Dataset(
        atomic_numbers=arrays.atomic_numbers,
        splits=arrays.splits,
        positions=arrays.shaped("positions"),
        cells=cells,
        pbc=pbc,
        energy=arrays.shaped("energy"),
        forces=arrays.shaped("forces"),
        stress=arrays.stress(cells) if arrays.has(PATHS["stress"]) else None,
        molecule_id=arrays.strings("molecule_id"),
        regime=arrays.strings("regime"),
        metadata=read_metadata(arrays.file),
    )


class _Arrays:
    """The arrays of one open file, checked against S and A; errors name the file and the array."""

    def __init__(self, file: h5py.File, source: str) -> None:
        self.file, self.source = file, source
        self.atomic_numbers = load(file, PATHS["atomic_numbers"], np.int64, source)
        self.splits = load(file, PATHS["splits"], np.int64, source)
        self.n_structures, self.n_atoms = self.splits.size - 1, self.atomic_numbers.size
        check_splits(self.splits, self.n_atoms, where=f"{source}: {PATHS['splits']}")
        self._check_shape(self.atomic_numbers, LAYOUT["atomic_numbers"][1], PATHS["atomic_numbers"])

    def has(self, where: str) -> bool:
        return find(self.file, where) is not None

    def shaped(self, field: str) -> np.ndarray:
        """The array of a field, in its element type and shape."""
        dtype, shape = LAYOUT[field]
        values = load(self.file, PATHS[field], dtype, self.source)
        self._check_shape(values, shape, PATHS[field])
        return values

    def pbc(self, cells: np.ndarray) -> np.ndarray:
        """Which cell vectors are periodic, (S, 3); none without cells, but cells do not say."""
        if self.has(PATHS["pbc"]):
            return self.shaped("pbc")
        if cells.any():
            raise DatasetError(
                f"{self.source}: has {PATHS['cells']} but no {PATHS['pbc']}, so it does not say which structures are periodic. "
                "Write it, (S, 3) of true and false: all false for molecules in a box"
            )
        return np.zeros((self.n_structures, 3), dtype=bool)

    def check_forces_splits(self) -> None:
        """Forces are stored per atom, so that their splits can only be those of the atoms."""
        if not self.has(FORCES_SPLITS):
            return
        splits = load(self.file, FORCES_SPLITS, np.int64, self.source)
        self._check_shape(splits, ("S+1",), FORCES_SPLITS)
        different = np.flatnonzero(splits != self.splits)
        if len(different):
            i = different[0]
            raise DatasetError(
                f"{self.source}: {FORCES_SPLITS}: expected the entries of {PATHS['splits']}, got "
                f"{splits[i]} instead of {self.splits[i]} at entry {i}. Write one force per atom, in order."
            )

    def stress(self, cells: np.ndarray) -> np.ndarray:
        """(S, 6), NaN where the mask says that there is none and where the cell (S, 3, 3) has no volume."""
        stress = load(self.file, PATHS["stress"], np.float64, self.source)
        if stress.shape == (self.n_structures, 3, 3):
            stress = self._voigt(stress)
        self._check_shape(stress, ("S", 6), PATHS["stress"])
        # A cell that is not finite is refused later; here it must only not break the linear algebra.
        missing = dependent_vectors(
            np.where(np.isfinite(cells), cells, 0.0), np.ones((len(cells), 3), dtype=bool)
        )
        if self.has(STRESS_MASK):
            mask = load(self.file, STRESS_MASK, np.bool_, self.source)
            self._check_shape(mask, ("S",), STRESS_MASK)
            self._check_masked_in(stress, mask)
            missing |= ~mask
        return np.where(missing[:, None], np.nan, stress)

    def strings(self, name: str) -> np.ndarray:
        """(S,) strings, from an array or an attribute; "" where the file has none."""
        values = read_strings(self.file, name)
        if values is None or values.ndim == 0:  # a single value is that of all structures
            return np.full(self.n_structures, "" if values is None else values)
        self._check_shape(values, ("S",), f"{GROUP}/{name}")
        return values

    def _check_shape(self, values: np.ndarray, shape: tuple[str | int, ...], where: str) -> None:
        check_shape(values, shape, self.n_structures, self.n_atoms, where=f"{self.source}: {where}")

    def _check_masked_in(self, stress: np.ndarray, mask: np.ndarray) -> None:
        bad = np.flatnonzero(mask & ~np.isfinite(stress).all(axis=1))
        if len(bad):
            raise DatasetError(
                f"{self.source}: {PATHS['stress']}: expected finite values where {STRESS_MASK} is set, got "
                f"{stress[bad[0]].tolist()} at structure {bad[0]}; {len(bad)} structures are affected. "
                "Clear the mask where there is no stress."
            )

    def _voigt(self, stress: np.ndarray) -> np.ndarray:
        """(S, 3, 3) to (S, 6); refuses what is not symmetric to 0.1 %."""
        transposed = stress.transpose(0, 2, 1)
        skew = np.abs(stress - transposed).max(axis=(1, 2))  # of a missing stress NaN, which is not larger
        bad = np.flatnonzero(skew > 1e-3 * np.abs(stress).max(axis=(1, 2)) + 1e-6)
        if len(bad):
            raise DatasetError(
                f"{self.source}: {PATHS['stress']}: expected symmetric matrices, got "
                f"{stress[bad[0]].tolist()} at structure {bad[0]}; {len(bad)} structures are affected. "
                "Write the symmetric (Cauchy) stress."
            )
        return full_3x3_to_voigt_6_stress(stress)
