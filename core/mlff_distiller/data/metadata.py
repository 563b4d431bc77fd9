"""Attributes and strings of a dataset file: how it was made, in which units, from which molecules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

import h5py
import numpy as np

from mlff_distiller.data.hdf5 import find
from mlff_distiller.errors import DatasetError

GROUP = "/metadata"
PER_STRUCTURE = ("molecule_id", "regime")  # strings of the metadata group that belong to structures
UNITS = "eV, Å"
MAX_ATTRIBUTE_BYTES = 65_000  # HDF5 holds 64 KiB in an attribute, its header included

# The words that a statement of units in eV and Å may be made of: the units, and what they are units of.
_UNIT_WORDS = {"ev", "electronvolt", "å", "a", "ang", "angstrom", "angstroms", "ångström", "u", "amu", "fs"}
_QUANTITY_WORDS = {
    *("energy", "energies", "force", "forces", "stress", "stresses", "virial", "position", "positions"),
    *("length", "lengths", "cell", "cells", "distance", "distances", "mass", "time", "per", "atom"),
}
# Made of such words all the same: atomic units, and energies that are no totals
_FOREIGN_UNITS = re.compile(r"\ba\W*u\b|\bev\s*(/|per)\s*atom\b")


def write_metadata(group: h5py.Group, metadata: Mapping[str, str], source: str) -> None:
    """Write ``metadata`` and the units as attributes of ``group``, in alphabetical order.

    Raises:
        DatasetError: A value too long for an attribute, a key that has another use, or foreign units.
    """
    attributes = {"units": UNITS, **metadata}
    for key, value in sorted(attributes.items()):
        if key in PER_STRUCTURE:
            raise DatasetError(
                f"{source}: the metadata key {key!r} is taken by the array of that name: rename it."
            )
        size = len(str(value).encode())
        if size > MAX_ATTRIBUTE_BYTES:
            raise DatasetError(
                f"{source}: expected at most {MAX_ATTRIBUTE_BYTES} bytes in the metadata {key!r}, the limit "
                f"of an HDF5 attribute, got {size}. Shorten it, or keep it in a file of its own."
            )
        group.attrs[key] = str(value)
    _check_units_of(group, f"the metadata for {source}")


def read_metadata(file: h5py.File) -> dict[str, str]:
    """All attributes of the metadata group as text, except those that belong to structures."""
    group = find(file, GROUP)
    if group is None:
        return {}
    return {key: _text(value) for key, value in sorted(group.attrs.items()) if key not in PER_STRUCTURE}


def read_strings(file: h5py.File, name: str) -> np.ndarray | None:
    """Strings under ``name`` in the metadata group, kept as an array or as an attribute; None without any."""
    node, group = find(file, f"{GROUP}/{name}"), find(file, GROUP)
    if isinstance(node, h5py.Dataset):
        values = node.asstr()[()] if h5py.check_string_dtype(node.dtype) else node[()]
    elif group is not None and name in group.attrs:
        values = group.attrs[name]
    else:
        return None
    values = np.asarray(values)
    return np.array([_text(value) for value in values.ravel()], dtype=np.str_).reshape(values.shape)


def check_units(file: h5py.File, paths: Iterable[str], source: str) -> None:
    """Refuse a file that says its units are others than eV and Å; a file that says nothing passes.

    Looks at each attribute whose name contains "unit", of the file and of what is at ``paths``.

    Raises:
        DatasetError: Naming the attribute and its value.
    """
    _check_units_of(file, f"{source}: /")
    for path in paths:
        node = find(file, path)
        if node is not None:
            _check_units_of(node, f"{source}: {path}")


def _check_units_of(node: h5py.Group | h5py.Dataset, where: str) -> None:
    for key, value in node.attrs.items():
        if "unit" not in key.lower():
            continue
        text = _text(value).lower()
        words = re.findall(r"[^\W\d_]+", text)
        if _FOREIGN_UNITS.search(text) or not set(words) <= _UNIT_WORDS | _QUANTITY_WORDS:
            raise DatasetError(
                f"{where}: attribute {key!r}: expected eV and Å (as in {UNITS!r}), got {_text(value)!r}. "
                "Convert the energies (totals, not per atom), forces and positions, and set the attribute to that."
            )


def _text(value: object) -> str:
    """An attribute or a string as text; arrays as JSON."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, np.ndarray):
        items = [_text(item) for item in value.ravel()] if value.dtype.kind in "SO" else value.tolist()
        return json.dumps(items, ensure_ascii=False)
    return str(value)
