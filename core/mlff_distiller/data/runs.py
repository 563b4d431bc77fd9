"""From tasks to a dataset file: what sampling and relabelling have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.extxyz import is_hdf5
from mlff_distiller.data.jobs import Backend, Task, TaskResult, Worker, combined_fingerprint, run_tasks
from mlff_distiller.data.parts import PartStore
from mlff_distiller.data.teachers import Teacher, load_teacher
from mlff_distiller.errors import ConfigError

_DESCRIPTIONS = ("teacher_method", "teacher_licence")  # words, on which no label depends


@dataclass(frozen=True)
class RunReport:
    """What a run gave.

    Attributes:
        output: The dataset file.
        n_tasks: Molecules, structures, or bundles of structures.
        n_failed_tasks: Those without a single frame.
        n_frames: Frames in the file.
        frames_by_regime: How many of each kind.
        failures: What was left out, by reason.
        seconds: Wall time of this session.
    """

    output: Path
    n_tasks: int
    n_failed_tasks: int
    n_frames: int
    frames_by_regime: dict[str, int]
    failures: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class Execution:
    """How to run tasks; without influence on the outcome. See `mlff_distiller.data.jobs.run_tasks`."""

    n_jobs: int = 1
    backend: Backend = "loky"
    show_progress: bool = True


def options_json(options: Mapping[str, Any] | None) -> str:
    """Options of a teacher as text, for a worker to carry and a cache to compare."""
    return json.dumps(dict(options or {}), sort_keys=True)


def worker_teacher(name: str, options: str) -> Teacher:
    """The teacher of this process, loaded once, and again when its file (``student:FILE``, ``mace:FILE``) is another.

    ``options`` as `options_json` gives them.
    """
    return _loaded_teacher(name, options, _file_state(name.partition(":")[2]))


@lru_cache(maxsize=1)
def _loaded_teacher(name: str, options: str, _state: tuple[int, int] | None) -> Teacher:
    return load_teacher(name, **json.loads(options))


def _file_state(path: str) -> tuple[int, int] | None:
    """What changes when a file is replaced; None without a file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def task_result(frames: Sequence[Atoms], failures: Mapping[str, int], example: str = "") -> TaskResult:
    """The result of a task from its frames; a task without any counts as failed.

    Args:
        frames: Labelled.
        failures: What was left out, by reason.
        example: A sentence on one of the failures.
    """
    if not frames:
        return TaskResult(None, dict(failures) or {"no frame passed the filters": 1}, example)
    return TaskResult(Dataset.from_atoms(frames), dict(failures), example)


def write_run(
    tasks: Sequence[Task],
    worker: Worker,
    teacher: Teacher,
    settings: Mapping[str, str],
    output: Path,
    execution: Execution,
    first: int | None = None,
) -> RunReport:
    """Run the tasks and write their frames to ``output``, in the order of the tasks.

    Args:
        tasks: What to do.
        worker: Does one task.
        teacher: The teacher that the workers load, for the metadata.
        settings: What else the outcome depends on, for the metadata.
        output: The HDF5 file to write.
        execution: Processes and progress bar.
        first: Run the first so many tasks only.

    Raises:
        ConfigError: The output exists, belongs to another run, or is not named as HDF5.
        SamplingError: More than half of the tasks failed.
        OutputError: The output or a part cannot be written.
    """
    if not is_hdf5(output):
        raise ConfigError(
            f"expected an output that ends in .h5 or .hdf5, got {output}; `mlffd convert` makes extended XYZ of it"
        )
    metadata = {**teacher.metadata(), **settings}
    identity = {key: value for key, value in metadata.items() if key not in _DESCRIPTIONS}
    with closing(PartStore(output, {**identity, "tasks": combined_fingerprint(tasks)})) as store:
        tasks = tasks[:first]
        try:
            summary = run_tasks(
                tasks, worker, store, execution.n_jobs, execution.backend, execution.show_progress
            )
            metadata["failures"] = json.dumps(summary.failures, sort_keys=True)
            dataset = store.finish([task.fingerprint() for task in tasks], metadata)
        except BaseException:
            store.discard_if_empty()
            raise
    regimes, counts = np.unique(dataset.regime, return_counts=True)
    return RunReport(
        output=store.output,
        n_tasks=summary.n_tasks,
        n_failed_tasks=summary.n_failed_tasks,
        n_frames=summary.n_frames,
        frames_by_regime=dict(zip(regimes.tolist(), counts.tolist(), strict=True)),
        failures=summary.failures,
        seconds=summary.seconds,
    )
