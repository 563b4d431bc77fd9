"""The Orb teachers: networks of Orbital Materials, by the package orb-models.

Rhodes et al., arXiv:2504.06231 (Orb-v3); Neumann et al., arXiv:2410.22570 (Orb-v2). Conservative models give
the gradient of the energy as forces; direct models predict forces that are not the gradient of any energy.
The models with "20" in their name see only the 20 nearest neighbours of each atom, so their energy jumps
where neighbours change places.

Tested with networks of these architectures that were built locally with random weights (orb-models 0.5.5),
not with the published weights.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlff_distiller.data.teachers.base import Teacher, unknown_teacher
from mlff_distiller.data.teachers.network import (
    NetworkCalculator,
    Precision,
    dtype_of,
    fingerprint,
    loading,
    torch_settings,
    weights_file,
)
from mlff_distiller.device import default_device
from mlff_distiller.errors import require

_PRECISIONS = {"float32": "float32-highest", "float64": "float64"}


def orb_names() -> list[str]:
    """The names of the potentials that the installed orb-models knows.

    Raises:
        MissingDependencyError: orb-models is not installed.
    """
    pretrained = require("orb_models.forcefield.pretrained", extra="orb")
    # "separate-..." are dispersion corrections; the names of version 1 are there only to say that it is gone
    return [n for n in pretrained.ORB_PRETRAINED_MODELS if n.startswith("orb-") and "-v1" not in n]


def orb_teacher(
    name: str,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    precision: Precision = "float64",
) -> Teacher:
    """A published Orb network.

    Args:
        name: A name of `orb_names()`, such as "orb-v3-conservative-inf-omat".
        weights: A local file of that network's weights; None lets orb-models fetch and cache them.
        device: A torch device; None takes CUDA where there is one.
        precision: "float64", or "float32" (faster; total energies then carry the rounding of float32).

    Raises:
        TeacherError: The name is not one that orb-models knows, or the weights cannot be loaded.
        MissingDependencyError: orb-models is not installed.
    """
    dtype = dtype_of(precision)
    known = orb_names()
    if name not in known:
        raise unknown_teacher(name, known)
    pretrained = require("orb_models.forcefield.pretrained", extra="orb")
    options: dict[str, Any] = {}
    identity = name
    if weights is not None:
        path = weights_file(name, weights)
        options["weights_path"] = str(path)
        identity = f"{name} ({fingerprint(path)})"
    with loading(name), torch_settings(dtype), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting global torch default dtype")  # torch_settings restores it
        warnings.filterwarnings("ignore", "Consider passing 'precision")
        network = pretrained.ORB_PRETRAINED_MODELS[name](
            device=device or default_device(), precision=_PRECISIONS[precision], compile=False, **options
        )
    return orb_network_teacher(name, network, identity=identity, device=device, precision=precision)


def orb_network_teacher(
    name: str,
    network: Any,
    *,
    identity: str = "own network",
    device: str | None = None,
    precision: Precision = "float64",
) -> Teacher:
    """The teacher around an Orb network that is already in memory, say a fine-tuned one.

    Args:
        name: The teacher's name.
        network: A `ConservativeForcefieldRegressor` or `DirectForcefieldRegressor` of orb-models.
        identity: Which weights these are, for the dataset's metadata.
        device: A torch device; None takes CUDA where there is one.
        precision: The precision to compute in; the network is converted.
    """
    calculators = require("orb_models.forcefield.calculator", extra="orb")
    dtype = dtype_of(precision)
    calculator = calculators.ORBCalculator(network.to(dtype), device=device or default_device())
    forces = (
        "conservative forces" if calculator.conservative else "direct forces, not the gradient of the energy"
    )
    return Teacher(
        name=name,
        version=f"{identity}, orb-models {version('orb-models')}",
        method=f"Orb graph network, {forces}",
        licence="Apache-2.0 (orb-models and the published weights)",
        calculator=NetworkCalculator(calculator, dtype),
        settings={"precision": precision},
    )
