"""The artifact: what an exported student says of itself, in one JSON document inside the file.

The document is ``extra/metadata.json`` of the TorchScript archive (a zip file), and the metadata property
``mlff_distiller`` of an ONNX model. It can be read without torch. Nothing in it is ever executed or unpickled.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from pydantic import Field
from pydantic.dataclasses import dataclass

from mlff_distiller.configuration import STRICT, parse_config, to_plain
from mlff_distiller.errors import ArtifactError, ConfigError
from mlff_distiller.model.committee import LiveModel, members_of
from mlff_distiller.units import UNITS

FORMAT_VERSION = 2  # 2: weights as safetensors, stages for domains, shorter repulsion
METADATA_ENTRY = "metadata.json"
WEIGHTS_ENTRY = "weights.safetensors"  # the student's state dict

# what Python's zipfile raises when it meets bytes that make no sense
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    KeyError,
)


UNNAMED_TEACHER = "as labelled"  # of labels whose file does not say


@dataclass(frozen=True, config=STRICT)
class Provenance:
    """Where a student comes from and how good it is; each part is empty where nothing is known.

    Attributes:
        teacher: name, version, method, licence.
        dataset: hash, sizes, sampling of the training data.
        training: configuration, wall time, best epoch.
        accuracy: held-out errors, as `mlff_distiller.evaluation.metrics.Accuracy.to_dict`.
    """

    teacher: dict[str, Any] = Field(default_factory=dict)
    dataset: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    accuracy: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Metadata:
    """All that an engine and its user need to know. Units as in `mlff_distiller.units`."""

    format_version: int
    name: str
    package_version: str
    elements: list[str]
    cutoff: float  # Å
    n_message_passes: int
    receptive_field: float  # Å, message passes × cutoff
    dtype: str
    units: dict[str, str]
    n_parameters: int
    reference_energies: dict[str, float]  # E0 in eV by element
    architecture: dict[str, Any]  # arguments of StudentForceField
    provenance: Provenance
    n_members: int = 1  # students in a committee; sizes above are those of each, n_parameters that of all

    def to_json(self) -> str:
        """The document."""
        return json.dumps(to_plain(self), indent=1, ensure_ascii=False)


def describe(model: LiveModel, name: str, provenance: Provenance) -> Metadata:
    """The metadata of a student or a committee."""
    members = members_of(model)
    student = members[0]
    reference = torch.stack([member.reference.e0 for member in members]).mean(0)
    symbols = [chemical_symbols[z] for z in student.elements]
    return Metadata(
        format_version=FORMAT_VERSION,
        name=name,
        package_version=version("mlff-distiller"),
        elements=symbols,
        cutoff=student.cutoff,
        n_message_passes=student.n_interactions,
        receptive_field=student.n_interactions * student.cutoff,
        dtype=str(student.energy_scale.dtype).removeprefix("torch."),
        units=dict(UNITS),
        n_parameters=sum(member.n_parameters() for member in members),
        reference_energies=dict(zip(symbols, reference.tolist(), strict=True)),
        architecture=student.architecture(),
        provenance=provenance,
        n_members=len(members),
    )


def parse_metadata(text: str | bytes, source: str) -> Metadata:
    """Read the document.

    Raises:
        ArtifactError: It is no JSON, of a format version that this package does not know, or incomplete.
    """
    try:
        values = json.loads(text)
        found = values["format_version"]
    except (ValueError, KeyError, TypeError):
        raise ArtifactError(f"{source} holds no metadata of this package; export the student again") from None
    if found != FORMAT_VERSION:
        raise ArtifactError(
            f"{source} is an artifact of format {found}; this version of mlff-distiller "
            f"({version('mlff-distiller')}) reads format {FORMAT_VERSION}. "
            "Install the version that wrote it, or export the student again with this one"
        )
    try:
        return parse_config(Metadata, values, source)
    except ConfigError as error:
        raise ArtifactError(f"the metadata of {error}") from None


def read_metadata(path: Path) -> Metadata:
    """The metadata of a TorchScript artifact, after checking that no byte of the file is damaged.

    Raises:
        ArtifactError: The file is missing, damaged, or no artifact of this package.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            entries = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA_ENTRY}")]
            text = archive.read(entries[0]) if entries and damaged is None else b""
    except FileNotFoundError:
        raise ArtifactError(f"there is no artifact {path}") from None
    except _DAMAGE as error:
        raise ArtifactError(
            f"{path} is not a TorchScript artifact, or it is damaged ({error}); copy or export it again"
        ) from None
    if damaged is not None:
        raise ArtifactError(
            f"{path} is damaged (its part {damaged} fails the checksum); copy or export it again"
        )
    if not entries:
        raise ArtifactError(
            f"{path} holds no metadata: it was not exported by mlff-distiller. Use `mlffd export`"
        )
    return parse_metadata(text, str(path))
