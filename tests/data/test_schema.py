"""The HDF5 file: exact round trips, the schema, files of others, and writes that never leave half a file."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest

from mlff_distiller.data.dataset import LAYOUT, Dataset
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.errors import DatasetError, OutputError


def assert_same(found: Dataset, expected: Dataset) -> None:
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def array(file: h5py.File, where: str) -> h5py.Dataset:
    """What is at ``where``, which must be an array."""
    node = file[where]
    assert isinstance(node, h5py.Dataset)
    return node


# Round trip


def test_round_trip(tmp_path, dataset):
    write_dataset(tmp_path / "data.h5", dataset)
    found = read_dataset(tmp_path / "data.h5")
    assert_same(found, dataset)
    assert found.metadata == {**dataset.metadata, "units": "eV, Å"}
    with h5py.File(tmp_path / "data.h5") as file:
        assert array(file, "/labels/forces").compression == "gzip"


def test_the_file_follows_the_schema(path, dataset):
    expected = {
        "/structures/atomic_numbers": (np.int64, (34,)),
        "/structures/atomic_numbers_splits": (np.int64, (9,)),
        "/structures/positions": (np.float64, (34, 3)),
        "/structures/cells": (np.float64, (8, 3, 3)),
        "/structures/pbc": (np.bool_, (8, 3)),
        "/labels/energy": (np.float64, (8,)),
        "/labels/forces": (np.float32, (34, 3)),
        "/labels/forces_splits": (np.int64, (9,)),
        "/labels/stress": (np.float64, (8, 6)),
        "/labels/stress_mask": (np.bool_, (8,)),
    }
    with h5py.File(path) as file:
        for where, (dtype, shape) in expected.items():
            assert (array(file, where).dtype, array(file, where).shape) == (dtype, shape), where
        assert array(file, "/labels/stress_mask")[:].tolist() == [False] * 7 + [True]
        for name in ("molecule_id", "regime"):
            strings = array(file, f"/metadata/{name}")
            assert h5py.check_string_dtype(strings.dtype) == ("utf-8", None)  # None: of variable length
            assert list(strings.asstr()[:]) == getattr(dataset, name).tolist()
        assert dict(file["/metadata"].attrs) == {**dataset.metadata, "units": "eV, Å"}


def test_many_molecule_ids_are_no_attribute(tmp_path, dataset):
    """64 KiB is the limit of an HDF5 attribute."""
    many = dataset.select(np.zeros(2000, dtype=int))
    many = dataclasses.replace(many, molecule_id=np.array([f"{'C' * 50}({i})" for i in range(2000)]))
    write_dataset(tmp_path / "many.h5", many)
    assert_same(read_dataset(tmp_path / "many.h5"), many)


def test_a_dataset_without_stress(tmp_path, dataset):
    write_dataset(tmp_path / "data.h5", dataset.select([0, 1]))
    with h5py.File(tmp_path / "data.h5") as file:
        assert "/labels/stress" not in file
        assert "/labels/stress_mask" not in file
    assert read_dataset(tmp_path / "data.h5").stress is None


def test_equal_datasets_give_equal_bytes(tmp_path, dataset):
    write_dataset(tmp_path / "a.h5", dataset)
    time.sleep(1.1)  # HDF5 counts seconds in its time stamps
    shuffled = dataclasses.replace(dataset, metadata=dict(reversed(dataset.metadata.items())))
    write_dataset(tmp_path / "b.h5", shuffled)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


# Writing


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"sampling": "x" * 70_000}, "at most 65000 bytes in the metadata 'sampling'"),
        ({"regime": "rattle"}, "key 'regime' is taken"),
        ({"units": "kcal/mol"}, "expected eV and Å"),
    ],
)
def test_metadata_that_cannot_be_kept(tmp_path, dataset, metadata, message):
    with pytest.raises(DatasetError, match=message):
        write_dataset(tmp_path / "data.h5", dataclasses.replace(dataset, metadata=metadata))
    assert list(tmp_path.iterdir()) == []


def test_a_bad_dataset_is_not_written(path, dataset):
    before = path.read_bytes()
    bad = dataclasses.replace(dataset, energy=np.full(8, np.nan))
    with pytest.raises(DatasetError, match=r"/labels/energy: expected a finite energy .* 8 of 8"):
        write_dataset(path, bad)
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_old_file(path, dataset):
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (1000, hard)
        )  # the kernel refuses to write more into a file
        with pytest.raises(OutputError, match=r"data\.h5: cannot be written: File too large"):
            write_dataset(path, dataset.select([0]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_kill_leaves_the_old_file(path):
    before = path.read_bytes()
    script = """
        import os, signal, sys
        from mlff_distiller.atomic_file import replace_file

        def chunks():
            yield b"half" * 100_000
            os.kill(os.getpid(), signal.SIGKILL)

        replace_file(sys.argv[1], chunks())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert path.read_bytes() == before


def test_no_folder(tmp_path, dataset):
    with pytest.raises(OutputError, match=r"cannot be written: No such file or directory.*folder exists"):
        write_dataset(tmp_path / "none" / "data.h5", dataset)


def test_a_link_is_followed(tmp_path, path, dataset):
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    write_dataset(link, dataset.select([0]))
    assert link.is_symlink()
    assert len(read_dataset(path)) == 1


# Files of others


def test_the_least_that_a_file_may_hold(foreign):
    dataset = read_dataset(foreign)
    assert dataset.n_atoms.tolist() == [3, 3]
    assert dataset.energy.tolist() == [-3.0, -4.0]
    np.testing.assert_array_equal(dataset.forces, np.arange(18).reshape(6, 3))
    assert not dataset.cells.any()
    assert not dataset.pbc.any()
    assert dataset.stress is None
    assert dataset.molecule_id.tolist() == dataset.regime.tolist() == ["", ""]
    assert dataset.metadata == {}
    for name, (dtype, _) in LAYOUT.items():
        if name != "stress":
            assert np.issubdtype(getattr(dataset, name).dtype, dtype), name


def test_stress_as_matrices_without_a_mask(foreign, put):
    put(foreign, "/structures/cells", np.tile(np.diag([9.0, 9, 9]), (2, 1, 1)))
    put(foreign, "/structures/pbc", np.ones((2, 3), dtype=bool))
    matrix = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    put(foreign, "/labels/stress", np.stack([matrix, np.full((3, 3), np.nan)]))
    np.testing.assert_array_equal(read_dataset(foreign).stress, [[1, 2, 3, 4, 5, 6], [np.nan] * 6])


def test_the_mask_says_which_stress_counts(foreign, put):
    put(foreign, "/structures/cells", np.tile(np.diag([9.0, 9, 9]), (2, 1, 1)))
    put(foreign, "/structures/pbc", np.ones((2, 3), dtype=bool))
    put(foreign, "/labels/stress", np.array([[1.0, 2, 3, 4, 5, 6], [0.0] * 6]))
    put(foreign, "/labels/stress_mask", np.array([1, 0], dtype=np.int8))
    np.testing.assert_array_equal(read_dataset(foreign).stress, [[1, 2, 3, 4, 5, 6], [np.nan] * 6])


def test_cells_alone_do_not_say_what_is_periodic(foreign, put):
    put(foreign, "/structures/cells", np.tile(np.diag([9.0, 9, 9]), (2, 1, 1)))
    with pytest.raises(DatasetError, match="does not say which structures are periodic"):
        read_dataset(foreign)


def test_a_stress_without_a_volume_is_dropped(foreign, put):
    put(foreign, "/labels/stress", np.zeros((2, 6)))
    assert read_dataset(foreign).stress is None


@pytest.mark.parametrize("third", [[0, 0, 0], [0, 0, 9], [9, 0, 0]])
def test_slab(foreign, put, third):
    """Two periodic directions; the third lattice vector does not count."""
    put(foreign, "/structures/cells", np.tile([[9.0, 0, 0], [0, 9, 0], third], (2, 1, 1)))
    put(foreign, "/structures/pbc", np.tile([True, True, False], (2, 1)))
    assert read_dataset(foreign).pbc.tolist() == [[True, True, False]] * 2


@pytest.mark.parametrize(
    "values", [["O", "OO"], np.array([b"O", b"OO"]), np.array(["O", "OO"], dtype=h5py.string_dtype())]
)
def test_molecule_ids_as_an_attribute_or_an_array(foreign, values, put):
    with h5py.File(foreign, "a") as file:
        file.create_group("metadata").attrs["molecule_id"] = values
    assert read_dataset(foreign).molecule_id.tolist() == ["O", "OO"]
    assert read_dataset(foreign).metadata == {}
    put(foreign, "/metadata/molecule_id", values)
    assert read_dataset(foreign).molecule_id.tolist() == ["O", "OO"]


def test_one_molecule_id_for_all(foreign):
    with h5py.File(foreign, "a") as file:
        file.create_group("metadata").attrs["molecule_id"] = "O"
    assert read_dataset(foreign).molecule_id.tolist() == ["O", "O"]


def test_metadata_of_any_kind(foreign):
    with h5py.File(foreign, "a") as file:
        group = file.create_group("metadata")
        group.attrs.update(
            {"text": "x", "bytes": np.bytes_("y"), "number": 3, "list": [1, 2], "words": ["a", "Å"]}
        )
        group.attrs["empty"] = h5py.Empty("f")
    assert read_dataset(foreign).metadata == {
        "text": "x",
        "bytes": "y",
        "number": "3",
        "list": "[1, 2]",
        "words": '["a", "Å"]',
        "empty": "",
    }


@pytest.mark.parametrize(
    "units",
    [
        "eV, Å",
        "eV/Angstrom",
        "energy: eV, forces: eV/\N{ANGSTROM SIGN}, stress: eV/A^3",
        '{"positions": "ang"}',
    ],
)
def test_units_of_this_package_pass(foreign, units):
    with h5py.File(foreign, "a") as file:
        file.create_group("metadata").attrs["units"] = units
    assert len(read_dataset(foreign)) == 2


@pytest.mark.parametrize(
    "units",
    ["kcal/mol", "Hartree, Bohr", "eV, nm", "meV", "energy: Ha", "a.u.", "eV/atom, eV/Å", "eV per atom"],
)
@pytest.mark.parametrize(
    ("where", "key"), [("/metadata", "units"), ("/labels/energy", "unit"), ("/", "UNITS")]
)
def test_other_units_are_refused(foreign, units, where, key):
    with h5py.File(foreign, "a") as file:
        file.require_group("metadata")
        file[where].attrs[key] = units
    with pytest.raises(DatasetError, match=f"foreign.hdf5: {where}.*expected eV and Å.*{units}.*Convert"):
        read_dataset(foreign)
