"""Space divided between domains gives what one domain gives: energies, forces, virials."""

from __future__ import annotations

import ctypes
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray
from tests.conftest import random_student
from tests.native.conftest import SHIPPED, box_of_atoms, export

from mlff_distiller.errors import DistillerError, StructureError
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.native import NativePotential
from mlff_distiller.native.library import Exchange, Handle, NeighborList, Results, check, load_library


class Domain:
    """The atoms of one domain of a periodic box: its own, and copies of all atoms within the cutoff of them."""

    def __init__(
        self, atoms: Atoms, own: NDArray[np.int64], cutoff: float, images_share_rows: bool = False
    ) -> None:
        images = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        owners, positions = [own], [atoms.positions[own]]
        for image in images:
            shifted = atoms.positions + image @ atoms.cell.array
            candidates = np.arange(len(atoms)) if image.any() else np.setdiff1d(np.arange(len(atoms)), own)
            if len(own) == 0:
                continue
            r = np.linalg.norm(shifted[candidates, None] - atoms.positions[None, own], axis=2).min(axis=1)
            owners.append(candidates[r < cutoff + 0.3])
            positions.append(shifted[candidates[r < cutoff + 0.3]])
        self.n_own = len(own)
        self.owners = np.concatenate(owners)
        self.positions = np.ascontiguousarray(np.concatenate(positions))
        self.n_rows = len(self.owners)
        if images_share_rows:
            self._put_images_last()
        self.numbers = atoms.numbers[self.owners].astype(np.int32)
        r = np.linalg.norm(self.positions[None] - self.positions[: self.n_own, None], axis=2)
        flag = 1 << 30  # an engine may keep flags in the upper bits
        self.rows = [
            np.array([j | flag for j in np.flatnonzero(r[i] < cutoff + 0.3) if j != i], dtype=np.int32)
            for i in range(self.n_own)
        ]
        self.counts = np.array([len(row) for row in self.rows], dtype=np.int32)
        self.pointers = np.array([row.ctypes.data for row in self.rows], dtype=np.uintp)
        self.image_of = self._rows_of_images()
        self.list = NeighborList(
            self.counts.ctypes.data,
            self.pointers.ctypes.data,
            flag - 1,
            len(self.image_of),
            self.image_of.ctypes.data,
        )

    def _put_images_last(self) -> None:
        """The first copy of each atom, then the others."""
        first = np.sort(np.unique(self.owners, return_index=True)[1])
        order = np.concatenate([first, np.setdiff1d(np.arange(len(self.owners)), first)])
        self.owners, self.positions = self.owners[order], np.ascontiguousarray(self.positions[order])
        self.n_rows = len(first)

    def _rows_of_images(self) -> NDArray[np.int32]:
        row_of = {owner: row for row, owner in enumerate(self.owners[: self.n_rows])}
        return np.array([row_of[owner] for owner in self.owners[self.n_rows :]], dtype=np.int32)


class Cluster:
    """Domains on threads, whose exchanges meet at a barrier as MPI ranks meet in a collective call."""

    def __init__(self, path: Path, domains: list[Domain], n_atoms: int) -> None:
        library = load_library()
        self.domains = domains
        self.model = Handle(lambda p: library.mlffd_load(str(path).encode(), p), library.mlffd_free)
        self.barrier = threading.Barrier(len(domains))
        self.shared = np.zeros((n_atoms, library.mlffd_n_features(self.model.address) * 5), np.float32)
        self.n_calls = [0] * len(domains)
        self.widths: list[list[int]] = [[] for _ in domains]

    def run(self) -> list[Any]:
        """What each domain gives: (energy, forces, virial, atomic energies, atomic virials), or the error it raised."""
        outcomes: list[Any] = [None] * len(self.domains)

        def work(rank: int) -> None:
            try:
                outcomes[rank] = self.compute(rank)
            except DistillerError as error:
                outcomes[rank] = error

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(self.domains))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a domain waits for an exchange that never comes"
        return outcomes

    def compute(self, rank: int) -> tuple[NDArray[np.float64], ...]:
        domain, library = self.domains[rank], load_library()

        @Exchange
        def exchange(_context: Any, rows: Any, n_rows: int, width: int) -> int:
            self.n_calls[rank] += n_rows == domain.n_rows  # else the number of calls is found to be wrong
            self.widths[rank].append(width)
            values = np.zeros(width, np.float32)
            for row, owner in enumerate(domain.owners[: domain.n_own]):
                check(library.mlffd_rows_get(rows, row, values.ctypes.data))
                self.shared[owner, :width] = values
            self.barrier.wait(30)
            for row, owner in enumerate(domain.owners[domain.n_own : domain.n_rows], start=domain.n_own):
                values[:] = self.shared[owner, :width]
                check(library.mlffd_rows_set(rows, row, values.ctypes.data))
            self.barrier.wait(30)
            return 0

        n = domain.n_own
        outputs = [np.zeros(shape) for shape in ((), (n, 3), (3, 3), (n,), (n, 3, 3))]
        results = Results(*(array.ctypes.data for array in outputs))
        system = Handle(
            lambda p: library.mlffd_system_new(self.model.address, 1, p), library.mlffd_system_free
        )
        check(
            library.mlffd_compute_domain(
                system.address,
                n,
                domain.n_rows,
                domain.numbers.ctypes.data,
                domain.positions.ctypes.data,
                ctypes.byref(domain.list),
                exchange,
                None,
                ctypes.byref(results),
            )
        )
        return tuple(outputs)


def split(atoms: Atoms, n_domains: int) -> list[NDArray[np.int64]]:
    """Slabs along x, one of them empty where there are more than two."""
    edges = [0.0, 0.4, 1.0] if n_domains > 1 else [0.0, 1.0]
    x = atoms.get_scaled_positions()[:, 0]
    slabs = [np.flatnonzero((x >= low) & (x < high)) for low, high in pairwise(edges)]
    return slabs + [np.zeros(0, dtype=np.int64)] * (n_domains - len(slabs))


@pytest.mark.parametrize("n_domains", [1, 2, 3], ids=["one", "two", "one of them empty"])
@pytest.mark.parametrize("n_interactions", [1, 2, 3])
@pytest.mark.parametrize("images_share_rows", [False, True])
def test_domains_agree_with_the_whole(
    tmp_path: Path, n_domains: int, n_interactions: int, images_share_rows: bool
) -> None:
    path = export(random_student(n_interactions=n_interactions), tmp_path / "student.pt")
    compare(path, box_of_atoms(150), n_domains, 4.0, images_share_rows)


@pytest.mark.parametrize("n_features", [18, 34])
def test_features_that_do_not_fill_the_last_register(tmp_path: Path, n_features: int) -> None:
    path = export(random_student(n_features=n_features), tmp_path / "student.pt")
    compare(path, box_of_atoms(150), 2, 4.0, images_share_rows=True)


def test_cells_smaller_than_the_cutoff_in_two_domains(random_artifact: Path) -> None:
    """An own atom meets several images of one ghost, and of itself."""
    compare(random_artifact, box_of_atoms(8, density=8 / 3.9**3), 2, 4.0, images_share_rows=True)


def test_an_image_of_nothing_is_an_error(random_artifact: Path) -> None:
    atoms = box_of_atoms(8, density=8 / 3.9**3)
    domain = Domain(atoms, np.arange(8), 4.0, images_share_rows=True)
    domain.image_of[1] = 8
    (outcome,) = Cluster(random_artifact, [domain], 8).run()
    assert str(outcome).startswith("atom 9 is said to be an image of atom 8, which is neither")


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_domains_of_shipped_students(path: Path) -> None:
    """In water: on packed random atoms a trained student has forces of 100 eV/Å, which round by 1e-3."""
    compare(path, water_box(5), 2, 5.0, images_share_rows=True)


def compare(path: Path, atoms: Atoms, n_domains: int, cutoff: float, images_share_rows: bool) -> None:
    """Domains against one call for the whole box."""
    whole = NativePotential(path).evaluate(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    slabs = split(atoms, n_domains)
    cluster = Cluster(path, [Domain(atoms, slab, cutoff, images_share_rows) for slab in slabs], len(atoms))
    outcomes = cluster.run()
    forces, atomic_energies = np.zeros_like(whole.forces), np.zeros_like(whole.atomic_energies)
    for slab, (_, f, _, e, _) in zip(slabs, outcomes, strict=True):
        forces[slab], atomic_energies[slab] = f, e
    scale = float(np.sqrt((whole.forces**2).mean()))
    np.testing.assert_allclose(forces, whole.forces, rtol=0, atol=2e-5 * scale)
    np.testing.assert_allclose(atomic_energies, whole.atomic_energies, rtol=0, atol=2e-5)
    assert sum(o[0] for o in outcomes) == pytest.approx(whole.energy, abs=1e-6 * len(atoms))
    virial = sum(o[2] for o in outcomes)
    np.testing.assert_allclose(virial, whole.virial, rtol=0, atol=2e-5 * np.abs(whole.virial).max())
    for o in outcomes:
        np.testing.assert_allclose(o[4].sum(axis=0), o[2], rtol=0, atol=1e-9 * np.abs(whole.virial).max())
    library = load_library()
    assert set(cluster.n_calls) == {library.mlffd_n_exchanges(cluster.model.address)}


def compute_alone(path: Path, domain: Domain) -> tuple[NDArray[np.float64], ...]:
    """Energy, forces and virial of a single process without ghosts."""
    library = load_library()
    model = Handle(lambda p: library.mlffd_load(str(path).encode(), p), library.mlffd_free)
    system = Handle(lambda p: library.mlffd_system_new(model.address, 1, p), library.mlffd_system_free)
    energy, forces, virial = np.zeros(()), np.zeros((domain.n_own, 3)), np.zeros((3, 3))
    results = Results(energy.ctypes.data, forces.ctypes.data, virial.ctypes.data, None, None)
    check(
        library.mlffd_compute_domain(
            system.address,
            domain.n_own,
            domain.n_rows,
            domain.numbers.ctypes.data,
            domain.positions.ctypes.data,
            ctypes.byref(domain.list),
            Exchange(),
            None,
            ctypes.byref(results),
        )
    )
    return energy, forces, virial


def compare_alone(path: Path, atoms: Atoms, domain: Domain) -> None:
    whole = NativePotential(path).evaluate(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    energy, forces, virial = compute_alone(path, domain)
    assert energy.item() == pytest.approx(whole.energy, abs=1e-4)
    np.testing.assert_allclose(forces, whole.forces, rtol=0, atol=5e-5)
    np.testing.assert_allclose(virial, whole.virial, rtol=0, atol=2e-5 * np.abs(whole.virial).max())


def small_domain() -> tuple[Atoms, Domain]:
    """Atoms that meet their own images."""
    atoms = box_of_atoms(8, density=8 / 3.9**3)
    return atoms, Domain(atoms, np.arange(8), 4.0, images_share_rows=True)


def test_one_process_with_images_agrees_with_the_whole(random_artifact: Path) -> None:
    compare_alone(random_artifact, *small_domain())


def test_a_list_without_flags_needs_no_mask(random_artifact: Path) -> None:
    atoms, domain = small_domain()
    for row in domain.rows:
        row &= domain.list.index_mask
    domain.list.index_mask = 0
    compare_alone(random_artifact, atoms, domain)


@pytest.mark.parametrize("seed", range(5))
def test_rounding_of_images_loses_no_pair(random_artifact: Path, seed: int) -> None:
    """In a primitive fcc cell b - c has no x component but for rounding, which differs between an image and its opposite."""
    cell = 2.9 * np.array([[1, 0, 0], [0.5, 0.75**0.5, 0], [0.5, 12**-0.5, 1.5**-0.5]])
    atoms = Atoms("C", [[0.3, 0.7, 0.9]], cell=cell, pbc=True)
    domain = Domain(atoms, np.arange(1), 4.0, images_share_rows=True)
    signs = np.random.default_rng(seed).choice([-1, 1], domain.positions[1:].shape)
    domain.positions[1:] += 1e-14 * signs
    compare_alone(random_artifact, atoms, domain)


@pytest.mark.parametrize(
    ("neighbor", "message"),
    [
        (4000, "not among the .* see index_mask if the list has flags"),
        (-1, "not among the"),
        (None, "expected a full neighbour list"),
    ],
)
def test_lists_that_cannot_be(random_artifact: Path, neighbor: int | None, message: str) -> None:
    _, domain = small_domain()
    if neighbor is None:
        domain.counts[0] -= sum(1 for j in domain.rows[0] & domain.list.index_mask if j < 8)
        domain.rows[0][: domain.counts[0]] = [j for j in domain.rows[0] if j & domain.list.index_mask >= 8]
    else:
        domain.list.index_mask = -1
        for row in domain.rows:
            row &= (1 << 30) - 1
        domain.rows[2][1] = neighbor
    with pytest.raises(DistillerError, match=message):
        compute_alone(random_artifact, domain)


def test_lists_that_lack_one_direction_of_two_pairs(random_artifact: Path) -> None:
    """As many earlier neighbours as later ones are missing, so no count can tell."""
    _, domain = small_domain()
    own = [
        [j & domain.list.index_mask for j in row[:count]]
        for row, count in zip(domain.rows, domain.counts, strict=True)
    ]
    i, j = next((i, j) for i in range(8) for j in own[i] if i < j < 8)
    k, m = next((k, m) for k in range(8) for m in own[k] if m < k and {k, m} != {i, j})
    for atom, neighbor in ((i, j), (k, m)):
        row = domain.rows[atom]
        at = own[atom].index(neighbor)
        row[at : domain.counts[atom] - 1] = row[at + 1 : domain.counts[atom]]
        domain.counts[atom] -= 1
    with pytest.raises(DistillerError, match="expected a full neighbour list"):
        compute_alone(random_artifact, domain)


def test_an_error_in_one_domain_does_not_leave_the_others_waiting(random_artifact: Path) -> None:
    atoms = box_of_atoms(150)
    domains = [Domain(atoms, slab, 4.0) for slab in split(atoms, 2)]
    domains[0].numbers[3] = 92
    cluster = Cluster(random_artifact, domains, len(atoms))
    outcomes = cluster.run()
    assert cluster.widths[0] == cluster.widths[1]  # both sides of a message
    assert isinstance(outcomes[0], StructureError)
    assert "atom 3 has atomic number 92" in str(outcomes[0])
    assert not isinstance(outcomes[1], Exception)  # its numbers mean nothing, but it came back


def test_a_failing_exchange_is_an_error(random_artifact: Path) -> None:
    atoms = box_of_atoms(60)
    cluster = Cluster(random_artifact, [Domain(atoms, np.arange(60), 4.0)], 60)
    failing = Exchange(lambda _context, _rows, _n_rows, _width: 7)
    library = load_library()
    domain, energy = cluster.domains[0], np.zeros(())
    system = Handle(
        lambda p: library.mlffd_system_new(cluster.model.address, 1, p), library.mlffd_system_free
    )
    with pytest.raises(DistillerError, match="exchange of ghost rows between domains failed with status 7"):
        check(
            library.mlffd_compute_domain(
                system.address,
                60,
                len(domain.owners),
                domain.numbers.ctypes.data,
                domain.positions.ctypes.data,
                ctypes.byref(domain.list),
                failing,
                None,
                ctypes.byref(Results(energy.ctypes.data, None, None, None, None)),
            )
        )
