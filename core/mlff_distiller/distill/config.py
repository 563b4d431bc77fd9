"""Settings of a distillation, as they stand in a YAML file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from mlff_distiller.configuration import STRICT
from mlff_distiller.data.sampling.config import SamplingConfig
from mlff_distiller.errors import ConfigError
from mlff_distiller.training.config import TrainingConfig

Preset = Literal["original", "tiny", "ultra-tiny"]
DEFAULT_CUTOFF = 5.0  # Å
SOURCES = ("molecules", "parts", "structures", "datasets")


@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """Where frames come from: exactly one of the four sources.

    Attributes:
        molecules: ``builtin`` (the list of this package), a file with one SMILES a line, or a list of SMILES.
        n_molecules: Take so many of them, drawn with the run's seed; None takes all.
        parts: Files for ``train``, ``valid`` and ``test``, when the split shall be yours: labelled ones (.h5, .xyz,
            .extxyz; several as a list or a pattern like ``labels/*.h5``), or lists with one SMILES a line, which are sampled.
        structures: Files that ASE reads; each frame is a start geometry.
        datasets: Labelled files (.h5, .xyz, .extxyz) or patterns; nothing is sampled.
        hessian_pairs: Labelled pairs of displaced frames of training molecules (`mlffd pairs`), for the curvature term.
        fractions: Shares of the molecules for training, validation and test; a run needs all three.
        n_jobs: Worker processes for sampling.
    """

    molecules: str | list[str] | None = None
    n_molecules: Annotated[int, Field(ge=3)] | None = None
    parts: dict[Literal["train", "valid", "test"], str | list[str]] | None = None
    structures: list[str] = Field(default_factory=list)
    datasets: list[str] = Field(default_factory=list)
    hessian_pairs: str | None = None
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    n_jobs: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        given = [name for name in SOURCES if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of {', '.join(SOURCES)}, got {', '.join(given) or 'none'}"
            )
        if self.n_molecules is not None and self.molecules is None:
            raise ValueError("n_molecules: is drawn from 'molecules' only; leave it out")
        if self.parts is not None and len(self.parts) != 3:
            raise ValueError("expected a file for each of train, valid and test")
        return self

    @field_validator("fractions")
    @classmethod
    def _add_up(cls, fractions: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(fractions) <= 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-9):
            raise ValueError(
                "expected three fractions, all above zero, that add up to 1, as in 0.8, 0.1, 0.1"
            )
        return fractions

    def files_of(self, part: Literal["train", "valid", "test"]) -> list[str]:
        """The files given for one of the parts, patterns replaced by what matches them.

        Raises:
            ConfigError: Nothing matches a pattern.
        """
        files = (self.parts or {}).get(part, [])
        return matching_files([files] if isinstance(files, str) else files)


def matching_files(names: Sequence[str]) -> list[str]:
    """File names, each once, and each pattern (``labels/*.h5``) replaced by the files that match it, sorted.

    Raises:
        ConfigError: Nothing matches a pattern.
    """
    files: list[str] = []
    for name in names:
        matches = (
            sorted(glob(name, recursive=True)) if has_magic(name) and not Path(name).exists() else [name]
        )
        if not matches:
            raise ConfigError(f"no file matches {name!r}; check the folder, or make the labels first")
        files += matches
    return list(dict.fromkeys(files))


@dataclass(frozen=True, config=STRICT)
class DistillConfig:
    """One run: one body of labels, one or more students, which know the elements of the training data.

    Attributes:
        name: Of the artifacts; with several students the preset is appended.
        data: The frames.
        teacher: Name of the teacher, as `mlff_distiller.data.teachers.load_teacher` takes it.
        teacher_options: Its options.
        sampling: How molecules and structures are sampled.
        students: Presets, trained in this order.
        cutoff: Å.
        init: A shipped name, artifact or checkpoint to start from (fine-tuning); its size must be that of the preset.
        guide: A larger student whose labels are mixed into the teacher's: a name or path, or ``previous`` for the student
            that was trained just before (progressive distillation).
        guide_weight: Share of the guide in the labels.
        committee: Number of students of each preset, trained with seeds that count up and written as one artifact, which
            also gives the spread of their forces. TorchScript only.
        training: The training run.
        formats: What is exported.
        seed: Of the sampling, the split and the first weights; the order of the batches has ``training.seed``.
    """

    name: str
    data: DataConfig
    teacher: str = "gfn2-xtb"
    teacher_options: dict[str, Any] = Field(default_factory=dict)
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    students: list[Preset] = Field(default_factory=lambda: ["tiny"], min_length=1)
    cutoff: float = Field(default=DEFAULT_CUTOFF, gt=0)
    init: str | None = None
    guide: str | None = None
    guide_weight: float = Field(default=0.5, gt=0, le=1)
    committee: int = Field(default=1, ge=1, le=64)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    formats: list[Literal["torchscript", "onnx"]] = Field(
        default_factory=lambda: ["torchscript", "onnx"], min_length=1
    )
    seed: int = Field(default=0, ge=0)

    @field_validator("name")
    @classmethod
    def _name_of_files(cls, name: str) -> str:
        if not name or name.startswith(".") or any(mark in name for mark in "/\\\0"):
            raise ValueError(
                f"expected a name for files, as tiny-2: not empty, no slash, no dot at its beginning; got {name!r}"
            )
        return name

    @model_validator(mode="after")
    def _possible(self) -> DistillConfig:
        if len(set(self.students)) < len(self.students):
            raise ValueError("students: expected each preset once; for several of one preset set committee")
        if self.guide == "previous" and "torchscript" not in self.formats:
            raise ValueError(
                "guide: 'previous' reads the student's TorchScript file, so formats must name torchscript"
            )
        if self.guide == "previous" and len(self.students) == 1:
            raise ValueError(
                "guide: 'previous' needs several students; name one, or list another before this one"
            )
        if (self.data.hessian_pairs is None) != (self.training.loss.hessian_weight == 0):
            raise ValueError("data.hessian_pairs and training.loss.hessian_weight: each needs the other")
        if self.committee > 1 and "torchscript" not in self.formats:
            raise ValueError("committee: is written as TorchScript only, so formats must name torchscript")
        if self.init is not None and self.cutoff != DEFAULT_CUTOFF:
            raise ValueError("init: the student to start from has its own cutoff; leave that setting out")
        return self

    def student_name(self, preset: str) -> str:
        """Name of the artifact of one of the students."""
        return self.name if len(self.students) == 1 else f"{self.name}-{preset}"
