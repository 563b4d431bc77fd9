"""Labelled structures in extended XYZ files: import with the label names of any group, exact export.

Reading is ASE's (`ase.io.extxyz.read_xyz`). Writing is not: ASE rounds positions and forces to eight
decimals and drops the backslashes of SMILES; here what is read back is what was written.

Units: eV, Å. Stress is dE/dε/V in eV/Å^3 with ASE's sign; a virial is −dE/dε in eV.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io.extxyz import key_val_str_to_dict, read_xyz
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.data.structures import info_text
from mlff_distiller.data.teachers.charge import total_charge
from mlff_distiller.data.validation import check_file, validate
from mlff_distiller.errors import ConfigError, DatasetError

logger = logging.getLogger(__name__)

_HDF5_SUFFIXES = (".h5", ".hdf5")
_XYZ_SUFFIXES = (".xyz", ".extxyz")


@dataclass(frozen=True)
class LabelKeys:
    """Names of the labels in a file; None is the default name.

    The defaults are ``REF_energy``, ``REF_forces``, ``REF_stress`` and ``REF_virial`` in a frame that has one
    of the first two, and ``energy``, ``forces``, ``stress`` and ``virial`` in any other. The two sets are
    never mixed in a frame: they may come from different methods. For the same reason, once a label is named,
    a stress is read only if it is named too.
    """

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    virial: str | None = None

    @classmethod
    def parse(cls, text: str) -> LabelKeys:
        """Keys from a text such as ``"energy=E_dft,forces=F_dft"``.

        Raises:
            ConfigError: A label that does not exist, that comes twice or that has no key.
        """
        keys: dict[str, str] = {}
        known = [field.name for field in fields(cls)]
        for item in text.split(","):
            label, _, key = (part.strip() for part in item.partition("="))
            if label not in known or not key or label in keys:
                raise ConfigError(
                    f"Expected keys such as energy=E_dft,forces=F_dft, each of {', '.join(known)} at most "
                    f"once; got {item.strip()!r} in {text!r}."
                )
            keys[label] = key
        return cls(**keys)

    def resolve(self, available: set[str]) -> LabelKeys:
        """The same with the defaults filled in for a frame that has the keys ``available``."""
        prefix = "REF_" if {"REF_energy", "REF_forces"} & available else ""
        named = any((self.energy, self.forces, self.stress, self.virial))
        return LabelKeys(
            energy=self.energy or f"{prefix}energy",
            forces=self.forces or f"{prefix}forces",
            stress=self.stress if named else f"{prefix}stress",
            virial=self.virial if named else f"{prefix}virial",
        )


def read_any(path: str | os.PathLike[str], keys: LabelKeys | None = None) -> Dataset:
    """Read a dataset of either format, chosen by the suffix of its name.

    Args:
        path: A file named .h5 or .hdf5 (HDF5), .xyz or .extxyz (extended XYZ).
        keys: Names of the labels in an extended XYZ file; in an HDF5 file there is no choice.

    Raises:
        DatasetError: Another suffix, or a file that its reader refuses.
        ConfigError: Keys for an HDF5 file.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _XYZ_SUFFIXES:
        return read_extxyz(path, keys)
    if suffix not in _HDF5_SUFFIXES:
        known = ", ".join(_HDF5_SUFFIXES + _XYZ_SUFFIXES)
        raise DatasetError(
            f"{path}: expected a file name that ends in one of {known}, got {suffix!r}. Rename the file, or "
            "convert it with: ase convert"
        )
    if keys is not None:
        raise ConfigError(
            f"{path}: expected no keys for an HDF5 file, whose names are fixed. Leave out --keys."
        )
    return read_dataset(path)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether the name is that of a dataset file."""
    return Path(path).suffix.lower() in _HDF5_SUFFIXES


def is_labelled(path: str | os.PathLike[str]) -> bool:
    """Whether the name is that of a file which `read_any` reads."""
    return Path(path).suffix.lower() in _HDF5_SUFFIXES + _XYZ_SUFFIXES


def read_extxyz(path: str | os.PathLike[str], keys: LabelKeys | None = None) -> Dataset:
    """Read all frames of an extended XYZ file.

    Energies and forces are needed in each frame. A stress is read, where the frame has a cell, from 6 (Voigt)
    or 9 numbers, or from a virial. ``molecule_id`` and ``regime`` of the comment line are kept.

    Args:
        path: The file.
        keys: Names of the labels in the file.

    Raises:
        DatasetError: No such file, not extended XYZ, truncated, a frame without a label (the message lists
            the keys that it has), or values that `validate` refuses.
    """
    check_file(path)
    keys = keys or LabelKeys()
    frames, n_charged = [], 0
    for i, atoms in enumerate(_frames(path)):
        frames.append(_labelled(atoms, i, keys, str(path)))
        n_charged += bool(np.any(atoms.info.get("charge", 0))) or round(total_charge(atoms)) != 0
    if n_charged:
        _warn_of_charges(n_charged, len(frames), str(path))
    _check_found(frames, keys, str(path))
    try:
        dataset = Dataset.from_atoms(frames)
    except DatasetError as error:  # it does not know the file
        raise DatasetError(f"{path}: {error}") from error
    validate(dataset, str(path))
    return dataset


def write_extxyz(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write all structures, with REF_energy, REF_forces, REF_stress, molecule_id, regime, pbc and Lattice.

    Read back with `read_extxyz`, all numbers are the same to the last bit. The format has no place for
    the metadata of a dataset. An older file stays until the new one is complete.

    Raises:
        DatasetError: The dataset would not be read back (see `validate`).
        OutputError: The file cannot be written.
    """
    validate(dataset, f"the dataset for {path}")
    replace_file(path, (_frame_text(dataset, i).encode() for i in range(len(dataset))))


def _frames(path: str | os.PathLike[str]) -> Iterator[ase.Atoms]:
    """The frames as ASE reads them."""
    index, rest = 0, ""
    try:
        with open(path, encoding="utf-8") as file:
            for atoms in read_xyz(file, slice(None)):  # pyright: ignore[reportArgumentType]  # is allowed
                yield atoms
                index += 1
            rest = file.read().strip()
    # What ASE raises for a bad header, a short frame, an unknown element, a stress that is not 9 numbers.
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise DatasetError(
            f"{path}: frame {index} cannot be read as extended XYZ: {type(error).__name__}: {error}. "
            "The file is truncated or of another format: fix the frame, or write the file again."
        ) from error
    if rest:  # ASE stops without a word at an empty line
        raise DatasetError(
            f"{path}: expected frame {index} to begin with a number of atoms, got an empty line and then "
            f"{rest.splitlines()[0]!r}. Remove empty lines between frames."
        )


def _labelled(atoms: ase.Atoms, index: int, keys: LabelKeys, source: str) -> ase.Atoms:
    """A frame with the labels under ``keys`` as its calculator, and nothing else but its ids."""
    found = {**atoms.info, **atoms.arrays, **(atoms.calc.results if atoms.calc else {})}
    resolved = keys.resolve(set(found))
    labels: dict[str, Any] = {}
    for label, key in (("energy", resolved.energy), ("forces", resolved.forces)):
        if key not in found:
            names = ", ".join(sorted(set(found) - {"numbers", "positions"}))
            advice = (
                f"got the keys {names}. If it has another name: `mlffd convert FILE labels.h5 --keys {label}=NAME`."
                if names
                else "got no labels at all: label it with `mlffd label`."
            )
            raise DatasetError(
                f"{source}: expected the {label} of frame {index} under the key {key!r}, {advice}"
            )
        labels[label] = found[key]
    stress = _stress(atoms, found, resolved, f"{source}: frame {index}")
    if stress is not None:
        labels["stress"] = stress
    info = {name: info_text(atoms.info[name]) for name in ("molecule_id", "regime") if name in atoms.info}
    frame = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=info)
    frame.calc = SinglePointCalculator(frame, **labels)
    return frame


def _stress(atoms: ase.Atoms, found: dict[str, Any], keys: LabelKeys, where: str) -> np.ndarray | None:
    """(6,) eV/Å^3 from a stress, else from a virial (stress = −virial / V); None without either or V."""
    if atoms.cell.rank < 3:
        return None
    for key, scale in ((keys.stress, 1.0), (keys.virial, -1.0 / atoms.cell.volume)):
        if key not in found:
            continue
        values = np.asarray(found[key])
        if values.size not in (6, 9) or values.dtype.kind not in "iuf":
            raise DatasetError(f"{where}: expected 6 or 9 numbers under the key {key!r}, got {found[key]!r}.")
        return scale * (
            full_3x3_to_voigt_6_stress(values.reshape(3, 3)) if values.size == 9 else values.ravel()
        )
    return None


def _warn_of_charges(n_charged: int, n_frames: int, source: str) -> None:
    """A student sees elements and positions only: an ion and a neutral molecule of one composition are the same to it."""
    logger.warning(
        "%s: %d of %d frames have a charge, which a dataset does not hold and a student does not see: do not mix them with "
        "frames of the same atoms and another charge",
        source,
        n_charged,
        n_frames,
    )


def _check_found(frames: list[ase.Atoms], keys: LabelKeys, source: str) -> None:
    """A stress that was asked for by name must be in some frame: else the name is wrong."""
    name = keys.stress or keys.virial
    if name and not any(atoms.calc and "stress" in atoms.calc.results for atoms in frames):
        raise DatasetError(
            f"{source}: expected the key {name!r} in frames with a cell, got none. Fix --keys."
        )


def _frame_text(dataset: Dataset, index: int) -> str:
    """One frame."""
    rows = slice(dataset.splits[index], dataset.splits[index + 1])
    cell, pbc = dataset.cells[index], dataset.pbc[index]
    comment = [f'Lattice="{_numbers(cell)}"'] if cell.any() else []
    comment += [
        "Properties=species:S:1:pos:R:3:REF_forces:R:3",
        f"REF_energy={float(dataset.energy[index])!r}",
    ]
    if dataset.stress is not None and np.isfinite(dataset.stress[index]).all():
        comment.append(f'REF_stress="{_numbers(voigt_6_to_full_3x3_stress(dataset.stress[index]))}"')
    texts = {"molecule_id": str(dataset.molecule_id[index]), "regime": str(dataset.regime[index])}
    comment += [f"{name}={_quoted(text)}" for name, text in texts.items() if text]
    comment.append(f'pbc="{" ".join("T" if periodic else "F" for periodic in pbc)}"')
    atoms = zip(dataset.atomic_numbers[rows], dataset.positions[rows], dataset.forces[rows], strict=True)
    lines = [
        f"{chemical_symbols[z]} {_numbers(position)} {' '.join(f'{component:.9g}' for component in force)}"
        for z, position, force in atoms  # nine digits hold a float32
    ]
    return "\n".join([str(len(lines)), " ".join(comment), *lines, ""])


def _numbers(values: np.ndarray) -> str:
    """Numbers with the fewest digits that give the same float64 again."""
    return " ".join(repr(value) for value in values.ravel().tolist())


def _quoted(text: str) -> str:
    """A value for the comment line: the text, or its JSON where ASE would read the text as something else."""
    plain = _escaped(text)
    parsed = key_val_str_to_dict(f"key={plain}")["key"]  # the molecule F would come back as False
    if text.isprintable() and isinstance(parsed, str) and parsed == text:
        return plain
    return _escaped(f"_JSON {json.dumps(text)}")


def _escaped(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
