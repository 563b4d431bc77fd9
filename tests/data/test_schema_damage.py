"""A damaged or inconsistent HDF5 file is refused, with the file, the array, the place and the reason."""

from __future__ import annotations

import re
from collections.abc import Callable

import h5py
import numpy as np
import pytest

from mlff_distiller.data.dataset import LAYOUT
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.errors import DatasetError

SPLITS = "/structures/atomic_numbers_splits"


def test_no_file(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.h5: expected a file, got nothing"):
        read_dataset(tmp_path / "none.h5")
    with pytest.raises(DatasetError, match="got a folder"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda _: b"", lambda _: b"3\nnot HDF5\n"])
def test_not_a_whole_hdf5_file(path, damage: Callable[[bytes], bytes]):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"data\.h5: cannot be read as HDF5.*copy it again"):
        read_dataset(path)


def test_flipped_bits_never_change_the_numbers(path, dataset):
    """Checksums cover the arrays and the file's structure (not the strings: those are not looked at here)."""
    good = path.read_bytes()
    strings = good.index(b"GCOL")  # damage to a heap of strings can hang the HDF5 library
    places = [place for place in range(0, len(good), 61) if not strings <= place < strings + 4096]
    refused = 0
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 0x10
        path.write_bytes(bad)
        try:
            found = read_dataset(path)
        except DatasetError:
            refused += 1
        else:
            for name in LAYOUT:
                np.testing.assert_array_equal(getattr(found, name), getattr(dataset, name))
    assert refused > 0.9 * len(places)


@pytest.mark.parametrize(
    "where",
    ["/structures/atomic_numbers", SPLITS, "/structures/positions", "/labels/energy", "/labels/forces"],
)
def test_missing_array(path, where):
    with h5py.File(path, "a") as file:
        del file[where]
    with pytest.raises(DatasetError, match=rf"data\.h5: {where}: expected an array here, got nothing"):
        read_dataset(path)
    with h5py.File(path, "a") as file:
        file.create_group(where)
    with pytest.raises(DatasetError, match=rf"data\.h5: {where}: expected an array here, got a group"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([1, 3, 6], "expected 0 at entry 0, got 1"),
        ([0, 3, 5], "expected the number of atoms, 6, at entry 2, the last; got 5"),
        ([0, 3, 7], "expected the number of atoms, 6, at entry 2, the last; got 7"),
        ([0, 7, 6], "structure 1 ends before it starts: got 7 at entry 1, then 6"),
        ([0, 3, 3, 6], "structure 1 is empty"),
        ([[0, 3, 6]], r"expected the shape \(S\+1,\), got \(1, 3\)"),
        ([], r"expected the shape \(S\+1,\), got \(0,\)"),
    ],
)
def test_bad_splits(foreign, splits, message, put):
    put(foreign, SPLITS, np.array(splits, dtype=np.int64))
    with pytest.raises(DatasetError, match=rf"foreign\.hdf5: {SPLITS}: {message}"):
        read_dataset(foreign)


@pytest.mark.parametrize(
    ("splits", "message"),
    [([0, 2, 6], "got 2 instead of 3 at entry 1"), ([0, 6], r"expected the shape \(S\+1,\) = \(3,\)")],
)
def test_forces_splits_must_be_those_of_the_atoms(foreign, splits, message, put):
    put(foreign, "/labels/forces_splits", np.array(splits))
    with pytest.raises(DatasetError, match=f"/labels/forces_splits: .*{message}"):
        read_dataset(foreign)


@pytest.mark.parametrize(
    ("where", "shape", "message"),
    [
        ("/structures/positions", (6, 2), "(A, 3) = (6, 3)"),
        ("/structures/positions", (5, 3), "(A, 3) = (6, 3)"),
        ("/structures/atomic_numbers", (6, 1), "(A,) = (6,)"),
        ("/structures/cells", (2, 9), "(S, 3, 3) = (2, 3, 3)"),
        ("/structures/pbc", (2,), "(S, 3) = (2, 3)"),
        ("/labels/energy", (3,), "(S,) = (2,)"),
        ("/labels/forces", (2, 3, 3), "(A, 3) = (6, 3)"),
        ("/labels/stress", (2, 9), "(S, 6) = (2, 6)"),
        ("/labels/stress_mask", (1,), "(S,) = (2,)"),
        ("/metadata/regime", (1,), "(S,) = (2,)"),
    ],
)
def test_wrong_shape(foreign, where, shape, message, put):
    if where == "/labels/stress_mask":
        put(foreign, "/labels/stress", np.zeros((2, 6)))
    put(foreign, where, np.ones(shape, dtype=np.int8))
    pattern = rf"foreign\.hdf5: {where}: expected the shape {re.escape(message)}.*got {re.escape(str(shape))}"
    with pytest.raises(DatasetError, match=pattern):
        read_dataset(foreign)


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ("/structures/atomic_numbers", np.full(6, 1.5)),
        ("/labels/energy", ["a", "b"]),
        ("/labels/energy", [1j, 2j]),
    ],
)
def test_wrong_type(foreign, where, values, put):
    put(foreign, where, values)
    with pytest.raises(DatasetError, match=f"{where}: expected numbers that convert to"):
        read_dataset(foreign)


@pytest.mark.parametrize(
    ("where", "entry", "value", "message"),
    [
        ("/structures/positions", (4, 1), np.nan, r"finite coordinates .* \[12.0, nan, 14.0\] at structure 1, atom 1"),
        ("/labels/energy", 1, np.inf, "a finite energy in eV, got inf at structure 1; 1 of 2 structures"),
        ("/labels/forces", (3, 0), -np.inf, r"finite forces .* at structure 1, atom 0 \(row 3\)"),
        ("/structures/atomic_numbers", 2, 0, "1 to 118, got 0 at structure 0, atom 2"),
        ("/structures/atomic_numbers", 5, 119, "1 to 118, got 119 at structure 1, atom 2"),
    ],
)  # fmt: skip
def test_bad_values(foreign, where, entry, value, message, put):
    with h5py.File(foreign) as file:
        values = np.asarray(file[where])
    values = values.astype(np.float64 if values.dtype.kind == "f" or not np.isfinite(value) else np.int64)
    values[entry] = value
    put(foreign, where, values)
    with pytest.raises(DatasetError, match=rf"foreign\.hdf5: {where}: expected {message}"):
        read_dataset(foreign)


def test_the_message_counts_what_is_affected(path, dataset, put):
    forces, energy = dataset.forces.copy(), dataset.energy.copy()
    forces[[3, 4, 5, 10]] = np.nan  # structures 1 and 2
    put(path, "/labels/forces", forces)
    with pytest.raises(
        DatasetError, match=r"at structure 1, atom 0 .*; 2 of 8 structures are affected\. Label these"
    ):
        read_dataset(path)
    energy[[1, 5, 7]] = np.nan
    put(path, "/labels/energy", energy)
    with pytest.raises(DatasetError, match=r"at structure 1; 3 of 8 structures are affected\. Label these"):
        read_dataset(path)


@pytest.mark.parametrize(
    "cell", [np.zeros((3, 3)), np.diag([9.0, 9, 0]), np.ones((3, 3)), np.full((3, 3), np.nan)]
)
def test_periodic_without_a_volume(foreign, cell, put):
    put(foreign, "/structures/cells", np.stack([np.diag([9.0, 9, 9]), cell]))
    put(foreign, "/structures/pbc", np.ones((2, 3), dtype=bool))
    put(foreign, "/labels/stress", np.zeros((2, 6)))
    with pytest.raises(
        DatasetError, match=r"/structures/cells: expected .* lattice vectors .*at structure 1"
    ):
        read_dataset(foreign)


def test_slab_without_an_area(foreign, put):
    put(foreign, "/structures/cells", np.tile([[9.0, 0, 0], [18, 0, 0], [0, 0, 9]], (2, 1, 1)))
    put(foreign, "/structures/pbc", np.tile([True, True, False], (2, 1)))
    with pytest.raises(DatasetError, match="linearly independent lattice vectors .*; 2 of 2 structures"):
        read_dataset(foreign)


def test_periodic_without_cells(foreign, put):
    put(foreign, "/structures/pbc", np.ones((2, 3), dtype=bool))
    with pytest.raises(
        DatasetError, match="/structures/cells: expected linearly independent lattice vectors"
    ):
        read_dataset(foreign)


@pytest.mark.parametrize(
    ("stress", "mask", "message"),
    [
        (np.full((2, 6), np.nan), [True, False], "finite values where /labels/stress_mask is set"),
        (np.array([[1, np.nan, 0, 0, 0, 0], [0.0] * 6]), None, "six finite components .* at structure 0"),
        (np.stack([np.eye(3), np.arange(9.0).reshape(3, 3)]), None, "symmetric matrices, .* at structure 1"),
    ],
)
def test_bad_stress(foreign, stress, mask, message, put):
    put(foreign, "/structures/cells", np.tile(np.diag([9.0, 9, 9]), (2, 1, 1)))
    put(foreign, "/structures/pbc", np.ones((2, 3), dtype=bool))
    put(foreign, "/labels/stress", stress)
    if mask is not None:
        put(foreign, "/labels/stress_mask", mask)
    with pytest.raises(DatasetError, match=f"/labels/stress: expected {message}"):
        read_dataset(foreign)


def test_no_structures(tmp_path, foreign, dataset, put):
    for where, shape in {
        "/structures/atomic_numbers": (0,),
        "/structures/positions": (0, 3),
        "/labels/forces": (0, 3),
        "/labels/energy": (0,),
    }.items():
        put(foreign, where, np.zeros(shape, dtype=np.int64))
    put(foreign, SPLITS, [0])
    with pytest.raises(DatasetError, match="expected at least one labelled structure, got 0"):
        read_dataset(foreign)
    with pytest.raises(DatasetError, match=r"empty\.h5.*expected at least one labelled structure, got 0"):
        write_dataset(tmp_path / "empty.h5", dataset.select([]))
