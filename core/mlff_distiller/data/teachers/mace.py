"""The MACE teachers, by the package mace-torch: `mace-<family>-<model>`, or `mace:<path of a .model file>`.

Batatia et al., NeurIPS 2022, arXiv:2206.07697; MACE-MP arXiv:2401.00096; MACE-OFF arXiv:2312.15211.

A .model file is a pickled network: loading one runs the code in it. Load only files that you trust.

Tested with a small network of this architecture that was built locally with random weights (mace-torch
0.3.16), not with the published weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    refuse_elements_outside,
    torch_settings,
    weights_file,
)
from mlff_distiller.device import default_device
from mlff_distiller.errors import require

_ASL = "Academic Software License, no commercial use (weights), MIT (mace-torch)"
_MIT = "MIT (mace-torch and weights)"
_UNKNOWN = "MIT (mace-torch); the weights are the user's own"

# Teacher name: the function of mace.calculators, its model argument, the licence.
_MODELS = {
    **{
        f"mace-mp-{model}": ("mace_mp", model, _MIT)
        for model in (
            "small", "medium", "large", "small-0b", "medium-0b",
            "small-0b2", "medium-0b2", "large-0b2", "medium-0b3",
        )
    },
    "mace-mpa-0-medium": ("mace_mp", "medium-mpa-0", _MIT),
    "mace-omat-0-small": ("mace_mp", "small-omat-0", _ASL),
    "mace-omat-0-medium": ("mace_mp", "medium-omat-0", _ASL),
    "mace-matpes-pbe-0": ("mace_mp", "mace-matpes-pbe-0", _ASL),
    "mace-matpes-r2scan-0": ("mace_mp", "mace-matpes-r2scan-0", _ASL),
    "mace-mh-0": ("mace_mp", "mh-0", _ASL),
    "mace-mh-1": ("mace_mp", "mh-1", _ASL),
    **{f"mace-off-{model}": ("mace_off", model, _ASL) for model in ("small", "medium", "large")},
    "mace-omol-extra-large": ("mace_omol", "extra_large", _ASL),
}  # fmt: skip

NAMES = tuple(_MODELS)


def mace_teacher(
    name: str,
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    precision: Precision = "float64",
    head: str | None = None,
) -> Teacher:
    """A published MACE network.

    Args:
        name: One of `NAMES`, such as "mace-off-small".
        weights: A local .model file of that network; None lets mace-torch fetch and cache it.
        device: A torch device; None takes CUDA where there is one.
        precision: "float64", or "float32" (faster; total energies then carry the rounding of float32).
        head: Which head of a network with several; None takes the only or default one.

    Raises:
        TeacherError: The name is unknown, or the weights cannot be loaded.
        MissingDependencyError: mace-torch is not installed.
    """
    if name not in _MODELS:
        raise unknown_teacher(name, NAMES)
    function, model, licence = _MODELS[name]
    source, identity = model, name
    if weights is not None:
        path = weights_file(name, weights)
        source, identity = str(path), f"{name} ({fingerprint(path)})"
    dtype = dtype_of(precision)
    options = {} if head is None else {"head": head}
    with _unpickling(), loading(name), torch_settings(dtype):
        calculators = require("mace.calculators", extra="mace")
        calculator = getattr(calculators, function)(
            model=source, device=device or default_device(), default_dtype=precision, **options
        )
    return _teacher(name, identity, licence, calculator, precision)


def mace_file_teacher(
    name: str,
    *,
    device: str | None = None,
    precision: Precision = "float64",
    head: str | None = None,
) -> Teacher:
    """A MACE network of your own, by the path of its .model file; options as for `mace_teacher`.

    Args:
        name: "mace:" and the path.
        device: See `mace_teacher`.
        precision: See `mace_teacher`.
        head: See `mace_teacher`.

    Raises:
        TeacherError: There is no such file, or it cannot be loaded.
        MissingDependencyError: mace-torch is not installed.
    """
    path = weights_file(name, name.removeprefix("mace:"))
    dtype = dtype_of(precision)
    options = {} if head is None else {"head": head}
    with _unpickling(), loading(name), torch_settings(dtype):
        calculators = require("mace.calculators", extra="mace")
        calculator = calculators.MACECalculator(
            model_paths=str(path), device=device or default_device(), default_dtype=precision, **options
        )
    return _teacher(name, fingerprint(path), _UNKNOWN, calculator, precision)


def _teacher(name: str, identity: str, licence: str, calculator: Any, precision: Precision) -> Teacher:
    """The teacher around a `mace.calculators.MACECalculator`."""
    return Teacher(
        name=name,
        version=f"{identity}, mace-torch {version('mace-torch')}",
        method="MACE equivariant message passing network",
        licence=licence,
        calculator=NetworkCalculator(calculator, dtype_of(precision)),
        settings={"precision": precision, "head": calculator.head},
        refusal=refuse_elements_outside(calculator.z_table.zs),
    )


@contextmanager
def _unpickling() -> Iterator[None]:
    """Allow torch.load to unpickle a whole module, as mace-torch needs, within a block only.

    Importing mace.calculators leaves this environment variable set, which would weaken every later
    torch.load.
    """
    variable = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before
