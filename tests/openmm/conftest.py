"""Both forces on the platforms that every machine has. What is not installed is skipped, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms
from ase.build import molecule

from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller_openmm.engine import PythonForceEngine, TorchForceEngine

ENGINES = {"pythonforce": PythonForceEngine(), "torchforce": TorchForceEngine()}


@pytest.fixture
def exact(artifact: Path) -> TorchScriptPotential:
    """The core's answer in float64."""
    return TorchScriptPotential(artifact, dtype="float64")


@pytest.fixture(params=ENGINES)
def backend(request: pytest.FixtureRequest) -> str:
    """Each force in turn."""
    reason = ENGINES[request.param].missing()
    if reason is not None:
        pytest.skip(reason)
    return request.param


@pytest.fixture
def torchforce_only() -> None:
    """For tests of openmm-torch alone."""
    reason = ENGINES["torchforce"].missing()
    if reason is not None:
        pytest.skip(reason)


def water_box(n_side: int = 2, spacing: float = 3.1) -> Atoms:
    """A triclinic periodic box of waters, each turned differently."""
    box = Atoms()
    for k in range(n_side**3):
        water = molecule("H2O")
        water.rotate(47.0 * k, (1.0, 0.3 * k, 2.0))
        water.translate([spacing * (k // n_side**d % n_side) for d in range(3)])
        box += water
    edge = spacing * n_side
    box.set_cell([[edge, 0.0, 0.0], [0.2 * edge, edge, 0.0], [-0.1 * edge, 0.3 * edge, edge]])
    box.pbc = True
    return box
