"""The numbers of the force analysis against brute force and scipy, and the page: fourteen panels, none empty, no overlap."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.neighborlist import neighbor_list
from matplotlib.patches import Circle
from scipy.spatial.distance import cdist
from tests.conftest import triclinic_crystal
from tests.training.conftest import make_dataset

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.evaluation.force_analysis import (
    ForceAnalysis,
    analyse_forces,
    binned_percentiles,
    count_neighbors,
    parity_pairs,
    relative_energies,
    structure_rmse,
    worst_atoms,
    worst_structures,
)
from mlff_distiller.evaluation.force_comparison import ForceComparison
from mlff_distiller.evaluation.force_figure import MAX_DRAWN, draw_force_analysis, write_figure
from mlff_distiller.evaluation.force_style import FEW_ATOMS, STYLE


def noisy(dataset: Dataset, names: tuple[str, ...]) -> ForceAnalysis:
    """Students whose errors are normal, the second twice as wide as the first, and so on."""
    rng = np.random.default_rng(3)
    predictions = [
        (
            name,
            dataset.energy + 0.02 * k * rng.normal(size=len(dataset)),
            dataset.forces + 0.05 * k * rng.normal(size=dataset.forces.shape),
        )
        for k, name in enumerate(names, start=1)
    ]
    return analyse_forces(dataset, "lennard-jones", predictions)


def crystal_dataset(n_cells: int) -> Dataset:
    atoms = triclinic_crystal() * (n_cells, n_cells, n_cells)
    forces = np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces)
    return Dataset.from_atoms([atoms])


def test_neighbors_of_molecules_are_those_of_all_distances() -> None:
    dataset = make_dataset(6)
    expected = []
    for k in range(len(dataset)):
        positions = dataset.positions[dataset.splits[k] : dataset.splits[k + 1]]
        expected += (np.count_nonzero(cdist(positions, positions) < 2.5, axis=1) - 1).tolist()
    assert count_neighbors(dataset, 2.5).tolist() == expected


def test_neighbors_of_a_crystal_count_images() -> None:
    dataset = crystal_dataset(1)
    receivers = neighbor_list("i", dataset.atoms(0), 5.0)
    assert count_neighbors(dataset, 5.0).tolist() == np.bincount(receivers).tolist()


def test_an_error_is_found_where_it_was_put() -> None:
    dataset = make_dataset(8)
    forces = dataset.forces.astype(np.float64)
    guilty = dataset.splits[5] + 2
    forces[guilty] += [3.0, 0.0, 4.0]
    comparison = ForceComparison(dataset.forces.astype(np.float64), forces)
    rmse = structure_rmse(dataset, comparison)
    assert rmse[5] == pytest.approx(np.sqrt(25 / (3 * dataset.n_atoms[5])))
    assert np.count_nonzero(rmse) == 1
    numbers = np.arange(10, 18)  # of a file in which the first ten could not be labelled
    atom = worst_atoms(dataset, comparison, 1, numbers)[0]
    structure = worst_structures(dataset, comparison, 1, numbers)[0]
    assert (atom["structure"], atom["atom"], atom["error_norm"]) == (15, 2, pytest.approx(5.0))
    assert (structure["structure"], structure["molecule_id"]) == (15, "H2CO")
    assert structure["formula"] == "CH2O"


def test_parity_pairs_are_the_components() -> None:
    comparison = ForceComparison(np.array([[3.0, 4.0, 0.0]]), np.array([[1.0, 2.0, 2.0]]))
    pairs = {name: (x.tolist(), y.tolist()) for name, (x, y) in parity_pairs(comparison).items()}
    assert pairs == {
        "x": ([3.0], [1.0]),
        "y": ([4.0], [2.0]),
        "z": ([0.0], [2.0]),
        "magnitude": ([5.0], [3.0]),
    }


def test_relative_energies_by_hand() -> None:
    dataset = make_dataset(6)  # CH3OH H2CO HCOOH CH3CHO CH3OH H2CO
    energy = np.array([6.0, 4.0, 5.0, 7.0, 18.0, 0.0])
    expected = [-1.0, 0.5, np.nan, np.nan, 1.0, -0.5]  # per atom: 1 and 3 in CH3OH, 1 and 0 in H2CO
    np.testing.assert_allclose(relative_energies(dataset, energy), expected)


def test_binned_percentiles_are_those_of_numpy() -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 3, size=3000)
    y = np.floor(x) + rng.uniform(size=3000)  # uniform within steps that are the bins
    y[:5] = np.nan
    bins = binned_percentiles(x, y, 3)
    np.testing.assert_allclose(bins.median - bins.low, 0.4, atol=0.06)
    np.testing.assert_allclose(bins.high - bins.median, 0.4, atol=0.06)
    np.testing.assert_allclose(bins.x, [0.5, 1.5, 2.5], atol=0.06)
    assert len(binned_percentiles(x[:9], x[:9], 4).x) == 0


def test_document_is_json_and_complete() -> None:
    document = json.loads(json.dumps(noisy(make_dataset(12), ("a", "b")).to_dict(), allow_nan=False))
    assert [student["predicted"] for student in document["students"]] == ["a", "b"]
    first = document["students"][0]
    assert first["r2_by_panel"].keys() == {"x", "y", "z", "magnitude"}
    assert first["r2_by_panel"]["x"] > document["students"][1]["r2_by_panel"]["x"]
    errors = [structure["force_rmse"] for structure in first["worst_structures"]]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) == 10


@pytest.mark.parametrize(
    ("n_frames", "names"),
    [
        (1, ("a",)),
        pytest.param(120, ("a",), marks=pytest.mark.slow),
        pytest.param(120, ("a", "b", "a/long/path/to/a/students/artifact.pt"), marks=pytest.mark.slow),
    ],
)
def test_page_has_fourteen_panels_that_do_not_overlap(n_frames: int, names: tuple[str, ...]) -> None:
    dataset = make_dataset(n_frames)
    assert (len(dataset.atomic_numbers) < FEW_ATOMS) == (n_frames == 1)
    with matplotlib.rc_context(STYLE):
        figure = draw_force_analysis(noisy(dataset, names))
        figure.draw_without_rendering()
        panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
        assert [title[5] for title in panels] == list("abcdefghijklmn")  # $\bf{a}$
        assert all(axes.has_data() or axes.patches for axes in panels.values())
        for axes in panels.values():
            if axes.axison and axes.get_xlabel():
                assert any(unit in axes.get_xlabel() for unit in ("(", "neighbours")), axes.get_xlabel()
        boxes = {id(axes): axes.get_tightbbox() for axes in figure.axes}
        page = figure.bbox
        for box in boxes.values():
            assert box is not None
            assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1
            assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1
        for a, b in itertools.combinations(boxes.values(), 2):
            assert a is not None
            assert b is not None
            width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert width < 2 or height < 2, (width, height)


def test_smallest_text_is_seven_points() -> None:
    with matplotlib.rc_context(STYLE):
        figure = draw_force_analysis(noisy(make_dataset(4), ("a",)))
        texts = [
            text for axes in figure.axes for text in (*axes.texts, *axes.get_xticklabels(), axes.xaxis.label)
        ]
    assert min(float(text.get_fontsize()) for text in texts) >= 7


def test_of_a_large_structure_the_surroundings_of_the_worst_atom_are_drawn() -> None:
    dataset = crystal_dataset(4)
    assert len(dataset.atomic_numbers) > MAX_DRAWN
    with matplotlib.rc_context(STYLE):
        figure = draw_force_analysis(noisy(dataset, ("a",)))
    drawn = next(axes for axes in figure.axes if "worst atoms" in axes.get_title(loc="left"))
    n_circles = sum(isinstance(patch, Circle) for patch in drawn.patches)
    assert 1 < n_circles <= MAX_DRAWN


def test_files_are_what_they_are_called(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    write_figure(noisy(make_dataset(4), ("a",)), [tmp_path / "page.png", tmp_path / "page.pdf"])
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert dict(matplotlib.rcParams) == before


def test_one_atom() -> None:
    atoms = Atoms("H")
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((1, 3)))
    with matplotlib.rc_context(STYLE):
        draw_force_analysis(noisy(Dataset.from_atoms([atoms]), ("a",))).draw_without_rendering()
