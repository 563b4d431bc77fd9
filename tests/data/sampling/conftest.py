"""Teachers that are fast: springs, whose statistics are known, and GFN2-xTB on small molecules."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlff_distiller.data.sampling.config import RelaxConfig
from mlff_distiller.data.sampling.conformers import ConformerConfig, embed, relaxation_path
from mlff_distiller.data.teachers import Teacher, load_teacher


class Springs(Calculator):
    """E = Σ k/2 (r - r0)² over the bonds given."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, bonds: list[tuple[int, int]], stiffness: float, length: float) -> None:
        super().__init__()
        self.bonds, self.stiffness, self.length = bonds, stiffness, length

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        positions = self.get_atoms().positions
        energy, forces = 0.0, np.zeros_like(positions)
        for i, j in self.bonds:
            vector = positions[j] - positions[i]
            length = np.linalg.norm(vector)
            energy += self.stiffness / 2 * (length - self.length) ** 2
            pull = self.stiffness * (length - self.length) * vector / length
            forces[i] += pull
            forces[j] -= pull
        self.results = {"energy": energy, "forces": forces}


class Sites(Calculator):
    """E = k/2 Σ |r - site|²: every coordinate is a harmonic oscillator of its own."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, sites: np.ndarray, stiffness: float) -> None:
        super().__init__()
        self.sites, self.stiffness = sites, stiffness

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        shifts = self.get_atoms().positions - self.sites
        self.results = {"energy": self.stiffness / 2 * (shifts**2).sum(), "forces": -self.stiffness * shifts}


@pytest.fixture(scope="session")
def sites() -> Callable[..., Teacher]:
    """Makes a teacher that binds each atom to a site."""

    def make(positions: np.ndarray, stiffness: float) -> Teacher:
        return Teacher("sites", "1", "springs to sites", "none", Sites(positions.copy(), stiffness))

    return make


@pytest.fixture(scope="session")
def springs() -> Callable[..., Teacher]:
    """Makes a teacher of springs."""

    def make(bonds: list[tuple[int, int]], stiffness: float, length: float) -> Teacher:
        return Teacher("springs", "1", "springs", "none", Springs(bonds, stiffness, length))

    return make


@pytest.fixture(scope="session")
def xtb() -> Teacher:
    pytest.importorskip("tblite")
    return load_teacher("gfn2-xtb")


@pytest.fixture(scope="session")
def relaxed(xtb: Teacher) -> Callable[[str], Atoms]:
    """Makes the molecule of a SMILES at its GFN2-xTB minimum."""
    pytest.importorskip("rdkit")

    def make(smiles: str) -> Atoms:
        start = embed(smiles, np.random.default_rng(0), ConformerConfig())[0]
        return relaxation_path(start, xtb, RelaxConfig(max_steps=60, max_force=0.01))[-1]

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
