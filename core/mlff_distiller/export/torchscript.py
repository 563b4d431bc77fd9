"""TorchScript: the interchange format, and the only file that knows it.

The artifact is the scripted student itself: ``torch.jit.load(path)`` on a machine without this package gives a module
with ``predict(atomic_numbers, positions, batch, cell, pbc)``, which searches its own neighbours, and
``compute(atomic_numbers, edge_index, edge_vec, batch, cell)``. N atoms, E edges, B structures.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.checks import check_results
from mlff_distiller.device import checked_device, torch_threads
from mlff_distiller.errors import ArtifactError, ConfigError, StructureError
from mlff_distiller.export.artifact import METADATA_ENTRY, WEIGHTS_ENTRY, Metadata, read_metadata
from mlff_distiller.graph import checked_graph
from mlff_distiller.model.committee import (
    CommitteeForceField,
    LiveModel,
    force_spread,
    mean_prediction,
    members_of,
)
from mlff_distiller.model.potential import Prediction, StudentForceField
from mlff_distiller.training.checkpoint import load_weights

MIN_EDGES_TO_SHARE = 10_000  # edges of a graph that is worth more than one CPU thread
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class TorchScriptPotential:
    """A loaded artifact, ready for an engine.

    Args:
        path: File written by `save_torchscript`.
        device: Any torch device; the weights are moved there whatever the exporting machine had.
        dtype: Of the network, ``float32`` or ``float64``; sums are float64 in both.

    Raises:
        ArtifactError: The file is missing, damaged, or of an unknown format.
        ConfigError: Unknown dtype, or a device that is not there.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu", dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"expected dtype float32 or float64, got {dtype!r}")
        path = Path(path)
        self.path, self.dtype = path.resolve(), dtype  # copies must find it also from another folder
        self.metadata: Metadata = read_metadata(path)
        self.device = checked_device(device)
        self.module = _load_module(path, self.device)
        tables = [module for module in self.module.modules() if hasattr(module, "e0")]
        exact = [table.e0 for table in tables]
        self.module.to(DTYPES[dtype])
        for table, e0 in zip(tables, exact, strict=True):
            table.e0 = e0  # float64 in either dtype; the scripted module knows no `_apply`

    def __deepcopy__(self, memo: dict[int, object]) -> TorchScriptPotential:
        """Itself: it never changes, so copies of a calculator share it."""
        return self

    def __reduce__(self) -> tuple[type, tuple[Path, str, str]]:
        """Pickled as the file that it came from, for worker processes on the same machine."""
        return TorchScriptPotential, (self.path, str(self.device), self.dtype)

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.metadata.cutoff

    def compute(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        """See `StudentForceField.compute`; inputs may be on any device, results are on the potential's.

        Raises:
            StructureError: An unknown element, atoms on top of each other, or results that are not finite.
        """
        return Prediction(*self._run("compute", atomic_numbers, edge_index, edge_vec, batch, cell))

    def compute_with_spread(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> tuple[Prediction, Tensor]:
        """Of a committee: the mean, and the spread of the forces (N,) eV/Å; arguments and errors as for `compute`."""
        energy, forces, virial, atomic_energies = self._run(
            "compute_members", atomic_numbers, edge_index, edge_vec, batch, cell
        )
        mean = mean_prediction(energy, forces, virial, atomic_energies, cell.to(self.device))
        return mean, force_spread(forces)

    def _run(self, method: str, *graph: Tensor) -> Any:
        with torch.inference_mode(False):  # in which a caller may be, and where there are no derivatives
            inputs = [(x.clone() if x.is_inference() else x).to(self.device) for x in graph]
            return self._checked_run(method, inputs)

    def _checked_run(self, method: str, inputs: Sequence[Tensor]) -> Any:
        try:
            with _threads_for(inputs[2].shape[0]):
                results = getattr(self.module, method)(*inputs)
        except torch.jit.Error as error:
            raise _as_structure_error(error) from None
        energy, forces, *_ = results
        check_results(energy, forces)
        return results

    def predict(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor | None = None,
        cell: Tensor | None = None,
        pbc: Tensor | None = None,
    ) -> Prediction:
        """Find the neighbours and compute; see `StudentForceField.predict`."""
        return self.compute(*checked_graph(atomic_numbers, positions, batch, cell, pbc, self.cutoff))


def save_torchscript(path: Path, model: LiveModel, metadata: Metadata) -> None:
    """Script the student or committee on the CPU and write it with its metadata, all or nothing.

    The weights are in the file a second time, as safetensors, for the native engine: it reads no TorchScript.
    """
    scripted = script(model)
    weights = safetensors.torch.save({name: x.contiguous() for name, x in scripted.state_dict().items()})
    extra_files = {METADATA_ENTRY: metadata.to_json(), WEIGHTS_ENTRY: weights}
    replace_file(path, [scripted.save_to_buffer(_extra_files=extra_files)])


def script(model: LiveModel) -> torch.jit.ScriptModule:
    """The model as a TorchScript module on the CPU in evaluation mode, its parameters frozen."""
    copies = [_copy(member) for member in members_of(model)]
    copy = CommitteeForceField(copies) if isinstance(model, CommitteeForceField) else copies[0]
    return compile_script(copy.requires_grad_(False))


def compile_script(module: nn.Module) -> torch.jit.ScriptModule:
    """A module in evaluation mode as TorchScript, without the warning that this is deprecated."""
    with _deprecation_accepted():
        return torch.jit.script(module.eval())


def _copy(student: StudentForceField) -> StudentForceField:
    copy = StudentForceField(**student.architecture()).to(student.energy_scale.dtype)
    load_weights(copy, {key: value.cpu() for key, value in student.state_dict().items()})
    return copy


def model_from_artifact(path: Path) -> LiveModel:
    """The eager student or committee inside an artifact.

    Raises:
        ArtifactError: See `TorchScriptPotential`.
    """
    metadata = read_metadata(path)
    weights = _load_module(path, torch.device("cpu")).state_dict()
    members = [StudentForceField(**metadata.architecture) for _ in range(metadata.n_members)]
    if len(members) == 1:
        load_weights(members[0], weights, source=str(path))
        return members[0]
    for k, member in enumerate(members):
        prefix = f"members.{k}."
        own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        load_weights(member, own, source=f"member {k} of {path}")
    return CommitteeForceField(members)


def student_from_artifact(path: Path) -> StudentForceField:
    """The eager student inside an artifact, for fine-tuning.

    Raises:
        ArtifactError: See `TorchScriptPotential`; or the artifact holds a committee.
    """
    model = model_from_artifact(path)
    if isinstance(model, CommitteeForceField):
        raise ArtifactError(
            f"{path} holds a committee of {len(model.members)} students, and one is needed here; give the file of a member"
        )
    return model


def _load_module(path: Path, device: torch.device) -> torch.jit.ScriptModule:
    try:
        with _deprecation_accepted():
            return torch.jit.load(str(path), map_location=device)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ArtifactError(f"{path} cannot be loaded by torch {torch.__version__}: {reason}") from None


def _as_structure_error(error: torch.jit.Error) -> Exception:
    """The sentence that the scripted checks raised, without TorchScript's traceback."""
    _, found, sentence = str(error).rpartition("StructureError: ")
    return StructureError(sentence.strip()) if found else error


def _threads_for(n_edges: int) -> AbstractContextManager[None]:
    """One thread for a small graph: its tensors are too small to share, and waiting for threads on a busy machine is slow."""
    return torch_threads(1 if n_edges < MIN_EDGES_TO_SHARE else None)


@contextmanager
def _deprecation_accepted() -> Iterator[None]:
    """torch calls TorchScript deprecated, but it is what C++ engines can load without Python."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # the latter since torch 2.14
            warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated", category=category)
        yield
