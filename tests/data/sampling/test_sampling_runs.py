"""Whole runs: molecules, structures and relabelling, with real teachers."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from mlff_distiller.data.dataset import LAYOUT, Dataset
from mlff_distiller.data.labelling import label_structures
from mlff_distiller.data.sampling import SamplingConfig, sample_molecules, sample_structures
from mlff_distiller.data.sampling.conformers import EmbeddingError
from mlff_distiller.data.sampling.periodic import random_strain, strained
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.data.structures import from_arrays, read_structures, to_arrays
from mlff_distiller.data.teachers import Teacher
from mlff_distiller.errors import ConfigError, DatasetError, SamplingError, TeacherError

EMT = "ase:ase.calculators.emt:EMT"
SHORT = '{"dynamics": {"n": 1, "temperatures": [300, 600]}, "clusters": {"n": 1}}'


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    pytest.importorskip("tblite")
    pytest.importorskip("rdkit")
    output = tmp_path_factory.mktemp("sampled") / "a.h5"
    report = sample_molecules(
        ["CO", "O", "CCO", "OC"],
        "gfn2-xtb",
        SamplingConfig.from_json(SHORT),
        output,
        seed=3,
        show_progress=False,
    )
    dataset = read_dataset(output)
    assert report.n_tasks == 3  # one molecule came twice
    assert report.n_frames == len(dataset) == sum(report.frames_by_regime.values())
    return dataset


def test_every_recipe_gives_frames(sampled: Dataset) -> None:
    alone = [
        regime for regime, name in zip(sampled.regime, sampled.molecule_id, strict=True) if name == "CCO"
    ]
    expected = {
        "conformer": 2,
        "md-300K": 1,
        "md-600K": 1,
        "rattle": 3,
        "torsion": 2,
        "bond": 2,
        "mode-300K": 2,
    }
    assert {regime: alone.count(regime) for regime in alone} == expected
    parts = {regime: set() for regime in ("dimer", "cluster")}
    for regime, name in zip(sampled.regime, sampled.molecule_id, strict=True):
        if regime in parts:
            parts[regime].add(name.count(".") + 1)
            assert set(name.split(".")) <= {"CO", "O", "CCO"}
    assert parts == {"dimer": {2}, "cluster": {3}}


def test_labels_are_those_of_the_teacher(sampled: Dataset, xtb: Teacher) -> None:
    for index in range(0, len(sampled), 7):
        labelled = xtb.label(sampled.atoms(index))
        assert labelled.get_potential_energy() == pytest.approx(sampled.energy[index], abs=1e-6)
        np.testing.assert_allclose(labelled.get_forces(), sampled.atoms(index).get_forces(), atol=1e-5)


def test_metadata_say_how_it_was_made(sampled: Dataset) -> None:
    assert sampled.metadata["teacher"] == "gfn2-xtb"
    assert sampled.metadata["seed"] == "3"
    assert SamplingConfig.from_json(sampled.metadata["sampling"]) == SamplingConfig.from_json(SHORT)
    assert json.loads(sampled.metadata["failures"]) == {}
    assert sampled.metadata["creation"].endswith("+00:00")


def test_number_of_processes_does_not_matter(sampled: Dataset, tmp_path: Path) -> None:
    config = SamplingConfig.from_json(SHORT)
    arguments = (["CO", "O", "CCO"], "gfn2-xtb", config, tmp_path / "b.h5")
    sample_molecules(*arguments, seed=3, n_jobs=2, show_progress=False)
    parallel = read_dataset(tmp_path / "b.h5")
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(parallel, name), getattr(sampled, name), err_msg=name)


def test_the_first_molecules_have_the_frames_of_the_whole_list(sampled: Dataset, tmp_path: Path) -> None:
    """Partners come from all molecules, so a dimer of the first may hold the last."""
    arguments = (["CO", "O", "CCO"], "gfn2-xtb", SamplingConfig.from_json(SHORT), tmp_path / "a.h5")
    sample_molecules(*arguments, seed=3, first=1, show_progress=False)
    part = read_dataset(tmp_path / "a.h5")
    n = len(part)
    assert {name.split(".")[0] for name in part.molecule_id} == {"CO"}
    assert part.molecule_id.tolist() == sampled.molecule_id[:n].tolist()
    assert sampled.molecule_id[n].split(".")[0] == "O"
    np.testing.assert_array_equal(part.positions, sampled.positions[: len(part.positions)])


def test_partner_that_cannot_be_embedded_costs_its_dimer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tblite")

    def embed_partner(smiles: str, *_: object) -> list[Atoms]:
        raise EmbeddingError(smiles)

    monkeypatch.setattr("mlff_distiller.data.sampling.molecule.embed", embed_partner)
    config = SamplingConfig.from_json('{"dynamics": {"n": 0}, "modes": {"n": 0}, "dimers": {"n": 2}}')
    report = sample_molecules(["O"], "gfn2-xtb", config, tmp_path / "a.h5", show_progress=False)
    assert report.failures == {"embedding failed": 2}
    assert report.frames_by_regime["rattle"] == 3


def test_seed_matters(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    config = SamplingConfig.from_json(
        '{"dynamics": {"n": 0}, "modes": {"n": 0}, "dimers": {"n": 0}, "bonds": {"n": 0}}'
    )
    positions = []
    for seed in (0, 1):
        sample_molecules(["O"], "gfn2-xtb", config, tmp_path / f"{seed}.h5", seed=seed, show_progress=False)
        positions.append(read_dataset(tmp_path / f"{seed}.h5").positions)
    assert positions[0].shape == positions[1].shape
    assert np.abs(positions[0] - positions[1]).max() > 0.01


def test_charged_molecule_is_labelled_with_its_charge(tmp_path: Path, xtb: Teacher) -> None:
    config = SamplingConfig.from_json('{"dynamics": {"n": 0}, "modes": {"n": 0}, "dimers": {"n": 0}}')
    sample_molecules(["[NH4+]"], "gfn2-xtb", config, tmp_path / "a.h5", show_progress=False)
    dataset = read_dataset(tmp_path / "a.h5")
    atoms = dataset.atoms(0)
    atoms.set_initial_charges([1, 0, 0, 0, 0])
    assert dataset.energy[0] == pytest.approx(xtb.label(atoms).get_potential_energy(), abs=1e-6)


@pytest.mark.parametrize(
    ("smiles", "teacher", "error"),
    [([], "gfn2-xtb", SamplingError), (["C("], "gfn2-xtb", SamplingError), (["C"], "gfn9-xtb", TeacherError)],
)
def test_unusable_input_is_refused_before_any_work(
    tmp_path: Path, smiles: list[str], teacher: str, error: type[Exception]
) -> None:
    pytest.importorskip("rdkit")
    with pytest.raises(error):
        sample_molecules(smiles, teacher, SamplingConfig(), tmp_path / "a.h5", show_progress=False)
    assert list(tmp_path.iterdir()) == []


def test_crystals_and_slabs_are_sampled(tmp_path: Path) -> None:
    copper = bulk("Cu", cubic=True)
    slab = fcc111("Cu", (2, 2, 2), vacuum=6.0)
    slab.info = {}
    ase.io.write(tmp_path / "slab.xyz", slab)
    config = SamplingConfig.from_json('{"dynamics": {"temperatures": [300]}, "periodic": {"n": 5}}')
    report = sample_structures(
        [copper, tmp_path / "slab.xyz"], EMT, config, tmp_path / "a.h5", show_progress=False
    )
    dataset = read_dataset(tmp_path / "a.h5")
    assert report.failures == {}
    assert sorted(set(dataset.molecule_id.tolist())) == ["Cu4", "file:slab.xyz"]
    crystal = dataset.select((dataset.molecule_id == "Cu4") & (dataset.regime == "periodic"))
    assert np.ptp(np.linalg.det(crystal.cells)) > 0.1
    assert crystal.stress is not None
    assert np.isfinite(crystal.stress).all()
    slab = dataset.select((dataset.molecule_id == "file:slab.xyz") & (dataset.regime == "periodic"))
    assert np.ptp(slab.cells, axis=0).max() == 0
    assert not set(dataset.regime.tolist()) & {"torsion", "bond", "dimer"}


def test_strain_multiplies_cell_and_positions(rng: np.random.Generator) -> None:
    copper = bulk("Cu", cubic=True)
    strain = random_strain(rng, 0.05)
    np.testing.assert_array_equal(strain, strain.T)
    copy = strained(copper, strain)
    np.testing.assert_allclose(copy.get_scaled_positions(), copper.get_scaled_positions(), atol=1e-12)
    assert copy.get_volume() / copper.get_volume() == pytest.approx(np.linalg.det(np.eye(3) + strain))
    samples = np.array([random_strain(rng, 0.05) for _ in range(3000)])
    np.testing.assert_allclose(samples.std(axis=0), 0.05, rtol=0.1)


def test_structure_file_of_a_molecule(tmp_path: Path) -> None:
    pytest.importorskip("tblite")
    ase.io.write(tmp_path / "ethanol.xyz", molecule("CH3CH2OH"))
    config = SamplingConfig.from_json('{"dynamics": {"n": 1, "temperatures": [300]}, "modes": {"n": 0}}')
    report = sample_structures(
        [str(tmp_path / "ethanol.xyz")], "gfn2-xtb", config, tmp_path / "a.h5", show_progress=False
    )
    assert report.frames_by_regime == {"bond": 2, "conformer": 2, "md-300K": 1, "rattle": 3, "torsion": 2}


def test_arrays_there_and_back() -> None:
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]], cell=[3, 4, 5], pbc=[True, False, True], charges=[-1, 0])
    atoms.set_initial_magnetic_moments([0, 1])
    back = from_arrays(to_arrays(atoms))
    assert back == atoms
    assert back.get_initial_charges().tolist() == [-1, 0]
    assert back.get_initial_magnetic_moments().tolist() == [0, 1]


def test_names_of_structures(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        ase.io.write(tmp_path / folder / "start.xyz", Atoms("OH"))
    ase.io.write(tmp_path / "fluoride.xyz", Atoms("HF", info={"molecule_id": "F"}))
    sources = [
        tmp_path / "a" / "start.xyz",
        tmp_path / "b" / "start.xyz",
        tmp_path / "fluoride.xyz",
        Atoms("N2"),
    ]
    names = [name for name, _ in read_structures(sources)]
    assert names == [f"file:{sources[0]}", f"file:{sources[1]}", "F", "N2"]


def test_unreadable_structures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("nonsense")
    for sources in ([tmp_path / "a.xyz"], [tmp_path / "missing.xyz"], [], [Atoms()]):
        with pytest.raises(DatasetError):
            read_structures(sources)


def crystals(n: int) -> list[Atoms]:
    found = []
    for seed in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.info = {"molecule_id": f"Cu {seed}", "regime": "rattle"}
        found.append(atoms)
    return found


def test_relabelling_keeps_order_and_names(tmp_path: Path) -> None:
    label_structures(crystals(7), EMT, tmp_path / "a.h5", bundle_size=3, show_progress=False)
    first = read_dataset(tmp_path / "a.h5")
    assert first.molecule_id.tolist() == [f"Cu {k}" for k in range(7)]
    report = label_structures(first, EMT, tmp_path / "b.h5", bundle_size=2, show_progress=False)
    assert report.n_tasks == 4
    second = read_dataset(tmp_path / "b.h5")
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name), err_msg=name)


def test_other_labels_do_not_change_how_geometries_came_about(sampled: Dataset, tmp_path: Path) -> None:
    label_structures(sampled.select(np.arange(2)), "gfn1-xtb", tmp_path / "a.h5", show_progress=False)
    again = read_dataset(tmp_path / "a.h5")
    assert again.metadata["sampling"] == sampled.metadata["sampling"]
    assert again.metadata["teacher"] == "gfn1-xtb"


def test_structures_that_the_teacher_refuses_are_left_out(tmp_path: Path) -> None:
    structures = crystals(4)
    structures[1].numbers[:] = 92  # EMT has no uranium
    report = label_structures(structures, EMT, tmp_path / "a.h5", show_progress=False)
    assert report.failures == {"teacher failed": 1}
    assert read_dataset(tmp_path / "a.h5").molecule_id.tolist() == ["Cu 0", "Cu 2", "Cu 3"]


def test_another_structure_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    structures = crystals(2)
    label, calls = Teacher.label, []

    def interrupted_at_the_second(self: Teacher, atoms: Atoms) -> Atoms:
        calls.append(atoms)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return label(self, atoms)

    with monkeypatch.context() as patch:
        patch.setattr(Teacher, "label", interrupted_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            label_structures(structures, EMT, tmp_path / "a.h5", bundle_size=1, show_progress=False)
    structures[1].positions[0, 0] += 1e-9
    with pytest.raises(ConfigError, match="differs in: tasks"):
        label_structures(structures, EMT, tmp_path / "a.h5", bundle_size=1, show_progress=False)


def test_a_run_without_a_single_part_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    structures = crystals(2)
    structures[0].numbers[:] = structures[1].numbers[:] = 92  # EMT has no uranium
    with pytest.raises(SamplingError, match=r"teacher failed \(2\)\. The first: Cu 0: .*U"):
        label_structures(structures, EMT, tmp_path / "a.h5", show_progress=False)
    assert not any(tmp_path.iterdir())
    label_structures(crystals(2), EMT, tmp_path / "a.h5", show_progress=False)


def test_labels_go_to_hdf5_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in .h5 or .hdf5, got .*a.xyz"):
        label_structures(crystals(1), EMT, tmp_path / "a.xyz", show_progress=False)
    assert not any(tmp_path.iterdir())


def test_empty_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bundle_size=0"):
        label_structures(crystals(1), EMT, tmp_path / "a.h5", bundle_size=0)
