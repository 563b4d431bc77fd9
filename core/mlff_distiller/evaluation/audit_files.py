"""What an audit leaves behind: its numbers as JSON and CSV, frames to train on, and a recipe that trains on them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.data.splitting import FILE
from mlff_distiller.data.teachers import Teacher
from mlff_distiller.errors import ConfigError, DatasetError
from mlff_distiller.evaluation.audit import REGIME, Audit, FrameErrors, choose_parts
from mlff_distiller.export.artifact import Metadata
from mlff_distiller.json_file import write_json
from mlff_distiller.model.presets import preset_with

RECIPE = "improve.yaml"
PARTS = ("worst", "valid", "test")
TRAINING = {  # half the rate of a first training: more spoils what the student knows, less learns little in so few steps
    "epochs": 30,
    "batch_size": 8,
    "optimizer": {"learning_rate": 5e-4},
}


@dataclass(frozen=True)
class AuditedRun:
    """What was audited.

    Attributes:
        model: As the user named it.
        artifact: Its file and hash, from `mlff_distiller.export.identity.artifact_identity`.
        metadata: Of the artifact.
        trajectory: The file.
        n_read: Frames in it.
        stopped: Why reading ended early, or None.
        teacher: What labelled the frames.
        teacher_options: That it was loaded with.
    """

    model: str
    artifact: dict[str, str]
    metadata: Metadata
    trajectory: Path
    n_read: int
    stopped: str | None
    teacher: Teacher
    teacher_options: Mapping[str, Any] = field(default_factory=dict)


def audit_document(audit: Audit, run: AuditedRun) -> dict[str, Any]:
    """All numbers of an audit but those of each frame, for JSON; eV and Å."""
    flagged = list(audit.flags)
    return {
        "artifact": run.artifact,
        "teacher": run.teacher.metadata(),
        "trajectory": {
            "file": run.trajectory.name,
            "formula": audit.labels.atoms(0).get_chemical_formula(),
            "frames": run.n_read,
            "stopped": run.stopped,
        },
        "frames_audited": len(audit.labels) + len(audit.failures),
        "frames_labelled": len(audit.labels),
        "failures": {str(number): reason for number, reason in audit.failures.items()},
        "forces": asdict(audit.forces),
        "force_max": float(audit.errors.force_max.max()),
        "energy_mae_per_atom": audit.energy_mae,
        "criterion": {
            "held_out": asdict(audit.regime),
            "factor": audit.factor,
            "force_rmse_threshold": audit.threshold,
            **asdict(audit.limits),
        },
        "frames_flagged": len(flagged),
        "first_flagged": flagged[0] if flagged else None,
        "flags": {str(number): reasons for number, reasons in audit.flags.items()},
    }


def write_audit(audit: Audit, run: AuditedRun, folder: Path) -> list[Path]:
    """Write ``audit.json`` and ``audit.csv``; returns their paths."""
    write_json(folder / "audit.json", audit_document(audit, run))
    replace_file(folder / "audit.csv", [_csv(audit).encode()])
    return [folder / "audit.json", folder / "audit.csv"]


def write_improvement(
    audit: Audit, run: AuditedRun, folder: Path, n_worst: int, rehearsal: Sequence[Path] = ()
) -> list[Path]:
    """Write ``worst.h5``, ``valid.h5``, ``test.h5`` and the recipe that trains on them; returns the paths.

    Files of an earlier audit are removed.

    Args:
        audit: What was found.
        run: What was audited.
        folder: Where to.
        n_worst: Frames to train on, see `choose_parts`.
        rehearsal: Labelled files of other molecules to train on as well, so that the student does not forget them.

    Returns:
        Nothing with fewer than three usable frames; no recipe for committees and for a student whose size is that of no preset.

    Raises:
        ConfigError: A file of one of these names is there, and no audit has written it.
    """
    for path in earlier_improvement(folder):
        path.unlink()
    files = {name: folder / f"{name}.h5" for name in PARTS}
    parts = choose_parts(audit, n_worst)
    if not parts:
        return []
    labels = replace(
        audit.labels,
        molecule_id=np.full(len(audit.labels), FILE + run.trajectory.name),
        regime=np.full(len(audit.labels), REGIME),
        metadata={**run.teacher.metadata(), "sampling": json.dumps(_sampling(audit, run))},
    )
    for name, indices in parts.items():
        write_dataset(files[name], labels.select(indices))
    preset = preset_of(run.metadata)
    if preset is None:
        return list(files.values())
    recipe = improvement_recipe(run, preset, files, rehearsal)
    replace_file(folder / RECIPE, [yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).encode()])
    return [*files.values(), folder / RECIPE]


def earlier_improvement(folder: Path) -> list[Path]:
    """What `write_improvement` wrote into a folder before, the recipe first; it belongs to the data.

    Raises:
        ConfigError: A file of one of these names is there, and no audit has written it.
    """
    data = [path for name in PARTS if (path := folder / f"{name}.h5").exists()]
    for path in data:
        if not _is_of_an_audit(path):
            raise ConfigError(
                f"{path} was not written by an audit, and would be replaced: choose another output folder"
            )
    return [path for path in (folder / RECIPE,) if path.exists()] + data


def _is_of_an_audit(path: Path) -> bool:
    try:
        return set(read_dataset(path).regime.tolist()) == {REGIME}
    except DatasetError:
        return False


def improvement_recipe(
    run: AuditedRun, preset: str, files: Mapping[str, Path], rehearsal: Sequence[Path]
) -> dict[str, Any]:
    """Settings for ``mlffd distill``: fine-tune the audited student on its worst frames."""
    train = [str(files["worst"]), *(str(path) for path in rehearsal)]
    return {
        "name": f"{run.metadata.name}-improved",
        "students": [preset],
        "teacher": run.teacher.name,
        "teacher_options": dict(run.teacher_options),
        "init": run.model,
        "data": {"parts": {"train": train, "valid": str(files["valid"]), "test": str(files["test"])}},
        "training": TRAINING,
    }


def preset_of(metadata: Metadata) -> str | None:
    """The preset that a student can be trained further with; None for other sizes and for committees."""
    if metadata.n_members > 1:
        return None
    found = metadata.architecture
    return preset_with(found["n_features"], found["n_interactions"], found["n_rbf"])


def _sampling(audit: Audit, run: AuditedRun) -> dict[str, Any]:
    """How the frames came about; the filters stand where those of a sampling run do."""
    return {
        "audit": {"student": run.metadata.name, **run.artifact, "trajectory": run.trajectory.name},
        "filters": asdict(audit.limits),
    }


def _csv(audit: Audit) -> str:
    """One row for each frame, in the order of the trajectory; empty cells where it could not be labelled."""
    text = io.StringIO()
    names = [field.name for field in fields(FrameErrors)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "flags"])
    columns = [getattr(audit.errors, name).tolist() for name in names]
    rows = {values[0]: list(values) for values in zip(*columns, strict=True)}
    rows |= {number: [number, *[""] * (len(names) - 1)] for number in audit.failures}
    for number, row in sorted(rows.items()):
        writer.writerow([*row, "; ".join(audit.flags.get(number, []))])
    return text.getvalue()
