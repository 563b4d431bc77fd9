"""Ions: a dataset holds no charges, so that a teacher must never meet their frames as neutral ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from rich.console import Console

from mlff_distiller.commands.data import label_pairs
from mlff_distiller.commands.evaluation import evaluate_model
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.labelling import label_structures
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.data.trajectory_frames import read_evenly
from mlff_distiller.errors import DatasetError
from mlff_distiller.evaluation.teacher_labels import labels_path


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


@pytest.mark.parametrize(
    "molecule_id", ["[NH3+]CC([O-])=O", "C[C@@H](O)F", "file:md[run-2].xyz", "C#[13CH]", ""]
)
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


@pytest.mark.parametrize("molecule_id", ["[CH2]", "[O][O]", "O.C[CH2]"])
def test_frames_of_a_radical_are_not_labelled_anew(tmp_path: Path, molecule_id: str) -> None:
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    with pytest.raises(DatasetError, match=r"has unpaired electrons, and a dataset holds no spins"):
        label_structures(
            Dataset.from_atoms([frame(molecule_id)]), "ase:ase.calculators.emt:EMT", tmp_path / "labels.h5"
        )


def write_ion(path: Path) -> Atoms:
    """Ammonium with its initial charges, and labels of nobody."""
    ion = Atoms("NH4", 0.6 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]))
    ion.set_initial_charges([1.0, 0.0, 0.0, 0.0, 0.0])
    ion.calc = SinglePointCalculator(ion, energy=0.0, forces=np.zeros((5, 3)))
    ion.write(path, format="extxyz")
    return ion


def test_a_live_teacher_meets_an_ion_with_its_charge(tmp_path: Path) -> None:
    """In an evaluation, whose frames are also read as a dataset."""
    pytest.importorskip("tblite", reason="tblite is not installed")
    ion = write_ion(tmp_path / "ion.xyz")
    output = tmp_path / "out"
    evaluate_model("tiny", tmp_path / "ion.xyz", Console(quiet=True), teacher="gfn2-xtb", output=output)
    labelled = read_dataset(labels_path(output, "gfn2-xtb"))
    expected = load_teacher("gfn2-xtb").label(ion).get_potential_energy()
    assert labelled.energy[0] == pytest.approx(expected, abs=1e-6)
    ion.set_initial_charges(np.zeros(5))
    assert abs(load_teacher("gfn2-xtb").label(ion).get_potential_energy() - expected) > 1.0


def test_frames_of_a_trajectory_keep_charge_and_spin(tmp_path: Path) -> None:
    ion = write_ion(tmp_path / "ion.xyz")
    (found,) = read_evenly(tmp_path / "ion.xyz", 3).frames
    assert found.get_initial_charges().tolist() == ion.get_initial_charges().tolist()
    assert found.calc is None


def test_there_are_no_pairs_of_ions(tmp_path: Path) -> None:
    write_ion(tmp_path / "ion.xyz")
    with pytest.raises(DatasetError, match=r"frame 0 \(file:ion.xyz\) has a charge or unpaired electrons"):
        label_pairs(tmp_path / "ion.xyz", "ase:ase.calculators.emt:EMT", tmp_path / "pairs.h5", 0.01, 0, 1)
