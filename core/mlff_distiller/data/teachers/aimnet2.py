"""The AIMNet2 teachers, by the package aimnet: Anstine, Zubatyuk, Isayev, Chem. Sci. 16, 10228 (2025).

Tested with a network of this architecture that was built locally with random weights (aimnet 0.2.5, on the
CPU), not with the published weights. Periodic structures are refused: with that version they end the process
by a segmentation fault in its periodic neighbour list on the CPU, and were not tested on a GPU.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from ase import Atoms

from mlff_distiller.data.teachers.base import Teacher, unknown_teacher
from mlff_distiller.data.teachers.network import (
    NetworkCalculator,
    fingerprint,
    loading,
    weights_file,
)
from mlff_distiller.device import default_device
from mlff_distiller.errors import require

NAMES = (
    "aimnet2",
    "aimnet2-wb97m",
    "aimnet2-b973c",
    "aimnet2-2025",
    "aimnet2-nse",
    "aimnet2-pd",
    "aimnet2-rxn",
)


def aimnet2_teacher(name: str, *, weights: str | Path | None = None, device: str | None = None) -> Teacher:
    """A published AIMNet2 network; it computes in float32.

    Args:
        name: One of `NAMES`; "aimnet2" is the wB97M-D3 one.
        weights: A local file of that network's weights; None lets aimnet fetch and cache them.
        device: A torch device; None takes CUDA where there is one.

    Raises:
        TeacherError: The name is unknown, or the weights cannot be loaded.
        MissingDependencyError: aimnet is not installed.
    """
    if name not in NAMES:
        raise unknown_teacher(name, NAMES)
    calculators = require("aimnet.calculators", extra="aimnet2")
    source, identity = name, name
    if weights is not None:
        path = weights_file(name, weights)
        source, identity = str(path.resolve()), f"{name} ({fingerprint(path)})"
    with loading(name):
        network = calculators.AIMNet2Calculator(source, device=device or default_device())
    return aimnet2_network_teacher(name, network, identity=identity)


def aimnet2_network_teacher(name: str, network: Any, *, identity: str = "own network") -> Teacher:
    """The teacher around an `aimnet.calculators.AIMNet2Calculator` that is already in memory.

    Args:
        name: The teacher's name.
        network: The calculator with its network.
        identity: Which weights these are, for the dataset's metadata.
    """
    calculators = require("aimnet.calculators", extra="aimnet2")
    return Teacher(
        name=name,
        version=f"{identity}, aimnet {version('aimnet')}",
        method="AIMNet2 atoms-in-molecules network with long-range electrostatics and dispersion",
        licence="MIT (aimnet and the published weights)",
        calculator=NetworkCalculator(calculators.AIMNet2ASE(network), torch.float32),
        settings={"precision": "float32"},
        refusal=_periodic,
    )


def _periodic(atoms: Atoms) -> str | None:
    if atoms.pbc.any():
        return (
            "this teacher is for molecules; for periodic structures make aimnet's calculator in a function "
            "of your own and name it by ase:package.module:function"
        )
    return None
