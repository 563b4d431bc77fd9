"""Labelled structures in memory: flat arrays, one row per atom or per structure.

The flat layout is that of the HDF5 file (`mlff_distiller.data.schema`) and of a training batch, so that
neither needs to pad. A dataset is built from arrays, from `ase.Atoms` frames, or by a reader.

Shapes: S structures, A atoms in all, n_i atoms in structure i. Units: eV, Å; stress is dE/dε/V in eV/Å^3 with
ASE's sign and Voigt order xx yy zz yz xz xy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import ArrayLike

from mlff_distiller.data.validation import check_shape, check_splits
from mlff_distiller.errors import DatasetError

NOT_RECORDED = "not recorded"  # in the metadata of several datasets, where one lacks an entry

# Element type and shape of every array; S and A stand for the numbers of structures and of atoms.
LAYOUT: Mapping[str, tuple[type[np.generic], tuple[str | int, ...]]] = {
    "atomic_numbers": (np.int64, ("A",)),
    "splits": (np.int64, ("S+1",)),
    "positions": (np.float64, ("A", 3)),
    "cells": (np.float64, ("S", 3, 3)),
    "pbc": (np.bool_, ("S", 3)),
    "energy": (np.float64, ("S",)),
    "forces": (np.float32, ("A", 3)),
    "stress": (np.float64, ("S", 6)),
    "molecule_id": (np.str_, ("S",)),
    "regime": (np.str_, ("S",)),
}


@dataclass(frozen=True, eq=False)  # eq: comparing arrays has no single truth value
class Dataset:
    """S labelled structures with A atoms in all.

    Construction converts every array to the element type given here and checks shapes and splits. The content
    (finite labels, real elements) is checked by every reader and writer, with
    `mlff_distiller.data.validation.validate`.

    Attributes:
        atomic_numbers: (A,) int64.
        splits: (S+1,) int64; the atoms of structure i are rows ``splits[i]:splits[i + 1]``.
        positions: (A, 3) float64, Å.
        cells: (S, 3, 3) float64, Å; rows are lattice vectors, zeros where there is none.
        pbc: (S, 3) bool.
        energy: (S,) float64, eV.
        forces: (A, 3) float32, eV/Å.
        stress: (S, 6) float64, eV/Å^3, NaN where a structure has none; None when no structure has one.
        molecule_id: (S,) str; canonical SMILES, "A.B" for a dimer, or a file name; "" is unknown.
        regime: (S,) str; how the structure was sampled; "" is unknown.
        metadata: What is known of the dataset as a whole (teacher, version, sampling, ...).

    Raises:
        DatasetError: An array of a wrong shape, or splits that do not partition the atoms.
    """

    atomic_numbers: np.ndarray
    splits: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray | None
    molecule_id: np.ndarray
    regime: np.ndarray
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (dtype, _) in LAYOUT.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=dtype))
        if self.stress is not None and np.isnan(self.stress).all():
            object.__setattr__(self, "stress", None)
        check_splits(self.splits, len(self.atomic_numbers), where="Dataset.splits")
        for name, (_, shape) in LAYOUT.items():
            value = getattr(self, name)
            if value is not None:
                check_shape(value, shape, len(self), len(self.atomic_numbers), where=f"Dataset.{name}")

    def __repr__(self) -> str:
        return f"Dataset({len(self)} structures, {len(self.atomic_numbers)} atoms)"

    def __len__(self) -> int:
        return len(self.splits) - 1

    @property
    def n_atoms(self) -> np.ndarray:
        """(S,) int64, the number of atoms of each structure."""
        return np.diff(self.splits)

    @cached_property
    def batch(self) -> np.ndarray:
        """(A,) int64, the structure that each atom belongs to."""
        return np.repeat(np.arange(len(self)), self.n_atoms)

    def sha256(self) -> str:
        """Hash of the structures and their energies and forces, by which provenance and checkpoints know them."""
        digest = hashlib.sha256()
        arrays = [self.atomic_numbers, self.splits, self.positions, self.energy, self.forces]
        if self.pbc.any():
            arrays += [self.pbc, self.cells]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def select(self, indices: ArrayLike) -> Dataset:
        """The structures at ``indices`` (integers, repeats allowed, or a mask of S booleans), in that order.

        Raises:
            DatasetError: A mask of another length, or an index outside the dataset.
        """
        chosen = self._chosen(indices)
        counts = self.n_atoms[chosen]
        splits = _splits_of(counts)
        # Row r of the selection is atom r - splits[k] of its structure k.
        rows = np.arange(splits[-1]) + np.repeat(self.splits[chosen] - splits[:-1], counts)
        taken = {name: _take(getattr(self, name), shape, chosen, rows) for name, (_, shape) in LAYOUT.items()}
        return Dataset(**{**taken, "splits": splits}, metadata=dict(self.metadata))

    def atoms(self, index: int) -> ase.Atoms:
        """Structure ``index`` with its labels.

        Returns:
            Atoms with a ``SinglePointCalculator`` (energy, forces, stress if there is one) and with
            ``info["molecule_id"]`` and ``info["regime"]`` where known.
        """
        if not -len(self) <= index < len(self):
            raise DatasetError(
                f"There is no structure {index}: the dataset holds {len(self)}, counted from 0."
            )
        index %= len(self)
        rows = slice(self.splits[index], self.splits[index + 1])
        known = {"molecule_id": str(self.molecule_id[index]), "regime": str(self.regime[index])}
        atoms = ase.Atoms(
            numbers=self.atomic_numbers[rows],
            positions=self.positions[rows],
            cell=self.cells[index],
            pbc=self.pbc[index],
            info={key: value for key, value in known.items() if value},
        )
        labels = {"energy": float(self.energy[index]), "forces": self.forces[rows].astype(np.float64)}
        if self.stress is not None and np.isfinite(self.stress[index]).all():
            labels["stress"] = self.stress[index].copy()
        atoms.calc = SinglePointCalculator(atoms, **labels)
        return atoms

    @classmethod
    def from_atoms(cls, frames: Sequence[ase.Atoms], metadata: Mapping[str, str] | None = None) -> Dataset:
        """Collect labelled frames.

        Args:
            frames: Atoms with a calculator that holds energy and forces (and stress) of exactly this
                structure; nothing is computed here. ``info["molecule_id"]`` and ``info["regime"]`` are kept.
            metadata: What is known of the dataset as a whole.

        Raises:
            DatasetError: A frame without labels, or one that was changed after it was labelled.
        """
        labels = [_labels(atoms, index) for index, atoms in enumerate(frames)]
        return cls(
            atomic_numbers=_stack([atoms.numbers for atoms in frames], (0,)),
            splits=_splits_of([len(atoms) for atoms in frames]),
            positions=_stack([atoms.positions for atoms in frames], (0, 3)),
            cells=np.reshape([atoms.cell.array for atoms in frames], (-1, 3, 3)),
            pbc=np.reshape([atoms.pbc for atoms in frames], (-1, 3)),
            energy=np.array([energy for energy, _, _ in labels]),
            forces=_stack([forces for _, forces, _ in labels], (0, 3)),
            stress=np.reshape([stress for _, _, stress in labels], (-1, 6)),
            molecule_id=np.array([str(atoms.info.get("molecule_id", "")) for atoms in frames], dtype=np.str_),
            regime=np.array([str(atoms.info.get("regime", "")) for atoms in frames], dtype=np.str_),
            metadata=dict(metadata or {}),
        )

    @staticmethod
    def concatenate(datasets: Sequence[Dataset]) -> Dataset:
        """All structures of ``datasets``, in order; metadata that differ are joined with "; ".

        Raises:
            DatasetError: No dataset was given.
        """
        if not datasets:
            raise DatasetError("Expected at least one dataset to concatenate, got none.")
        with_stress = any(dataset.stress is not None for dataset in datasets)
        joined = {
            name: np.concatenate([getattr(dataset, name) for dataset in datasets])
            for name in LAYOUT
            if name not in ("splits", "stress")
        }
        return Dataset(
            **joined,
            splits=_splits_of(np.concatenate([dataset.n_atoms for dataset in datasets])),
            stress=np.concatenate([_stress_rows(dataset) for dataset in datasets]) if with_stress else None,
            metadata=_joined_metadata([dataset.metadata for dataset in datasets]),
        )

    def _chosen(self, indices: ArrayLike) -> np.ndarray:
        """``indices`` as (K,) non-negative integers."""
        chosen = np.asarray(indices)
        if chosen.size == 0 and chosen.dtype != np.bool_:
            return np.zeros(0, dtype=np.int64)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise DatasetError(f"Expected a mask of {len(self)} booleans, got the shape {chosen.shape}.")
            return np.flatnonzero(chosen)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise DatasetError(
                f"Expected a list of structure indices, got the shape {chosen.shape} of type {chosen.dtype}."
            )
        outside = (chosen < -len(self)) | (chosen >= len(self))
        if outside.any():
            raise DatasetError(f"There is no structure {chosen[outside][0]}: the dataset holds {len(self)}.")
        return chosen.astype(np.int64) % len(self)


def _splits_of(counts: ArrayLike) -> np.ndarray:
    """(S+1,) int64 splits of structures with ``counts`` (S,) atoms."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _stack(rows: Sequence[np.ndarray], empty: tuple[int, ...]) -> np.ndarray:
    return np.concatenate(rows) if rows else np.zeros(empty)


def _take(
    array: np.ndarray | None, shape: tuple[str | int, ...], structures: np.ndarray, atoms: np.ndarray
) -> np.ndarray | None:
    """The rows of a per-structure or per-atom array."""
    if array is None:
        return None
    return array[atoms if shape[0] == "A" else structures]


def _stress_rows(dataset: Dataset) -> np.ndarray:
    """(S, 6), NaN where there is no stress."""
    return np.full((len(dataset), 6), np.nan) if dataset.stress is None else dataset.stress


def _labels(atoms: ase.Atoms, index: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces (n, 3) and stress (6,) (NaN if there is none) that a frame's calculator holds."""
    if atoms.calc is None:
        raise DatasetError(
            f"Frame {index} ({atoms.symbols}) has no labels: attach a calculator with its results."
        )
    if changes := atoms.calc.check_state(atoms):
        raise DatasetError(
            f"Frame {index} ({atoms.symbols}) was changed after it was labelled: other {', '.join(changes)}. "
            "Label it again."
        )
    results = atoms.calc.results
    missing = [name for name in ("energy", "forces") if results.get(name) is None]
    if missing:
        raise DatasetError(
            f"Frame {index} ({atoms.symbols}) has no {' and no '.join(missing)}; its calculator holds: "
            f"{', '.join(sorted(results)) or 'nothing'}. Energy and forces are both needed."
        )
    energy, forces = np.asarray(results["energy"]), np.asarray(results["forces"])
    stress = results.get("stress")
    if energy.shape != () or energy.dtype.kind not in "iuf":
        raise DatasetError(f"Frame {index}: expected one number as the energy, got {results['energy']!r}.")
    if forces.shape != (len(atoms), 3):
        raise DatasetError(f"Frame {index}: expected forces of shape {(len(atoms), 3)}, got {forces.shape}.")
    if stress is None or atoms.cell.rank < 3:  # dE/dε per volume: without a volume there is none
        return float(energy), forces, np.full(6, np.nan)
    stress = np.asarray(stress)
    return float(energy), forces, full_3x3_to_voigt_6_stress(stress) if stress.shape == (3, 3) else stress


def _joined_metadata(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """One dictionary; values of one key that differ are joined in the order in which they come, "not recorded" among them."""
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: "; ".join(dict.fromkeys(part.get(key, NOT_RECORDED) for part in parts)) for key in keys}


def chunk_bounds(splits: np.ndarray, max_atoms: int) -> Iterator[tuple[int, int]]:
    """Ranges of structures with at most ``max_atoms`` atoms each, or one structure; ``splits`` (S+1,)."""
    start, n_structures = 0, len(splits) - 1
    while start < n_structures:
        last = int(np.searchsorted(splits, splits[start] + max_atoms, side="right")) - 1
        end = min(max(last, start + 1), n_structures)
        yield start, end
        start = end
