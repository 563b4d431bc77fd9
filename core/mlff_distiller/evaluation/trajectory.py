"""What a trajectory shows of a student: do bonds hold, does the structure stay, is the liquid's structure the teacher's?

Extended XYZ is read back with MDAnalysis. N atoms, T frames, B bonds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.io import iread

from mlff_distiller.bonds import find_bonds
from mlff_distiller.errors import ConfigError, DatasetError, require

BROKEN = 0.5  # Å off the length at the start: the bond is broken, or two atoms have fallen together


@dataclass(frozen=True)
class TrajectoryReport:
    """What `analyse_trajectory` finds.

    Attributes:
        n_frames: T.
        bonds: (B, 2) atom indices, in the first frame.
        bond_deviation: (T,) Å, the largest change of a bond's length against the first frame.
        rmsd: (T,) Å after superposition on the first frame; empty for periodic structures.
    """

    n_frames: int
    bonds: np.ndarray
    bond_deviation: np.ndarray
    rmsd: np.ndarray

    @property
    def intact(self) -> bool:
        """No bond was ever off by more than 0.5 Å."""
        return bool((self.bond_deviation <= BROKEN).all())


def lengths_of(bonds: np.ndarray, positions: np.ndarray, start: Atoms) -> np.ndarray:
    """Lengths (B,) Å of bonds (B, 2) at positions (N, 3) Å, in the cell and periodicity of ``start``."""
    if len(bonds) == 0:
        return np.zeros(0)
    vectors = positions[bonds[:, 1]] - positions[bonds[:, 0]]
    return find_mic(vectors, start.cell, cast(Any, start.pbc))[1]  # ASE declares one bool, and takes three


def analyse_trajectory(path: Path) -> TrajectoryReport:
    """Bond lengths and RMSD along a trajectory.

    Args:
        path: Extended XYZ, all frames of one structure and cell.

    Raises:
        DatasetError: No frame can be read.
        MissingDependencyError: MDAnalysis is not installed.
    """
    first, universe = _read(path)
    bonds, lengths = find_bonds(first)
    deviation = np.zeros(len(universe.trajectory))
    for k, frame in enumerate(universe.trajectory):
        # in the cell of ASE, which need not be periodic along all vectors, nor turned as MDAnalysis would have it
        deviation[k] = np.abs(lengths_of(bonds, frame.positions, first) - lengths).max(initial=0.0)
    return TrajectoryReport(len(deviation), bonds, deviation, _rmsd(universe, first))


def radial_distribution(
    path: Path, elements: tuple[str, str], max_distance: float, n_bins: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """g(r) between two elements of a periodic trajectory, bonded pairs included.

    Args:
        path: Extended XYZ.
        elements: Symbols.
        max_distance: Å, at most half of the shortest distance between opposite faces of the cell.
        n_bins: Bins.

    Returns:
        Centres of the bins (n_bins,) Å, and g (n_bins,).

    Raises:
        ConfigError: ``max_distance`` is too large.
        DatasetError: The trajectory is not periodic, lacks an element, or its cell changes.
    """
    first, universe = _read(path)
    missing = set(elements) - set(first.get_chemical_symbols())
    if missing or not first.pbc.all():
        raise DatasetError(
            f"{path} has no g(r) of {'-'.join(elements)}: it is not periodic, or lacks {missing or '{}'}"
        )
    _check_cells(path, first, max_distance)
    _turn_to_standard_form(universe, first)
    rdf = require("MDAnalysis.analysis.rdf", extra="analysis")
    a, b = (universe.atoms[np.array(first.get_chemical_symbols()) == symbol] for symbol in elements)
    block = (1, 1) if elements[0] == elements[1] else None  # an atom is no neighbour of itself
    with _quiet():
        found = rdf.InterRDF(a, b, nbins=n_bins, range=(0.05, max_distance), exclusion_block=block).run()
    return found.results.bins, found.results.rdf


def first_frame(path: Path) -> Atoms:
    """The first frame of a trajectory in extended XYZ.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        return next(iter(iread(path, index=":1", format="extxyz")))
    except (OSError, StopIteration, ValueError, KeyError) as error:
        raise DatasetError(f"{path} cannot be read as a trajectory in extended XYZ: {error}") from None


def largest_distance(atoms: Atoms) -> float:
    """Half of the shortest distance between opposite faces of a cell, Å: how far a g(r) may reach."""
    return 0.5 / float(np.linalg.norm(atoms.cell.reciprocal(), axis=1).max())


def _check_cells(path: Path, first: Atoms, max_distance: float) -> None:
    """All frames are analysed in the cell of the first."""
    if max_distance > largest_distance(first) * (1 + 1e-9):
        raise ConfigError(
            f"expected a distance of at most {largest_distance(first):.2f} Å, half of the cell of {path}, got {max_distance} Å"
        )
    for number, atoms in enumerate(iread(path, index=":", format="extxyz")):
        if not np.allclose(atoms.cell.array, first.cell.array, atol=1e-6):
            raise DatasetError(f"{path}: the cell of frame {number} is another one; g(r) needs one cell")


def _read(path: Path) -> tuple[Atoms, Any]:
    """The first frame, and all of them as an MDAnalysis universe."""
    mda = require("MDAnalysis", extra="analysis")
    first = first_frame(path)
    with _quiet():
        return first, mda.Universe(str(path), format="XYZ", topology_format="XYZ", to_guess=())


def _turn_to_standard_form(universe: Any, first: Atoms) -> None:
    """Give every frame its box as MDAnalysis wants it, with a along x and b in the xy plane, and turn the positions likewise."""
    transformations = require("MDAnalysis.transformations", extra="analysis")
    cell, turn = first.cell.standard_form()  # cell = turned cell @ turn
    box = cell.cellpar().astype(np.float32)

    def turned(frame: Any) -> Any:
        frame.positions = frame.positions @ turn.T
        return frame

    universe.trajectory.add_transformations(turned, transformations.boxdimensions.set_dimensions(box))


def _rmsd(universe: Any, first: Atoms) -> np.ndarray:
    if first.pbc.any() or len(first) < 3:
        return np.zeros(0)
    rms = require("MDAnalysis.analysis.rms", extra="analysis")
    reference = first.positions
    return np.array(
        [
            rms.rmsd(frame.positions, reference, center=True, superposition=True)
            for frame in universe.trajectory
        ]
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """MDAnalysis warns of what an XYZ file cannot know (masses, residues), and nothing here uses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
