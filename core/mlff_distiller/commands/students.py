"""What ``mlffd train``, ``distill`` and ``export`` do, callable from Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn

from mlff_distiller.commands.progress import progress_bars
from mlff_distiller.distill import DistillConfig, StudentReport, distill
from mlff_distiller.errors import ConfigError
from mlff_distiller.export.artifact import Provenance, read_metadata
from mlff_distiller.export.write import SUFFIXES, write_artifact
from mlff_distiller.model.presets import preset_with
from mlff_distiller.registry import CHECKPOINT_SUFFIX, artifact_path, load_model, load_student
from mlff_distiller.training.checkpoint import read_checkpoint
from mlff_distiller.training.trainer import Reporter
from mlff_distiller.units import MEV


def export_student(source: str, output: Path, name: str | None) -> Path:
    """Write a student as an artifact in the format of the output's suffix.

    Raises:
        ConfigError: Unknown suffix.
        ArtifactError: The export disagrees with the live model.
    """
    if output.suffix not in SUFFIXES.values():
        raise ConfigError(f"expected an output that ends in {' or '.join(SUFFIXES.values())}, got {output}")
    path = artifact_path(source)
    if (
        path.suffix == CHECKPOINT_SUFFIX
    ):  # it knows the settings of its training, and not those of the whole run
        provenance = Provenance(training={"config": {"training": read_checkpoint(path).get("config", {})}})
    else:
        provenance = read_metadata(path).provenance
    return write_artifact(load_model(path), name or output.stem, provenance, output)


def choose_preset(init: str | None) -> str:
    """The preset of the student to start from, or ``tiny``.

    Raises:
        ArtifactError: There is no such student, its file is damaged, or it holds a committee.
        CheckpointError: The checkpoint is damaged.
    """
    if init is None:
        return "tiny"
    student = load_student(init)
    # a student of other sizes is refused with its sizes, whichever preset is asked for
    return preset_with(student.n_features, student.n_interactions, student.n_rbf) or "tiny"


def distill_with_progress(config: DistillConfig, output: Path, console: Console) -> list[StudentReport]:
    """`mlff_distiller.distill.distill` with a bar for each student's training."""
    with progress_bars(console, "steps", TextColumn("{task.fields[errors]}")) as progress:

        def reporter(name: str) -> Reporter:
            task = progress.add_task(f"training {name}", total=None, errors="compiling …")
            return lambda done, total, row: _advance(progress, task, done, total, row)

        return distill(config, output, reporter)


def _advance(progress: Progress, task: TaskID, done: int, total: int, row: Mapping[str, float]) -> None:
    shown = f"force MAE {MEV * row['valid_force_mae']:.0f} meV/Å (validation)" if row else ""
    progress.update(task, completed=done, total=total, errors=shown)
