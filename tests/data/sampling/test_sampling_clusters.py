"""Dimers, clusters and liquids: contacts as asked for, molecules kept rigid."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.neighborlist import neighbor_list
from scipy.spatial.distance import cdist, pdist

from mlff_distiller.data.sampling.clusters import cluster_frames, contact_shift, place
from mlff_distiller.data.sampling.config import ClusterConfig
from mlff_distiller.data.sampling.liquid import molecular_liquid
from mlff_distiller.data.teachers import Teacher
from mlff_distiller.errors import SamplingError

WATER, BENZENE = molecule("H2O"), molecule("C6H6")


def test_contact_is_exact_and_the_last_one(rng: np.random.Generator) -> None:
    """Against a scan along the direction, from far out."""
    for _ in range(20):
        fixed, moved = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        shift = contact_shift(fixed, moved, direction, 2.0)
        assert shift is not None
        assert cdist(fixed, moved + shift * direction).min() == pytest.approx(2.0)
        beyond = [
            cdist(fixed, moved + t * direction).min() for t in np.linspace(shift + 1e-3, shift + 20, 300)
        ]
        assert min(beyond) > 2.0


def test_contact_that_cannot_be() -> None:
    assert contact_shift(np.array([[0.0, 5.0, 0.0]]), np.zeros((1, 3)), np.array([1.0, 0, 0]), 2.0) is None


def test_distances_of_dimers_are_in_range_and_log_uniform(rng: np.random.Generator) -> None:
    settings = ClusterConfig(distance_min=1.5, distance_max=4.0)
    contacts, bonds = [], pdist(WATER.positions)
    for _ in range(400):
        dimer = place([WATER, BENZENE], rng, settings)
        contacts.append(cdist(dimer.positions[:3], dimer.positions[3:]).min())
        np.testing.assert_allclose(pdist(dimer.positions[:3]), bonds)
    assert 1.5 <= min(contacts) < 1.6
    assert 3.8 < max(contacts) <= 4.0
    assert np.mean(np.log(contacts)) == pytest.approx((np.log(1.5) + np.log(4.0)) / 2, abs=0.05)


def test_orientations_are_random(rng: np.random.Generator) -> None:
    axes = []
    for _ in range(300):
        dimer = place([WATER, WATER], rng, ClusterConfig())
        axis = dimer.positions[1] - dimer.positions[2]
        axes.append(axis / np.linalg.norm(axis))
    np.testing.assert_allclose(np.transpose(axes) @ np.array(axes) / 300, np.eye(3) / 3, atol=0.08)


def test_cluster_members_touch_and_do_not_overlap(rng: np.random.Generator) -> None:
    cluster = place([WATER] * 4, rng, ClusterConfig(distance_min=2.0, distance_max=2.5))
    members = cluster.positions.reshape(4, 3, 3)
    for k in range(1, 4):
        earlier = members[:k].reshape(-1, 3)
        assert 2.0 - 1e-9 <= cdist(earlier, members[k]).min() <= 2.5


def test_charges_of_the_molecules_are_kept(rng: np.random.Generator) -> None:
    chloride = Atoms("Cl", charges=[-1])
    assert place([WATER, chloride], rng, ClusterConfig()).get_initial_charges().tolist() == [0, 0, 0, -1]


@pytest.mark.parametrize(("n_molecules", "regime"), [(2, "dimer"), (3, "cluster")])
def test_frames_of_a_cluster(
    springs: Callable[..., Teacher], rng: np.random.Generator, n_molecules: int, regime: str
) -> None:
    bonds = [(3 * k, 3 * k + h) for k in range(n_molecules) for h in (1, 2)]
    frames = list(
        cluster_frames([WATER] * n_molecules, springs(bonds, 20.0, 0.97), rng, ClusterConfig(n_dynamics=2))
    )
    assert [frame.info["regime"] for frame in frames] == [regime, f"{regime}-300K", f"{regime}-300K"]
    moved = [np.abs(b.positions - a.positions).max() for a, b in pairwise(frames)]
    assert all(0.001 < step < 1 for step in moved)


def test_liquid_has_its_density_and_no_overlap(rng: np.random.Generator) -> None:
    box = molecular_liquid(WATER, 24, 1.0, rng)
    grams = box.get_masses().sum() * 1.66053906660e-24
    assert grams / (box.get_volume() * 1e-24) == pytest.approx(1.0)
    assert box.pbc.all()
    members = np.arange(len(box)) // 3
    first, second, distances = neighbor_list("ijd", box, 3.0)
    between = members[first] != members[second]
    assert distances[between].min() >= 1.7
    np.testing.assert_allclose(
        np.sort([pdist(copy) for copy in box.positions.reshape(-1, 3, 3)]),
        np.sort([pdist(WATER.positions)] * 24),
    )
    assert between.sum() > 24  # a liquid, not molecules far apart


@pytest.mark.parametrize(
    ("n", "density", "message"), [(2, 1.0, "more molecules"), (8, 4.0, "Lower the density")]
)
def test_impossible_liquids_are_refused(
    rng: np.random.Generator, n: int, density: float, message: str
) -> None:
    with pytest.raises(SamplingError, match=message):
        molecular_liquid(BENZENE if n == 2 else WATER, n, density, rng)
