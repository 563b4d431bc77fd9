"""Ions: a dataset holds no charges, so that a teacher must never meet their frames as neutral ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.labelling import label_structures
from mlff_distiller.errors import DatasetError


def frame(molecule_id: str) -> Atoms:
    atoms = Atoms("NH4", np.random.default_rng(0).normal(size=(5, 3)), info={"molecule_id": molecule_id})
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((5, 3)))
    return atoms


@pytest.mark.parametrize(
    ("molecule_id", "charge"),
    [
        ("[NH4+]", "+1"),
        ("[O-]C(=O)CC([O-])=O", "-2"),
        ("O.[Ca+2]", "+2"),
        ("[Ca++:1]", "+2"),
        ("[O--]", "-2"),
    ],
)
def test_frames_of_an_ion_are_not_labelled_anew(tmp_path: Path, molecule_id: str, charge: str) -> None:
    dataset = Dataset.from_atoms([frame("C"), frame(molecule_id)])
    with pytest.raises(DatasetError) as caught:
        label_structures(dataset, "ase:ase.calculators.emt:EMT", tmp_path / "labels.h5")
    assert str(caught.value).startswith(
        f"{molecule_id} has the charge {charge}, and a dataset holds no charges"
    )


@pytest.mark.parametrize("molecule_id", ["[NH3+]CC([O-])=O", "C[C@@H](O)F", "ice-1.cif", "C#[13CH]", ""])
def test_neutral_molecules_and_files_are(tmp_path: Path, molecule_id: str) -> None:
    label_structures(
        Dataset.from_atoms([frame(molecule_id)]),
        "ase:ase.calculators.emt:EMT",
        tmp_path / "labels.h5",
        show_progress=False,
    )


def test_a_charge_that_stands_in_the_comment_line_alone_is_refused(tmp_path: Path) -> None:
    atoms = Atoms("NH4", np.random.default_rng(0).normal(size=(5, 3)), info={"charge": 1})
    atoms.write(tmp_path / "ion.xyz", format="extxyz")
    with pytest.raises(
        DatasetError, match=r"structure 0 \(file:ion.xyz\): .*charge.* is 1, but the initial charges"
    ):
        label_structures([tmp_path / "ion.xyz"], "ase:ase.calculators.emt:EMT", tmp_path / "labels.h5")
