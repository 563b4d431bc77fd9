"""The formats that a student can be run in, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mlff_distiller.device import checked_device
from mlff_distiller.errors import ConfigError
from mlff_distiller.export.artifact import read_metadata
from mlff_distiller.export.onnx import OnnxPotential
from mlff_distiller.export.quantize import quantize_onnx
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.potential import Potential, Prediction
from mlff_distiller.native import NativePotential
from mlff_distiller.registry import CHECKPOINT_SUFFIX, artifact_path, load_student

EXPORTED = "exported"  # the ONNX file as `mlffd export` writes it
Files = Mapping[tuple[str, str], Path]  # student and format → the file to load


@dataclass(frozen=True)
class Format:
    """One way to run a student.

    Attributes:
        load: From a file, a torch device and a number of CPU threads; the threads of torch itself are set elsewhere.
        gpu: Whether it runs on other devices than the CPU.
        committee: Whether it can hold several students.
        scheme: Of the ONNX file (a key of `mlff_distiller.export.quantize.SCHEMES`, or `EXPORTED`); None for other files.
    """

    load: Callable[[Path, str, int], Potential]
    gpu: bool = False
    committee: bool = False
    scheme: str | None = None


class EagerPotential:
    """The live student on a device, to which it moves its inputs as a `TorchScriptPotential` does.

    Raises:
        ConfigError: A device that is not there.
    """

    def __init__(self, path: Path, device: str) -> None:
        self.device = checked_device(device)
        self.student = load_student(path).to(self.device).eval().requires_grad_(False)

    @property
    def cutoff(self) -> float:
        """Å."""
        return self.student.cutoff

    def compute(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        """See `StudentForceField.compute`."""
        graph = (atomic_numbers, edge_index, edge_vec, batch, cell)
        return self.student.compute(*(x.to(self.device) for x in graph))


def _eager(path: Path, device: str, threads: int) -> EagerPotential:
    return EagerPotential(path, device)


def _torchscript(path: Path, device: str, threads: int) -> TorchScriptPotential:
    return TorchScriptPotential(path, device)


def _native(path: Path, device: str, threads: int) -> NativePotential:
    return NativePotential(path, threads)


def _onnx(path: Path, device: str, threads: int) -> OnnxPotential:
    return OnnxPotential(path, threads)


FORMATS: Mapping[str, Format] = {
    "eager": Format(_eager, gpu=True),
    "torchscript": Format(_torchscript, gpu=True, committee=True),
    "native": Format(_native, committee=True),
    "onnx": Format(_onnx, scheme=EXPORTED),
    "onnx-float16": Format(_onnx, scheme="float16"),
    "onnx-bfloat16": Format(_onnx, scheme="bfloat16"),
    "onnx-int8": Format(_onnx, scheme="int8"),
    "onnx-int8-dynamic": Format(_onnx, scheme="int8-dynamic"),
}
DEFAULT_FORMATS = ("eager", "torchscript", "native", "onnx", "onnx-int8")


def usable_formats(names: Sequence[str] | None, device: str, students: Sequence[str]) -> list[str]:
    """The formats to measure students in on a device; by default those of `DEFAULT_FORMATS` that all can be run in.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: An unknown format, or one that does not run on the device.
    """
    on_cpu = device == "cpu"
    if names is None:
        paths = [path for path in map(artifact_path, students) if path.suffix != CHECKPOINT_SUFFIX]
        has_committee = any(read_metadata(path).n_members > 1 for path in paths)
        return [
            name
            for name in DEFAULT_FORMATS
            if (on_cpu or FORMATS[name].gpu) and (FORMATS[name].committee or not has_committee)
        ]
    for name in names:
        if name not in FORMATS:
            raise ConfigError(f"unknown format {name!r}; choose from {', '.join(FORMATS)}")
        if not on_cpu and not FORMATS[name].gpu:
            able = ", ".join(key for key, value in FORMATS.items() if value.gpu)
            raise ConfigError(f"the format {name!r} runs on the CPU only; on {device} choose from {able}")
    return list(names)


def prepare_files(
    students: Sequence[str], formats: Sequence[str], folder: Path, done: Callable[[], None]
) -> dict[tuple[str, str], Path]:
    """The file of every student in every format; ONNX files are exported into ``folder``.

    Args:
        students: Names or paths of artifacts (.pt).
        formats: Keys of `FORMATS`.
        folder: For the ONNX files.
        done: Called after each student.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: A checkpoint where an artifact is needed.
    """
    files = {}
    for number, student in enumerate(students):
        path = artifact_path(student)
        if path.suffix == CHECKPOINT_SUFFIX:
            raise ConfigError(f"expected an artifact (.pt), got the checkpoint {path}; export it first")
        schemes = [FORMATS[name].scheme for name in formats]
        own_folder = folder / str(number)  # files of two students may have the same name
        own_folder.mkdir()
        exported = export_schemes(path, [scheme for scheme in schemes if scheme is not None], own_folder)
        for name, scheme in zip(formats, schemes, strict=True):
            files[student, name] = path if scheme is None else exported[scheme]
        done()
    return files


def export_schemes(path: Path, schemes: Iterable[str], folder: Path) -> dict[str, Path]:
    """ONNX files of an artifact: ``exported`` as `mlffd export` writes it, and quantised ones made from it."""
    schemes = list(schemes)
    if not schemes:
        return {}
    source = folder / f"{path.stem}.onnx"
    write_artifact(load_student(path), path.stem, read_metadata(path).provenance, source)
    files = {EXPORTED: source}
    for scheme in schemes:
        if scheme != EXPORTED:
            files[scheme] = quantize_onnx(source, folder / f"{path.stem}-{scheme}.onnx", scheme)
    return files
