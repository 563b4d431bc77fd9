"""Metrics against numbers made by hand and numpy's and scipy's own; groups, files, and a live teacher."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from scipy import stats
from scipy.spatial.transform import Rotation
from tests.training.conftest import make_dataset

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.errors import ConfigError, DatasetError
from mlff_distiller.evaluation.energy_metrics import fit_element_offsets
from mlff_distiller.evaluation.force_comparison import ForceComparison, force_metrics, r_squared
from mlff_distiller.evaluation.report import (
    EvaluationReport,
    atom_groups,
    energies_csv,
    evaluate_predictions,
    forces_csv,
)
from mlff_distiller.evaluation.teacher_labels import ask_teacher, labels_path

LENNARD_JONES = "ase:ase.calculators.lj:LennardJones"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_dataset(16)


@pytest.fixture
def evaluation(dataset: Dataset) -> EvaluationReport:
    rng = np.random.default_rng(0)
    energy = dataset.energy + rng.normal(size=len(dataset))
    forces = dataset.forces + 0.1 * rng.normal(size=dataset.forces.shape)
    return evaluate_predictions(dataset, energy, forces, "student")


def random_comparison(n_atoms: int = 400) -> ForceComparison:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(n_atoms, 3))
    return ForceComparison(reference, reference + 0.2 * rng.normal(size=(n_atoms, 3)))


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 0.5, 90.0, 179.9999, 180.0])
def test_angle_is_that_of_a_rotation(degrees: float) -> None:
    """A force turned by a known angle, and scaled: arccos would lose the smallest one."""
    force = np.array([[0.3, -1.2, 0.7]])
    axis = np.cross(force[0], [1.0, 0.0, 0.0])
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    angle = ForceComparison(force, 2.5 * turn.apply(force)).angle
    assert angle[0] == pytest.approx(degrees, abs=1e-9)


def test_a_force_that_is_nearly_zero_has_no_direction() -> None:
    reference = np.array([[0.001, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    predicted = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    comparison = ForceComparison(reference, predicted)
    assert np.isnan(comparison.angle).tolist() == [True, True, False]
    metrics = force_metrics(comparison)
    assert metrics.angle_mean == pytest.approx(90.0)
    assert metrics.cosine == pytest.approx(0.0, abs=1e-12)
    assert force_metrics(comparison.select(np.array([0]))).angle_mean is None


def test_magnitudes_by_hand() -> None:
    metrics = force_metrics(
        ForceComparison(
            np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]]), np.array([[6.0, 8.0, 0.0], [0.0, 0.0, 1.0]])
        )
    )
    assert metrics.magnitude_mae == pytest.approx((5 + 1) / 2)
    assert metrics.magnitude_bias == pytest.approx((5 - 1) / 2)
    assert metrics.cosine == pytest.approx(1.0)
    assert metrics.max == pytest.approx(5.0)


def test_percentiles_and_r_squared_are_those_of_scipy() -> None:
    comparison = random_comparison()
    metrics = force_metrics(comparison)
    norm = np.sqrt(((comparison.predicted - comparison.reference) ** 2).sum(axis=1))
    for percent, value in ((50, metrics.p50), (90, metrics.p90), (95, metrics.p95), (99, metrics.p99)):
        assert stats.percentileofscore(norm, value) == pytest.approx(percent, abs=0.3)
    x, y = comparison.reference[:, 0], comparison.predicted[:, 0]
    assert r_squared(y, x) == pytest.approx(1 - ((y - x) ** 2).mean() / x.var())
    assert np.isnan(r_squared(np.ones(3), np.ones(3)))


def test_offset_of_an_element_is_found_and_taken_out(dataset: Dataset) -> None:
    n_oxygen = np.bincount(dataset.batch, weights=dataset.atomic_numbers == 8)
    n_carbon = np.bincount(dataset.batch, weights=dataset.atomic_numbers == 6)
    energy = dataset.energy + 0.4 * n_oxygen - 0.1 * n_carbon
    offsets = fit_element_offsets(dataset, energy)
    assert offsets == pytest.approx({"H": 0.0, "C": -0.1, "O": 0.4}, abs=1e-9)
    found = evaluate_predictions(dataset, energy, dataset.forces, "student").energies["all"]["all"]
    assert found.mae == pytest.approx(np.abs((0.4 * n_oxygen - 0.1 * n_carbon) / dataset.n_atoms).mean())
    assert found.mae_fitted == pytest.approx(0.0, abs=1e-12)
    assert found.rmse_shifted == pytest.approx(0.0, abs=1e-12)


def test_fit_minimises_the_error_per_atom(dataset: Dataset, evaluation: EvaluationReport) -> None:
    found = evaluation.energies["all"]["all"]
    assert found.rmse_fitted is not None
    assert found.rmse_fitted < found.rmse
    fewer = dataset.select([0, 1, 2])  # as many as elements: any error could be fitted away
    short = evaluate_predictions(fewer, fewer.energy + [1.0, 2.0, 5.0], fewer.forces, "student")
    assert short.element_offsets == {}
    assert short.energies["all"]["all"].rmse_fitted is None


def test_frames_of_one_composition_determine_no_offsets(dataset: Dataset) -> None:
    methanol = dataset.select(np.repeat(0, 6))
    found = evaluate_predictions(methanol, methanol.energy + 6.0, methanol.forces, "student")
    assert found.element_offsets == {}
    assert found.energies["all"]["all"].mae == pytest.approx(1.0)


def test_each_kind_of_group_has_every_atom_once(dataset: Dataset) -> None:
    magnitude = np.linalg.norm(dataset.forces, axis=1)
    groups = atom_groups(dataset, magnitude)
    assert list(groups) == ["all", "element", "regime", "size", "force"]
    for kind, masks in groups.items():
        assert (np.sum(list(masks.values()), axis=0) == 1).all(), kind
        assert all(mask.any() for mask in masks.values()), kind
    assert set(groups["size"]) == {"1-9 atoms"}
    assert (magnitude[groups["force"]["0-0.5 eV/Å"]] < 0.5).all()


def test_bins_include_their_lower_edge() -> None:
    atoms = [Atoms("H" * n, positions=2.0 * np.eye(n, 3) + np.arange(n)[:, None]) for n in (9, 10, 19, 20)]
    dataset = Dataset.from_atoms([_zero_labels(a) for a in atoms])
    groups = atom_groups(dataset, np.repeat(np.linspace(0, 9, 58), 1))["size"]
    assert {name: int(mask.sum()) for name, mask in groups.items()} == {
        "1-9 atoms": 9,
        "10-19 atoms": 29,
        "20-39 atoms": 20,
    }


def _zero_labels(atoms: Atoms) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((len(atoms), 3)))
    return atoms


def test_tables_on_disk(evaluation: EvaluationReport) -> None:
    rows = list(csv.DictReader(io.StringIO(forces_csv([evaluation, evaluation]))))
    n_groups = sum(len(groups) for groups in evaluation.forces.values())
    assert len(rows) == 2 * n_groups
    row = next(row for row in rows if (row["group_kind"], row["group"]) == ("element", "O"))
    assert (row["predicted"], row["reference"]) == ("student", "labels")
    assert float(row["p95"]) == evaluation.forces["element"]["O"].p95
    energies = list(csv.DictReader(io.StringIO(energies_csv([evaluation]))))
    assert float(energies[0]["rmse_fitted"]) == evaluation.energies["all"]["all"].rmse_fitted
    json.dumps(evaluation.to_dict(), allow_nan=False)


def test_what_is_not_defined_is_null(dataset: Dataset) -> None:
    one = dataset.select([0])
    document = evaluate_predictions(one, one.energy, np.zeros_like(one.forces), "student").to_dict()
    assert document["energies"]["all"]["all"]["rmse_fitted"] is None
    assert document["forces"]["all"]["all"]["angle_mean"] is None
    json.dumps(document, allow_nan=False)


def test_nothing_to_evaluate(dataset: Dataset) -> None:
    none = dataset.select([])
    with pytest.raises(DatasetError, match="at least one structure"):
        evaluate_predictions(none, none.energy, none.forces, "student")


def test_teacher_is_asked_once(dataset: Dataset, tmp_path: Path) -> None:
    path = labels_path(tmp_path, LENNARD_JONES)
    kept, labelled = ask_teacher(dataset, LENNARD_JONES, path)
    assert kept.tolist() == list(range(len(dataset)))
    assert (labelled.molecule_id == dataset.molecule_id).all()
    assert np.abs(labelled.forces - dataset.forces).max() > 0.1  # another sigma, another range
    written = path.stat().st_mtime_ns
    again = ask_teacher(dataset, LENNARD_JONES, path)[1]
    assert path.stat().st_mtime_ns == written
    assert (again.forces == labelled.forces).all()


def test_structures_that_the_teacher_refuses_are_left_out(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "labels.h5"
    ask_teacher(dataset, LENNARD_JONES, path)
    some = read_dataset(path).select([0, 1, 3, 7, 15])
    write_dataset(path, some)
    kept, labelled = ask_teacher(dataset, LENNARD_JONES, path)
    assert kept.tolist() == [0, 1, 3, 7, 15]
    assert len(labelled) == 5


def test_labels_of_others_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "labels.h5"
    ask_teacher(dataset, LENNARD_JONES, path)
    with pytest.raises(ConfigError, match="other structures"):
        ask_teacher(make_dataset(16, seed=1), LENNARD_JONES, path)
    with pytest.raises(ConfigError, match="another teacher"):
        ask_teacher(dataset, "ase:ase.calculators.morse:MorsePotential", path)
