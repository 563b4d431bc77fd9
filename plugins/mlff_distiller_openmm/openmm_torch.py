"""openmm-torch: found, loaded in the order that it needs, and seen to work before anything relies on it."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import torch

from mlff_distiller.errors import MissingDependencyError, require
from mlff_distiller.export.torchscript import compile_script

TORCH_OF = {"1.5": "2.9"}  # release of openmm-torch on PyPI → the torch that it was compiled against
ADVICE = (
    'install it from a clone of mlff-distiller, in an environment of its own, with: pip install -e ".[openmm,openmm-torch]"; '
    'or use backend="pythonforce" (the engine openmm), which needs neither'
)


def has_openmm_torch() -> bool:
    """Whether `load_openmm_torch` succeeds here."""
    try:
        load_openmm_torch()
    except MissingDependencyError:
        return False
    return True


@cache
def load_openmm_torch() -> ModuleType:
    """The module ``openmmtorch``, with its kernels registered in OpenMM.

    Raises:
        MissingDependencyError: It is not installed, or does not work with this torch; says what to install.
    """
    openmm = require("openmm", "openmm")
    _require_matching_torch()
    _load_nvrtc()
    try:
        openmmtorch = importlib.import_module("openmmtorch")
    except ImportError as error:
        raise MissingDependencyError(f"openmm-torch cannot be loaded here ({error}); {ADVICE}") from error
    _load_kernels(openmm)
    _try_out(openmm, openmmtorch)
    return openmmtorch


def _require_matching_torch() -> None:
    try:
        found = version("openmmtorch")
    except PackageNotFoundError:
        raise MissingDependencyError(
            f"a TorchForce needs openmm-torch, which is not installed; {ADVICE}"
        ) from None
    expected = TORCH_OF.get(found)
    if expected is not None and not torch.__version__.startswith(f"{expected}."):
        raise MissingDependencyError(
            f"openmm-torch {found} was compiled for torch {expected}, but torch {torch.__version__} is installed; {ADVICE}"
        )


def _load_nvrtc() -> None:
    """Bring libnvrtc into the process: openmm-torch needs it also without a GPU, but does not look where pip puts it."""
    try:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        return
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        for library in Path(folder).glob("lib/libnvrtc.so.*"):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def _load_kernels(openmm: ModuleType) -> None:
    """Load what failed at ``import openmm``, which tries before libtorch and libnvrtc are in the process."""
    failures = "\n".join(openmm.Platform.getPluginLoadFailures())
    for library in Path(openmm.version.openmm_library_path, "plugins").glob("*OpenMMTorch*"):
        if str(library) in failures:
            try:
                openmm.Platform.loadPluginLibrary(str(library))
            except openmm.OpenMMException:
                continue  # the kernels of a platform that is not here, such as OpenCL


class _Spring(torch.nn.Module):
    def forward(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (positions * positions).sum(), -2.0 * positions


def _try_out(openmm: ModuleType, openmmtorch: ModuleType) -> None:
    """One particle on a spring: libraries that do not fit each other often load all the same."""
    system = openmm.System()
    system.addParticle(1.0)
    try:
        force = openmmtorch.TorchForce(compile_script(_Spring()))
        force.setOutputsForces(True)
        system.addForce(force)
        platform = openmm.Platform.getPlatformByName("Reference")
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
        context.setPositions([(1.0, 0.0, 0.0)])
        context.getState(energy=True, forces=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingDependencyError(
            f"openmm-torch does not work with torch {torch.__version__} ({reason}); {ADVICE}"
        ) from error
