"""The shipped students: what they claim of themselves, and what they do on molecules that they never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.optimize import BFGS

from mlff_distiller import list_models, load, load_student
from mlff_distiller.constant_energy import NVESettings, run_nve
from mlff_distiller.data.molecules import without_stereo
from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.evaluation.drift import fit_drift
from mlff_distiller.model.presets import PRESETS
from mlff_distiller_ase import DistilledCalculator

NAMES = ("original", "tiny", "ultra-tiny")
R2_AT_300_K = {"original": 0.998, "tiny": 0.996, "ultra-tiny": 0.988}  # what README reports, rounded down
RECIPES = Path(__file__).parents[1] / "recipes"


def test_all_three_are_there() -> None:
    assert tuple(list_models()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_size_and_accuracy_are_within_what_is_promised(name: str) -> None:
    metadata = load(name).metadata
    counted = sum(p.numel() for p in load_student(name).parameters())
    assert counted == metadata.n_parameters <= PRESETS[name].max_parameters
    assert metadata.elements == ["H", "C", "N", "O", "F", "P", "S", "Cl"]
    test = metadata.provenance.accuracy["test"]
    assert test["forces_by_regime"]["md-300K"]["r2"] >= R2_AT_300_K[name]


@pytest.mark.parametrize("name", NAMES)
def test_recipe_is_the_one_that_is_in_the_repository(name: str) -> None:
    """The settings inside the artifact are those of the recipe that docs/training.md tells to run."""
    from mlff_distiller.configuration import load_config, parse_config, to_plain
    from mlff_distiller.distill import DistillConfig
    from mlff_distiller.training.config import TrainingConfig

    recorded = load(name).metadata.provenance.training["config"]
    current = to_plain(load_config(DistillConfig, RECIPES / f"{name}.yaml"))
    for key in ("name", "students", "teacher", "data", "seed", "cutoff", "guide", "init"):
        assert recorded[key] == current[key], key
    # settings that came later are at their defaults
    training = to_plain(parse_config(TrainingConfig, recorded["training"], name))
    for key, value in training.items():
        if key != "max_atoms":  # bounds memory, and changes no number
            assert current["training"][key] == value, key


def test_test_molecules_are_in_no_other_part() -> None:
    """Not even as stereoisomers, nor written in another way."""
    pytest.importorskip("rdkit")
    sizes = {
        **{"train": 900, "more": 1500, "rest": 409, "fill": 4148, "small": 2502, "six": 4200},
        **{"varied": 9600, "valid": 40, "test": 100, "varied-test": 198},
    }
    lists = {name: (RECIPES / "molecules" / f"{name}.smi").read_text().split() for name in sizes}
    assert {name: len(smiles) for name, smiles in lists.items()} == sizes
    parts = {name: {without_stereo(text) for text in smiles} for name, smiles in lists.items()}
    for judged in ("test", "valid", "varied-test"):
        others = set().union(*(part for name, part in parts.items() if name != judged))
        assert not parts[judged] & others


@pytest.mark.parametrize("name", NAMES)
def test_strained_molecules_against_the_live_teacher(name: str) -> None:
    """Atoms closer than dynamics brings them, as in a poor start geometry: forces are large, but not absurd."""
    pytest.importorskip("tblite")
    teacher, calculator = load_teacher("gfn2-xtb"), DistilledCalculator(name)
    forces, labels = [], []
    for seed, formula in enumerate(
        ("CH3CH2OCH3", "C3H9N", "CH3COF", "CH3SCH3", "C4H4NH", "CH3CH2Cl", "C6H6", "HCOOCH3")
    ):
        atoms = molecule(formula)
        atoms.rattle(0.15, seed=seed)
        labels.append(teacher.label(atoms).get_forces())
        atoms.calc = calculator
        forces.append(atoms.get_forces())
    found, expected = np.concatenate(forces), np.concatenate(labels)
    assert np.sqrt((expected**2).mean()) > 5.0  # eV/Å
    assert np.abs(found).max() < 1.5 * np.abs(expected).max()
    assert np.sqrt(((found - expected) ** 2).mean()) < 0.2 * np.sqrt((expected**2).mean())


@pytest.mark.parametrize("name", NAMES)
def test_forces_against_the_live_teacher(name: str) -> None:
    """Rattled molecules of ASE's collection, labelled here and now: the recorded errors are no accident of the file."""
    pytest.importorskip("tblite")
    teacher, potential = load_teacher("gfn2-xtb"), load(name)
    errors, labels = [], []
    for formula in ("CH3CH2OCH3", "C3H9N", "CH3COF", "CH3SCH3", "C4H4NH", "CH3CH2Cl"):
        atoms = molecule(formula)
        atoms.rattle(0.05, seed=1)
        expected = teacher.label(atoms).get_forces()
        found = potential.predict(
            torch.from_numpy(atoms.numbers).long(), torch.from_numpy(atoms.positions)
        ).forces
        errors.append(found.numpy() - expected)
        labels.append(expected)
    error, label = np.concatenate(errors), np.concatenate(labels)
    assert 1 - (error**2).sum() / (label**2).sum() > 0.97


@pytest.mark.parametrize("name", NAMES)
def test_relaxes_to_sensible_geometries(name: str) -> None:
    """Bond lengths of ethanol within 0.03 Å of experiment (C-C 1.512, C-O 1.431, O-H 0.971 Å; CCCBDB)."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = DistilledCalculator(name)
    with BFGS(atoms, logfile=None) as optimizer:
        assert optimizer.run(fmax=0.02, steps=200)
    assert atoms.get_distance(0, 1) == pytest.approx(1.512, abs=0.03)
    assert atoms.get_distance(1, 2) == pytest.approx(1.431, abs=0.03)
    assert atoms.get_distance(2, 3) == pytest.approx(0.971, abs=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_dynamics_keep_a_molecule_together(name: str) -> None:
    atoms: Atoms = molecule("CH3COOH")
    start = atoms.get_all_distances()
    atoms.calc = DistilledCalculator(name)
    trace = run_nve(atoms, NVESettings(n_steps=4000, n_equilibration=500))
    bonded = (start > 0) & (start < 1.6)
    assert np.abs(atoms.get_all_distances() - start)[bonded].max() < 0.5
    assert fit_drift(trace).rms_fluctuation < 0.3  # meV/atom, at 0.5 fs
