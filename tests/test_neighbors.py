"""The neighbour lists against ASE's, which is an independent implementation, and against each other."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from mlff_distiller.neighbors import (
    FEW_ATOMS,
    complete_cell,
    scripted_neighbors,
    torch_cell_neighbors,
    torch_neighbors,
    vesin_neighbors,
)
from tests.conftest import triclinic_crystal

with warnings.catch_warnings(action="ignore"):  # torch calls TorchScript deprecated
    IMPLEMENTATIONS = {
        "vesin": vesin_neighbors,
        "torch": torch_neighbors,
        "torch_cell": torch_cell_neighbors,
        "scripted torch": torch.jit.script(torch_neighbors),
        "scripted torch_cell": torch.jit.script(torch_cell_neighbors),
        "scripted": torch.jit.script(scripted_neighbors),
    }


def edges_of(find, atoms: Atoms, cutoff: float) -> set[tuple[int, ...]]:
    """Edges (i, j, shift) as a set, after checking that none is given twice and receivers are sorted."""
    edge_index, shifts = find(
        torch.from_numpy(atoms.positions),
        torch.from_numpy(atoms.cell.array),
        torch.from_numpy(atoms.pbc),
        cutoff,
    )
    assert (edge_index[0].diff() >= 0).all()
    edges = [(*pair, *shift) for pair, shift in zip(edge_index.t().tolist(), shifts.tolist(), strict=True)]
    assert len(edges) == len(set(edges))
    return set(edges)


def ase_edges(atoms: Atoms, cutoff: float) -> set[tuple[int, ...]]:
    """The same by ASE."""
    i, j, shifts = primitive_neighbor_list("ijS", atoms.pbc, atoms.cell.array, atoms.positions, cutoff)
    return {(int(a), int(b), *map(int, s)) for a, b, s in zip(i, j, shifts, strict=True)}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_atoms=st.integers(1, 12),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cutoff=st.floats(1.0, 6.0),
)
def test_same_edges_as_ase(seed: int, n_atoms: int, pbc, cutoff: float) -> None:
    """Any triclinic cell, any pbc, cells smaller and larger than the cutoff, atoms inside and outside the cell."""
    rng = np.random.default_rng(seed)
    cell = rng.uniform(2.5, 7.0, 3)[:, None] * (np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3)))
    atoms = Atoms(np.ones(n_atoms), rng.uniform(-2, 2, (n_atoms, 3)) @ cell, cell=cell, pbc=pbc)
    expected = ase_edges(atoms, cutoff)
    for name, find in IMPLEMENTATIONS.items():
        assert edges_of(find, atoms, cutoff) == expected, name


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_atoms=st.integers(FEW_ATOMS - 1, 300),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    cutoff=st.floats(1.0, 6.0),
)
def test_same_edges_as_vesin_for_many_atoms(seed: int, n_atoms: int, pbc, cutoff: float) -> None:
    """Flat, long and triclinic cells of one to many bins along each direction, atoms inside and outside the cell."""
    rng = np.random.default_rng(seed)
    cell = rng.uniform(3.0, 30.0, 3)[:, None] * (np.eye(3) + rng.uniform(-0.4, 0.4, (3, 3)))
    atoms = Atoms(np.ones(n_atoms), rng.uniform(-2, 2, (n_atoms, 3)) @ cell, cell=cell, pbc=pbc)
    expected = edges_of(vesin_neighbors, atoms, cutoff)
    for name in ("torch_cell", "scripted torch_cell", "scripted"):
        assert edges_of(IMPLEMENTATIONS[name], atoms, cutoff) == expected, name


def test_empty_space_costs_nothing() -> None:
    """Two clusters a millimetre apart: a grid over the space between them would not fit into any memory."""
    positions = np.random.default_rng(0).uniform(0, 6, (40, 3))
    cluster = Atoms(np.ones(40), positions)
    far = Atoms(np.ones(80), np.concatenate([positions, positions + 1e7]))
    assert len(edges_of(torch_cell_neighbors, far, 4.0)) == 2 * len(
        edges_of(torch_cell_neighbors, cluster, 4.0)
    )


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_cell_rows_of_open_directions_are_ignored(name: str) -> None:
    atoms = triclinic_crystal()
    atoms.pbc = (True, False, True)
    expected = edges_of(IMPLEMENTATIONS[name], atoms, 4.0)
    atoms.cell[1] = 0.0
    assert edges_of(IMPLEMENTATIONS[name], atoms, 4.0) == expected


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("n_atoms", [0, 1])
def test_few_atoms(name: str, n_atoms: int) -> None:
    assert edges_of(IMPLEMENTATIONS[name], Atoms(np.ones(n_atoms), np.zeros((n_atoms, 3))), 5.0) == set()


@pytest.mark.parametrize("find", [torch_neighbors, torch_cell_neighbors])
def test_blocks_change_nothing(find) -> None:
    atoms = triclinic_crystal() * (2, 2, 2)
    arguments = (
        torch.from_numpy(atoms.positions),
        torch.from_numpy(atoms.cell.array),
        torch.from_numpy(atoms.pbc),
        4.0,
    )
    whole, in_blocks = find(*arguments), find(*arguments, block_pairs=1000)
    assert all(torch.equal(a, b) for a, b in zip(whole, in_blocks, strict=True))


@pytest.mark.parametrize(
    "pbc", [(False, False, False), (True, False, False), (True, False, True), (True, True, True)]
)
def test_completed_cell_keeps_the_periodic_rows(pbc) -> None:
    cell, mask = torch.from_numpy(triclinic_crystal().cell.array), torch.tensor(pbc)
    complete = complete_cell(cell, mask)
    assert torch.equal(complete[mask], cell[mask])
    new = complete[~mask]
    torch.testing.assert_close(new @ new.t(), torch.eye(len(new), dtype=torch.float64))
    assert (new @ cell[mask].t()).abs().sum() < 1e-12
