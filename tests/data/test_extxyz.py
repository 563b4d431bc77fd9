"""Extended XYZ: exact round trips, the label names of others, and refusals that say which key to give."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlff_distiller.data.dataset import LAYOUT, Dataset
from mlff_distiller.data.extxyz import LabelKeys, read_any, read_extxyz, write_extxyz
from mlff_distiller.data.schema import write_dataset
from mlff_distiller.errors import ConfigError, DatasetError

WATER = """3
{comment} Properties=species:S:1:pos:R:3{columns} pbc="F F F"
O 0.0 0.0 0.0 {o}
H 0.9 0.0 0.0 {h}
H 0.0 0.9 0.0 {h}
"""


def water(comment: str = "", columns: str = "", *, o: str = "", h: str = "") -> str:
    return WATER.format(comment=comment, columns=columns, o=o, h=h)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


GOOD = water("energy=-5.0", ":forces:R:3", o="0 0 3", h="1 0 0")


# Round trip


def test_round_trip(tmp_path, dataset):
    write_extxyz(tmp_path / "data.xyz", dataset)
    found = read_extxyz(tmp_path / "data.xyz")
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(found, name), getattr(dataset, name), err_msg=name)


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2),
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    forces=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_and_number_survives(tmp_path, texts, numbers, forces):
    atoms = ase.Atoms("H", positions=[numbers[:3]], info={"molecule_id": texts[0], "regime": texts[1]})
    atoms.calc = SinglePointCalculator(atoms, energy=numbers[3], forces=np.array([forces]))
    dataset = Dataset.from_atoms([atoms])
    write_extxyz(tmp_path / "data.xyz", dataset)
    found = read_extxyz(tmp_path / "data.xyz")
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(found, name), getattr(dataset, name), err_msg=name)


@pytest.mark.parametrize(
    "smiles",
    [
        "F",
        "N",
        "F/C=C\\F",
        "[H][H]",
        "C#N",
        "[Na+].[Cl-]",
        "true",
        "12",
        "_JSON 1",
        "C  C",
        'a"b',
        "'",
        "\n",
        "a\nb",
        "a\rb",
    ],
)
def test_text_that_ase_would_misread(tmp_path, dataset, smiles):
    named = dataclasses.replace(dataset.select([0]), molecule_id=np.array([smiles]))
    write_extxyz(tmp_path / "data.xyz", named)
    assert read_extxyz(tmp_path / "data.xyz").molecule_id.tolist() == [smiles]


def test_ase_reads_what_is_written(tmp_path, frames, dataset):
    write_extxyz(tmp_path / "data.xyz", dataset)
    for found, expected in zip(ase.io.iread(tmp_path / "data.xyz", ":"), frames, strict=True):
        assert isinstance(found, ase.Atoms)
        np.testing.assert_array_equal(found.positions, expected.positions)
        np.testing.assert_allclose(found.arrays["REF_forces"], expected.calc.results["forces"], rtol=1e-8)
        assert found.info["REF_energy"] == expected.calc.results["energy"]
        assert found.info["regime"] == expected.info["regime"]
        assert found.pbc.tolist() == expected.pbc.tolist()
        np.testing.assert_array_equal(found.cell.array, expected.cell.array)


def test_what_ase_writes_is_read(tmp_path):
    copper = ase.build.bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=1)
    copper.info.update(molecule_id="F", regime="periodic")  # ASE writes F, and reads False
    copper.calc = EMT()
    results = copper.get_potential_energy(), copper.get_forces(), copper.get_stress()
    ase.io.write(tmp_path / "ase.extxyz", copper)
    found = read_extxyz(tmp_path / "ase.extxyz")
    assert found.stress is not None
    for value, expected in zip((found.energy[0], found.forces, found.stress[0]), results, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-7)
    assert found.molecule_id.tolist() == ["F"]
    assert found.pbc.all()


# Keys


def test_plain_keys(tmp_path):
    found = read_extxyz(write(tmp_path / "a.xyz", GOOD))
    assert found.energy.tolist() == [-5.0]
    assert found.forces.tolist() == [[0, 0, 3], [1, 0, 0], [1, 0, 0]]


def test_reference_keys_come_first(tmp_path):
    text = water("energy=1 REF_energy=2", ":forces:R:3:REF_forces:R:3", o="0 0 1 0 0 2", h="0 0 1 0 0 2")
    found = read_extxyz(write(tmp_path / "a.xyz", text))
    assert found.energy.tolist() == [2.0]
    assert found.forces[:, 2].tolist() == [2.0, 2.0, 2.0]


def test_the_sets_of_keys_are_not_mixed(tmp_path):
    text = water("REF_energy=2", ":forces:R:3", o="0 0 1", h="0 0 1")
    with pytest.raises(DatasetError, match="forces of frame 0 under the key 'REF_forces'"):
        read_extxyz(write(tmp_path / "a.xyz", text))


def test_keys_of_others(tmp_path):
    text = water("energy=1 E_dft=2", ":forces:R:3:F_dft:R:3", o="0 0 1 0 0 2", h="0 0 1 0 0 2")
    found = read_extxyz(write(tmp_path / "a.xyz", text), LabelKeys.parse("energy=E_dft,forces=F_dft"))
    assert found.energy.tolist() == [2.0]
    assert found.forces[:, 2].tolist() == [2.0, 2.0, 2.0]


def test_a_missing_key_names_frame_keys_and_option(tmp_path):
    text = GOOD + water("E_dft=-5.0 spin=1", ":forces:R:3:F_dft:R:3", o="0 0 3 0 0 3", h="0 0 3 0 0 3")
    with pytest.raises(
        DatasetError,
        match=r"a\.xyz: expected the energy of frame 1 under the key 'energy', got the keys "
        r"E_dft, F_dft, forces, spin\. .*--keys energy=NAME",
    ):
        read_extxyz(write(tmp_path / "a.xyz", text))


def test_plain_xyz_has_no_keys(tmp_path):
    with pytest.raises(DatasetError, match=r"energy of frame 0 .* got no labels at all"):
        read_extxyz(write(tmp_path / "a.xyz", "1\n\nH 0 0 0\n"))


def test_parse_keys():
    keys = LabelKeys.parse(" energy = E , stress=S")
    assert keys == LabelKeys(energy="E", stress="S")


@pytest.mark.parametrize(
    "text", ["", "energy", "energy=", "charge=q", "energy=a,energy=b", "energy=a,", "=a"]
)
def test_parse_refuses(text):
    with pytest.raises(ConfigError, match="Expected keys such as energy=E_dft,forces=F_dft"):
        LabelKeys.parse(text)


# Stress

CRYSTAL = """1
Lattice="2 0 0 0 3 0 0 0 4" REF_energy=0 {stress} Properties=species:S:1:pos:R:3:REF_forces:R:3 {pbc}
Ar 0 0 0 0 0 0
"""
VOIGT = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
MATRIX = "1 6 5 6 2 4 5 4 3"


@pytest.mark.parametrize(
    ("stress", "keys", "expected"),
    [
        (f'REF_stress="{MATRIX}"', None, VOIGT),
        ('REF_stress="1 2 3 4 5 6"', None, VOIGT),
        (f'REF_virial="{MATRIX}"', None, [-value / 24 for value in VOIGT]),
        (f'REF_stress="{MATRIX}" REF_virial="9 9 9 9 9 9"', None, VOIGT),
        (f'stress="{MATRIX}"', None, None),
        (f'stress="{MATRIX}"', "energy=REF_energy,forces=REF_forces,stress=stress", VOIGT),
        (f'virial="{MATRIX}"', "virial=virial", [-value / 24 for value in VOIGT]),
        (f'REF_stress="{MATRIX}"', "energy=REF_energy,forces=REF_forces", None),
    ],
)
def test_stress(tmp_path, stress, keys, expected):
    path = write(tmp_path / "a.xyz", CRYSTAL.format(stress=stress, pbc=""))
    found = read_extxyz(path, keys and LabelKeys.parse(keys))
    assert found.pbc.all()  # the convention where there is a Lattice and no pbc
    if expected is None:
        assert found.stress is None
    else:
        assert found.stress is not None
        np.testing.assert_allclose(found.stress, [expected], rtol=1e-15)


def test_virial_is_minus_the_strain_derivative(tmp_path):
    """The sign, against an energy difference under strain."""
    copper = ase.build.bulk("Cu", cubic=True)
    energies = []
    for strain in (-1e-5, 1e-5):
        strained = copper.copy()
        strained.set_cell(copper.cell.array * [1 + strain, 1, 1], scale_atoms=True)
        strained.calc = EMT()
        energies.append(strained.get_potential_energy())
    derivative = (energies[1] - energies[0]) / 2e-5
    copper.calc = SinglePointCalculator(copper, energy=0.0, forces=np.zeros((4, 3)))
    copper.info["virial"] = np.diag([-derivative, 0, 0])
    ase.io.write(tmp_path / "a.xyz", copper, format="extxyz")
    copper.calc = EMT()
    stress = read_extxyz(tmp_path / "a.xyz").stress
    assert stress is not None
    assert stress[0, 0] == pytest.approx(copper.get_stress()[0], rel=1e-5)


def test_charges_are_warned_of(tmp_path, caplog):
    frame = "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.0{}\nO 0 0 0 0 0 0\n"
    stated = (" charge=-1", " charge=0", "", ' charge="0 0"')
    (tmp_path / "a.xyz").write_text("".join(frame.format(text) for text in stated))
    assert len(read_extxyz(tmp_path / "a.xyz")) == 4
    assert "1 of 4 frames have a charge" in caplog.text


def test_partial_charges_that_add_up_to_none_are_not_warned_of(tmp_path, caplog):
    water = ase.build.molecule("H2O")
    water.set_initial_charges([-0.8001, 0.4, 0.4])
    water.calc = SinglePointCalculator(water, energy=-1.0, forces=np.zeros((3, 3)))
    ase.io.write(tmp_path / "a.xyz", water)
    read_extxyz(tmp_path / "a.xyz")
    assert "charge" not in caplog.text


def test_a_stress_asked_for_must_be_there(tmp_path):
    path = write(tmp_path / "a.xyz", CRYSTAL.format(stress="", pbc=""))
    with pytest.raises(DatasetError, match="expected the key 'sigma' in frames with a cell, got none"):
        read_extxyz(path, LabelKeys(energy="REF_energy", forces="REF_forces", stress="sigma"))


@pytest.mark.parametrize("stress", ['REF_stress="1 2 3"', "REF_stress=soft"])
def test_a_stress_of_a_wrong_shape(tmp_path, stress):
    with pytest.raises(DatasetError, match="frame 0: expected 6 or 9 numbers under the key 'REF_stress'"):
        read_extxyz(write(tmp_path / "a.xyz", CRYSTAL.format(stress=stress, pbc="")))


# Damage


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GOOD + "\n" + GOOD,
            "expected frame 1 to begin with a number of atoms, got an empty line and then '3'",
        ),
        (GOOD + GOOD[: len(GOOD) // 2], "frame 1 cannot be read as extended XYZ"),
        ("3\n", "frame 0 cannot be read as extended XYZ"),
        (GOOD.replace("O 0.0", "Q 0.0"), "frame 0 cannot be read as extended XYZ"),
        ("not a number\n" + GOOD, "frame 0 cannot be read as extended XYZ"),
        (GOOD.replace("energy", 'stress="1 2" energy'), "frame 0 cannot be read as extended XYZ: ValueError"),
        (GOOD.replace("-5.0", "low"), "Frame 0: expected one number as the energy, got 'low'"),
        (water("energy=0", ":forces:R:2", o="0 0", h="0 0"), r"Frame 0: expected forces of shape \(3, 3\)"),
        (GOOD.replace("energy=-5.0", "energy=nan"), "energy: expected a finite energy .* at structure 0"),
        (GOOD.replace("0 0 3", "0 0 inf"), "forces: expected finite forces .* at structure 0, atom 0"),
        (GOOD.replace("F F F", "T T T"), "cells: expected linearly independent lattice vectors"),
        ("", "at least one labelled structure, got 0"),
    ],
)
def test_damage(tmp_path, text, message):
    with pytest.raises(DatasetError, match=rf"a\.xyz: .*{message}|a\.xyz: {message}"):
        read_extxyz(write(tmp_path / "a.xyz", text))


def test_not_text(tmp_path):
    (tmp_path / "a.xyz").write_bytes(bytes(range(256)))
    with pytest.raises(DatasetError, match="frame 0 cannot be read"):
        read_extxyz(tmp_path / "a.xyz")


def test_no_file(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.xyz: expected a file, got nothing"):
        read_extxyz(tmp_path / "none.xyz")


def test_a_bad_dataset_is_not_written(tmp_path, dataset):
    with pytest.raises(DatasetError, match="energy: expected a finite energy"):
        write_extxyz(tmp_path / "a.xyz", dataclasses.replace(dataset, energy=np.full(8, np.inf)))
    assert list(tmp_path.iterdir()) == []


# Any format


@pytest.mark.parametrize("name", ["a.h5", "a.HDF5", "a.xyz", "a.extxyz"])
def test_read_any(tmp_path, dataset, name):
    (write_extxyz if "xyz" in name else write_dataset)(tmp_path / name, dataset)
    np.testing.assert_array_equal(read_any(tmp_path / name).forces, dataset.forces)


def test_read_any_passes_keys_on(tmp_path, dataset):
    with pytest.raises(DatasetError, match="under the key 'E'"):
        read_any(write(tmp_path / "a.xyz", GOOD), LabelKeys(energy="E"))
    write_dataset(tmp_path / "a.h5", dataset)
    with pytest.raises(ConfigError, match="no keys for an HDF5 file"):
        read_any(tmp_path / "a.h5", LabelKeys(energy="E"))


@pytest.mark.parametrize("name", ["a.cif", "a", "h5"])
def test_read_any_lists_the_suffixes(tmp_path, name):
    with pytest.raises(DatasetError, match=r"ends in one of \.h5, \.hdf5, \.xyz, \.extxyz, got"):
        read_any(tmp_path / name)
