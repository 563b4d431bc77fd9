"""Bonds, RMSD and radial distributions of trajectories in which they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from mlff_distiller.bonds import find_bonds
from mlff_distiller.constant_energy import append_frame
from mlff_distiller.errors import ConfigError, DatasetError
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.evaluation.trajectory import analyse_trajectory, radial_distribution

pytest.importorskip("MDAnalysis", reason="MDAnalysis is not installed")


def test_bonds_are_the_chemical_ones() -> None:
    bonds, lengths = find_bonds(molecule("CH3CH2OH"))
    assert len(bonds) == 8
    assert lengths.max() < 1.6
    assert len(find_bonds(water_box(3))[0]) == 2 * 27  # none between molecules, none lost at the boundary


def test_a_stretched_bond_is_found_and_a_turned_molecule_is_not(tmp_path: Path) -> None:
    atoms = molecule("CH3CH2OH")
    path = tmp_path / "t.xyz"
    append_frame(path, atoms)
    turned = Atoms(atoms, positions=atoms.positions @ Rotation.random(random_state=0).as_matrix().T + 3.0)
    append_frame(path, turned)
    i, j = find_bonds(atoms)[0][0]
    broken = atoms.copy()
    broken.positions[j] += 0.6 * (broken.positions[j] - broken.positions[i]) / atoms.get_distance(i, j)
    append_frame(path, broken)
    report = analyse_trajectory(path)
    assert report.bond_deviation[:2] == pytest.approx([0, 0], abs=1e-4)
    assert report.bond_deviation[2] == pytest.approx(0.6, abs=1e-3)
    assert not report.intact
    assert report.rmsd[:2] == pytest.approx([0, 0], abs=1e-3)
    assert report.rmsd[2] > 0.01


def test_bonds_across_the_boundary_hold_when_atoms_are_wrapped(tmp_path: Path) -> None:
    atoms = water_box(2)
    append_frame(tmp_path / "t.xyz", atoms)
    moved = atoms.copy()
    moved.positions += 1.5
    moved.wrap()
    append_frame(tmp_path / "t.xyz", moved)
    report = analyse_trajectory(tmp_path / "t.xyz")
    assert report.bond_deviation.max() < 1e-3
    assert report.rmsd.size == 0


def test_radial_distribution_of_a_lattice_and_of_a_gas(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, spread in (("lattice", 0.0), ("gas", None)):
        for _ in range(20):
            lattice = Atoms("Ar64", cell=[16.0] * 3, pbc=True)
            grid = 4.0 * np.array(list(np.ndindex(4, 4, 4)))
            lattice.positions = grid if spread == 0.0 else rng.uniform(0, 16, (64, 3))
            append_frame(tmp_path / f"{name}.xyz", lattice)
    r, g = radial_distribution(tmp_path / "lattice.xyz", ("Ar", "Ar"), 5.0, 50)
    assert r[g.argmax()] == pytest.approx(4.0, abs=0.1)
    assert not g[r < 3.8].any()
    r, g = radial_distribution(tmp_path / "gas.xyz", ("Ar", "Ar"), 8.0, 20)
    assert g[r > 2].mean() == pytest.approx(63 / 64, rel=0.05)


@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_turned_cells_and_slabs_are_understood(tmp_path: Path, pbc) -> None:
    """Cells that MDAnalysis would not turn like this, and cells that are not periodic along one vector."""
    q = Rotation.random(random_state=2).as_matrix()
    atoms = water_box(2)
    atoms.set_cell(atoms.cell.array @ q.T, scale_atoms=True)
    atoms.pbc = pbc
    for shift in (0.0, 2.0):
        frame = atoms.copy()
        frame.positions += shift * atoms.cell.array[0] / 7  # along a periodic vector
        frame.wrap()
        append_frame(tmp_path / "t.xyz", frame)
    assert analyse_trajectory(tmp_path / "t.xyz").bond_deviation.max() < 1e-3


def test_radial_distribution_of_a_turned_crystal(tmp_path: Path) -> None:
    crystal = bulk("Ar", "fcc", a=5.4) * (4, 4, 4)  # cell vectors along (0, 1, 1) and so on
    append_frame(tmp_path / "fcc.xyz", crystal)
    r, g = radial_distribution(tmp_path / "fcc.xyz", ("Ar", "Ar"), 6.0, 120)
    assert not g[r < 3.7].any()
    assert r[np.flatnonzero(g)[0]] == pytest.approx(5.4 / np.sqrt(2), abs=0.06)


def test_refuses(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read as a trajectory"):
        analyse_trajectory(tmp_path / "absent.xyz")
    append_frame(tmp_path / "t.xyz", molecule("H2O"))
    with pytest.raises(DatasetError, match=r"no g\(r\) of O-O: it is not periodic"):
        radial_distribution(tmp_path / "t.xyz", ("O", "O"), 5.0)


def test_no_radial_distribution_beyond_half_the_cell_or_in_changing_cells(tmp_path: Path) -> None:
    for length in (10.0, 10.5):
        append_frame(
            tmp_path / "t.xyz", Atoms("Ar2", [[0, 0, 0], [3, 0, 0]], cell=[length, 12, 14], pbc=True)
        )
    with pytest.raises(ConfigError, match=r"at most 5\.00 Å, half of the cell of .*, got 5\.5 Å"):
        radial_distribution(tmp_path / "t.xyz", ("Ar", "Ar"), 5.5)
    with pytest.raises(DatasetError, match="the cell of frame 1 is another one"):
        radial_distribution(tmp_path / "t.xyz", ("Ar", "Ar"), 5.0)
