"""No molecule is in two parts, whatever the frames are and however they are ordered."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.molecules import without_stereo
from mlff_distiller.data.splitting import molecules_in, split_by_molecule
from mlff_distiller.errors import ConfigError, DatasetError


def dataset_of(ids: list[str], formula: str = "H2", regime: str = "rattle") -> Dataset:
    """One frame for each id."""
    frames = []
    for name in ids:
        atoms = ase.Atoms(formula, info={"molecule_id": name, "regime": regime})
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)))
        frames.append(atoms)
    return Dataset.from_atoms(frames)


def names(dataset: Dataset, part: np.ndarray) -> set[str]:
    return {molecule for name in dataset.molecule_id[part] for molecule in name.split(".")}


MOLECULES = [f"C{'C' * i}" for i in range(20)]


@given(
    pairs=st.lists(st.tuples(st.integers(0, 19), st.integers(-1, 19)), max_size=60),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=50, deadline=None)
def test_no_molecule_is_in_two_parts(pairs, seed):
    dimers = [".".join(MOLECULES[i] for i in pair if i >= 0) for pair in pairs]
    dataset = dataset_of(MOLECULES + dimers)
    parts = split_by_molecule(dataset, seed=seed)
    seen = [names(dataset, part) for part in parts]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert [len(found) for found in seen] == [16, 2, 2]
    kept = np.concatenate(parts)
    assert len(set(kept.tolist())) == len(kept)
    for i in set(range(len(dataset))) - set(kept.tolist()):  # left out only because it crosses a boundary
        holders = {k for k, found in enumerate(seen) for name in dimers[i - 20].split(".") if name in found}
        assert len(holders) > 1


def test_stereoisomers_stay_together():
    """Their geometries are mirror images, or nearly the same."""
    isomers = [f"{'C' * i}[{mark}H](N)C(=O)O" for i in range(1, 11) for mark in ("C@", "C@@")]
    isomers += [f"{'C' * i}C(N)C(=O)O" for i in range(1, 11)] + [
        f"F/C=C{mark}{'C' * i}" for i in range(1, 11) for mark in "/\\"
    ]
    dataset = dataset_of(isomers)
    parts = split_by_molecule(dataset, (0.4, 0.3, 0.3))
    constitutions = [{without_stereo(name) for name in names(dataset, part)} for part in parts]
    assert [len(found) for found in constitutions] == [8, 6, 6]
    assert len(set.union(*constitutions)) == 20


def test_slashes_of_files_are_no_stereo_marks():
    dataset = dataset_of(["file:a/b.cif", "file:ab.cif", "file:c.cif"])
    assert [len(part) for part in split_by_molecule(dataset, (1 / 3, 1 / 3, 1 / 3))] == [1, 1, 1]


def test_a_frame_across_parts_is_left_out_and_counted(caplog):
    dataset = dataset_of(["A", "B", "C", "A.B", "A.A", "B.C.C"])
    parts = split_by_molecule(dataset)
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 4]
    assert "2 of 6 structures are in no part" in caplog.text


def test_indices_are_ascending_integers():
    for part in split_by_molecule(dataset_of(MOLECULES * 3)):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


def test_the_order_and_number_of_frames_do_not_matter():
    forward = dataset_of(MOLECULES)
    backward = dataset_of(MOLECULES[5:] * 3 + MOLECULES[::-1])
    for one, other in zip(split_by_molecule(forward), split_by_molecule(backward), strict=True):
        assert names(forward, one) == names(backward, other)


def test_the_split_is_the_same_on_any_machine():
    """Written down, so that no later change of the library moves molecules between the parts of old runs."""
    training, validation, test = split_by_molecule(dataset_of(MOLECULES), seed=1)
    # By hand: for each id, printf "1:$id" | sha256sum. Sorted, the last four are 4, 8 and 11, 0.
    assert (validation.tolist(), test.tolist()) == ([4, 8], [0, 11])
    assert len(training) == 16


def test_another_seed_is_another_split():
    dataset = dataset_of(MOLECULES)
    assert len({tuple(split_by_molecule(dataset, seed=seed)[2].tolist()) for seed in range(10)}) > 5


def test_a_new_molecule_moves_few_others():
    before = dataset_of(MOLECULES)
    after = dataset_of([*MOLECULES, "O"])
    moved = names(before, split_by_molecule(before)[0]) - names(after, split_by_molecule(after)[0])
    assert len(moved) <= 2


@pytest.mark.parametrize(
    ("count", "fractions", "sizes"),
    [
        (3, (0.8, 0.1, 0.1), [1, 1, 1]),
        (4, (0.8, 0.1, 0.1), [2, 1, 1]),
        (10, (0.8, 0.1, 0.1), [8, 1, 1]),
        (20, (0.7, 0.2, 0.1), [14, 4, 2]),
        (20, (0.5, 0.5, 0.0), [10, 10, 0]),
        (20, (1.0, 0.0, 0.0), [20, 0, 0]),
        (7, (1 / 3, 1 / 3, 1 / 3), [3, 2, 2]),
        (2, (0.9, 0.1, 0), [1, 1, 0]),
    ],
)
def test_sizes(count, fractions, sizes):
    dataset = dataset_of([f"M{i}" for i in range(count)])
    assert [len(part) for part in split_by_molecule(dataset, fractions)] == sizes


@pytest.mark.parametrize(
    "fractions",
    [(0.8, 0.1), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (np.nan, 0.5, 0.5), (8, 1, 1), (np.inf, 0, 0)],
)
def test_bad_fractions(fractions):
    with pytest.raises(ConfigError, match="three fractions"):
        split_by_molecule(dataset_of(MOLECULES), fractions)


def test_too_few_molecules():
    with pytest.raises(
        DatasetError, match=r"at least 3 different molecules to fill 3 parts, got 2\. Sample more"
    ):
        split_by_molecule(dataset_of(["C", "CC", "C", "C.CC"]))


def test_a_part_that_gets_no_frame():
    dataset = dataset_of(["A.B", "A.C", "B.C"])
    with pytest.raises(DatasetError, match=r"The train part is empty: .*another seed"):
        split_by_molecule(dataset)


def test_unnamed_structures_go_by_formula(caplog):
    dataset = Dataset.concatenate([dataset_of(["", ""], formula) for formula in ("H2", "O2", "N2", "CO")])
    parts = split_by_molecule(dataset)
    assert sorted(len(part) for part in parts) == [2, 2, 4]
    for part in parts:
        assert len(set((part // 2).tolist())) * 2 == len(part)  # both frames of a formula
    assert "8 of 8 structures have no molecule_id" in caplog.text


def test_a_formula_is_not_a_molecule_id():
    """CO is methanol as SMILES and carbon monoxide as a formula."""
    dataset = Dataset.concatenate([dataset_of(["CO"]), dataset_of(["", "O"], "CO")])
    assert [len(part) for part in split_by_molecule(dataset)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("molecule_id", "regime", "molecules"),
    [
        ("CCO", "", ("CCO",)),
        ("O.CC.O", "cluster", ("CC", "O")),
        ("file:ice.cif", "", ("file:ice.cif",)),
        ("file:run.1.in", "md-300K", ("file:run.1.in",)),
        ("ice.v2.out", "periodic", ("ice.v2.out",)),
        ("[Na+].[Cl-]", "conformer", ("[Cl-]", "[Na+]")),
    ],
)
def test_molecules_in(molecule_id, regime, molecules):
    assert molecules_in(molecule_id, regime) == molecules
