"""What ``mlffd audit`` and ``mlffd card`` do, callable from Python."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from mlff_distiller.atomic_file import new_folder, replace_file
from mlff_distiller.commands.progress import progress_bars
from mlff_distiller.data.student_teacher import student_teacher
from mlff_distiller.data.teachers import Teacher, load_teacher
from mlff_distiller.data.trajectory_frames import TrajectoryFrames, read_evenly
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.audit import FACTOR, Audit, audit_frames
from mlff_distiller.evaluation.audit_figure import draw_audit
from mlff_distiller.evaluation.audit_files import (
    AuditedRun,
    earlier_improvement,
    write_audit,
    write_improvement,
)
from mlff_distiller.evaluation.evidence import read_evidence
from mlff_distiller.evaluation.model_card import model_card
from mlff_distiller.evaluation.training_regime import matching_regime
from mlff_distiller.export.artifact import UNNAMED_TEACHER, Metadata, read_metadata
from mlff_distiller.export.identity import artifact_identity
from mlff_distiller.registry import artifact_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditSettings:
    """How to audit.

    Attributes:
        n_frames: Frames to label, evenly spaced.
        n_worst: Of those, frames to train on.
        factor: Times the held-out force RMSE beyond which a frame is flagged.
        regime: Held-out frames to measure by; None means those that match.
        rehearsal: Labelled files that the recipe trains on as well.
    """

    n_frames: int = 100
    n_worst: int = 50
    factor: float = FACTOR
    regime: str | None = None
    rehearsal: Sequence[Path] = ()


def audit_with_progress(
    trajectory: Path,
    model: str,
    teacher: str | None,
    settings: AuditSettings,
    output: Path,
    console: Console,
) -> tuple[Audit, AuditedRun, list[Path]]:
    """Audit a trajectory, and write numbers, picture, frames to train on and a recipe into a folder.

    Args:
        trajectory: A file that ASE reads.
        model: A shipped name or the path of an artifact: the student that made the trajectory.
        teacher: Name of the teacher; None means the student's own.
        settings: How to audit.
        output: Folder, made if it is not there.
        console: For the progress bars.

    Returns:
        What was found, what was audited, and the files.

    Raises:
        DatasetError: The trajectory cannot be read.
        DistillerError: See `audit_frames`; the teacher cannot be loaded; a file cannot be written.
    """
    path = artifact_path(model)
    metadata = read_metadata(path)
    matching_regime(
        metadata, 0.0, settings.regime
    )  # no held-out errors, no such regime: here, before any work
    with new_folder(output):
        earlier_improvement(output)  # and so for files of others
        teacher_name, options = _teacher_of(metadata, teacher)
        labeller = load_teacher(teacher_name, **options)
        _warn_of_other_settings(labeller, metadata)
        source, audit = _audit_trajectory(trajectory, path, labeller, metadata, settings, console)
    run = AuditedRun(
        model, artifact_identity(path), metadata, trajectory, source.n_read, source.stopped, labeller, options
    )
    files = write_audit(audit, run, output)
    formula = source.frames[0].get_chemical_formula()
    draw_audit(audit, f"{metadata.name} against {labeller.name}: {formula}", output / "audit.png")
    files.append(output / "audit.png")
    return (
        audit,
        run,
        files + write_improvement(audit, run, output, settings.n_worst, settings.rehearsal),
    )


def _audit_trajectory(
    trajectory: Path,
    student: Path,
    labeller: Teacher,
    metadata: Metadata,
    settings: AuditSettings,
    console: Console,
) -> tuple[TrajectoryFrames, Audit]:
    """The frames that are audited, and what was found."""
    calculator = student_teacher(str(student))
    with progress_bars(console, "frames") as progress:
        reading = progress.add_task(f"reading {trajectory.name}", total=None)
        source = read_evenly(
            trajectory, settings.n_frames, lambda done: progress.update(reading, completed=done)
        )
        progress.update(reading, total=source.n_read)
        labelling = progress.add_task(f"labelling with {labeller.name}", total=len(source.frames))
        audit = audit_frames(
            source,
            calculator,
            labeller,
            metadata,
            settings.factor,
            settings.regime,
            lambda done: progress.update(labelling, completed=done),
        )
    return source, audit


def card_text(model: str, evidence: Sequence[Path]) -> str:
    """The card of an artifact, in Markdown.

    Args:
        model: A shipped name or the path of an artifact.
        evidence: Measurements of it: JSON files, and folders of them.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: A file is no measurement, or one of another artifact.
    """
    path = artifact_path(model)
    return model_card(path, read_evidence(evidence, artifact_identity(path)["sha256"]))


def write_card(model: str, evidence: Sequence[Path], output: Path) -> Path:
    """Write `card_text` to a file; returns its path."""
    replace_file(output, [card_text(model, evidence).encode()])
    return output


def _warn_of_other_settings(teacher: Teacher, metadata: Metadata) -> None:
    recorded, settings = metadata.provenance.teacher, teacher.metadata()["teacher_settings"]
    if recorded.get("teacher") == teacher.name and recorded.get("teacher_settings", settings) != settings:
        logger.warning(
            "the labels that the student learnt were made with other settings of %s: %s; here it has %s",
            teacher.name,
            recorded["teacher_settings"],
            settings,
        )


def _teacher_of(metadata: Metadata, name: str | None) -> tuple[str, dict[str, Any]]:
    """The named teacher without options; by default the student's own, with those that it was labelled with."""
    own = metadata.provenance.teacher.get("teacher")
    if name is not None:
        return name, {}
    if own in (None, UNNAMED_TEACHER):
        raise ConfigError(f"the artifact {metadata.name!r} names no teacher; name one with --teacher")
    return own, metadata.provenance.training.get("config", {}).get("teacher_options", {})
