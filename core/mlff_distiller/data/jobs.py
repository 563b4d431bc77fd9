"""Run many independent tasks in parallel, so that a run can be killed and goes on where it stopped.

Each finished task is stored at once as a *part*, a file in the folder ``<output>.parts/``. When all tasks are
done the parts are merged, in the order of the tasks, into the output file. Every task draws from its own
random numbers, so the output does not depend on the number of workers, on their speed, or on interruptions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import joblib
import numpy as np
from joblib.externals.loky.process_executor import BrokenProcessPool
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.parts import PartStore
from mlff_distiller.errors import (
    ConfigError,
    DistillerError,
    MissingDependencyError,
    SamplingError,
    TeacherError,
    require,
)

logger = logging.getLogger(__name__)

Backend = Literal["loky", "dask"]

PARENT_CHECK_INTERVAL = 2.0  # s
LOST_WORKER = (
    "The usual cause is that the memory is used up. Use fewer processes. Finished tasks are kept; run the same command again "
    "to go on from there."
)
HOPELESS_AFTER = 20  # failed tasks without one success: the rest will fail too


@dataclass(frozen=True)
class Task:
    """One independent piece of work.

    Attributes:
        key: Name of the task, unique in its run.
        payload: What the worker needs to know, of types that JSON can hold and of arrays.
        seed: Seed of the whole run; the task's own numbers come from it and the key.
    """

    key: str
    payload: Any
    seed: int

    def random_generator(self) -> np.random.Generator:
        """The task's own random numbers: a function of the run's seed and the task's key alone."""
        digest = hashlib.sha256(f"{self.seed}:{self.key}".encode()).digest()
        return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))

    def fingerprint(self) -> str:
        """Name of the task's part: 24 hexadecimal digits, a function of everything in the task."""
        content = json.dumps([self.key, self.payload, self.seed], sort_keys=True, default=_array_digest)
        return hashlib.sha256(content.encode()).hexdigest()[:24]


def _array_digest(array: np.ndarray) -> list[str]:
    """What stands for an array in a fingerprint."""
    return [str(array.dtype), str(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]


def combined_fingerprint(tasks: Sequence[Task]) -> str:
    """64 hexadecimal digits that stand for all tasks and their order."""
    return hashlib.sha256(" ".join(task.fingerprint() for task in tasks).encode()).hexdigest()


@dataclass(frozen=True)
class TaskResult:
    """What a worker found.

    Attributes:
        frames: Labelled; None when the task failed as a whole.
        failures: What was left out, by reason.
        example: A sentence on one of the failures.
    """

    frames: Dataset | None
    failures: dict[str, int] = field(default_factory=dict)
    example: str = ""


Worker = Callable[[Task, np.random.Generator], TaskResult]
Outcome = tuple[str, TaskResult]  # of the task with that fingerprint


@dataclass(frozen=True)
class RunSummary:
    """Outcome of a run: tasks in all and failed, frames, failures by reason, seconds of this session."""

    n_tasks: int
    n_failed_tasks: int
    n_frames: int
    failures: dict[str, int]
    seconds: float


def run_tasks(
    tasks: Sequence[Task],
    worker: Worker,
    store: PartStore,
    n_jobs: int = 1,
    backend: Backend = "loky",
    show_progress: bool = True,
) -> RunSummary:
    """Run all tasks whose part is not stored yet, and store each result as soon as it is there.

    Args:
        tasks: The tasks, with different keys.
        worker: Runs one task. An error in it fails that task alone; it is counted by its reason.
        store: Where the parts go.
        n_jobs: Number of worker processes; -1 for one on each core.
        backend: ``loky`` for processes on this machine, ``dask`` for the cluster of the current Dask client.
        show_progress: Show a progress bar on standard error.

    Raises:
        ConfigError: Two tasks have the same key, or an option with which no task can work.
        SamplingError: More than half of the tasks failed.
        DatasetError: A part could not be written.
        KeyboardInterrupt: The user stopped the run; the finished parts are kept.
    """
    _check_keys(tasks)
    if n_jobs == 0:
        raise ConfigError("Expected a number of processes, or -1 for one on each core, got 0.")
    started = time.monotonic()
    tally = _Tally(len(tasks))
    stored = store.stored_counts([task.fingerprint() for task in tasks])
    for n_frames, failures in stored.values():
        tally.add(n_frames, failures)
    waiting = [task for task in tasks if task.fingerprint() not in stored]

    outcomes = _dask_results(waiting, worker) if backend == "dask" else _loky_results(waiting, worker, n_jobs)
    with _progress_bar(tally, show_progress) as advance, closing(outcomes):
        try:
            for fingerprint, result in outcomes:
                if result.frames is not None:
                    store.write(fingerprint, result.frames, result.failures)
                tally.add(0 if result.frames is None else len(result.frames), result.failures)
                tally.example = tally.example or result.example
                tally.check(at_end=False)
                advance()
        except KeyboardInterrupt:
            stopped = f"Stopped. {store.how_to_go_on()}"
            Console(stderr=True).print(stopped, markup=False, highlight=False, soft_wrap=True)
            raise
    tally.check(at_end=True)
    return RunSummary(
        len(tasks),
        tally.failed,
        tally.frames,
        dict(sorted(tally.failures.items())),
        time.monotonic() - started,
    )


class _Tally:
    """Running counts of one run."""

    def __init__(self, n_tasks: int) -> None:
        self.n_tasks = n_tasks
        self.done = 0
        self.failed = 0
        self.frames = 0
        self.failures: Counter[str] = Counter()
        self.example = ""

    def add(self, n_frames: int, failures: dict[str, int]) -> None:
        self.done += 1
        self.failed += n_frames == 0
        self.frames += n_frames
        self.failures.update(failures)

    def check(self, at_end: bool) -> None:
        """Raise when the run has failed, or before its end when it is bound to fail."""
        hopeless = self.failed == self.done and self.failed >= HOPELESS_AFTER
        if hopeless or (at_end and 2 * self.failed > self.n_tasks):
            raise SamplingError(
                f"{self.failed} of {self.done} tasks failed: {self.describe_failures()}. "
                + (f"The first: {self.example}. " if self.example else "")
                + "Fix the cause and run the same command again; tasks that succeeded are not repeated."
            )

    def describe_failures(self) -> str:
        return ", ".join(f"{reason} ({count})" for reason, count in self.failures.most_common()) or "none"


def _check_keys(tasks: Sequence[Task]) -> None:
    repeated = [key for key, count in Counter(task.key for task in tasks).items() if count > 1]
    if repeated:
        raise ConfigError(f"Every task needs a key of its own, but {repeated[0]!r} is there more than once.")


def _loky_results(tasks: Sequence[Task], worker: Worker, n_jobs: int) -> Generator[Outcome]:
    """Run the tasks in processes of this machine, one thread each; yield the outcomes as they come."""
    end_with_me = {"initializer": _end_with, "initargs": (os.getpid(),)}
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1, **end_with_me):
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        try:
            for outcome in parallel(joblib.delayed(_run_one)(task, worker) for task in tasks):
                yield cast(Outcome, outcome)
        except BrokenProcessPool as error:
            raise SamplingError(f"A worker process died. {LOST_WORKER}") from error


def _end_with(parent: int) -> None:
    """Make this worker process end soon after its parent has; loky's workers can outlive a killed parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_INTERVAL)
        os._exit(1)  # the only way out of a calculation from another thread

    threading.Thread(target=watch, daemon=True).start()


def _dask_results(tasks: Sequence[Task], worker: Worker) -> Generator[Outcome]:
    """Run the tasks on the current Dask cluster; yield the outcomes as they come.

    Not through joblib, whose Dask backend gives results only when all are there.
    """
    distributed = require("distributed", extra="dask")
    try:
        client = distributed.get_client()
    except ValueError as error:
        raise ConfigError(
            "The backend 'dask' needs a client: create a dask.distributed.Client first."
        ) from error
    futures = client.map(_run_one, tasks, worker=worker, pure=False)
    try:
        for _, outcome in distributed.as_completed(futures, with_results=True):
            yield outcome
    except distributed.KilledWorker as error:
        raise SamplingError(f"{error}. {LOST_WORKER}") from error
    finally:
        client.cancel(futures)


def _run_one(task: Task, worker: Worker) -> Outcome:
    """Run one task in a worker process; what goes wrong in it is a result too."""
    try:
        result = worker(task, task.random_generator())
    except (ConfigError, MissingDependencyError):
        raise  # no task will do better
    except Exception as error:  # one molecule must not end a run of days
        level = logging.DEBUG if isinstance(error, DistillerError) else logging.WARNING
        logger.log(level, "Task %s failed.", task.key, exc_info=error)
        result = TaskResult(None, {failure_reason(error): 1}, f"{task.key}: {error}".rstrip("."))
    return task.fingerprint(), result


def failure_reason(error: Exception) -> str:
    """A short, stable reason to count an error by."""
    if isinstance(error, TeacherError) or type(error).__name__ == "CalculationFailed":
        return "scf not converged" if "not converged" in str(error).lower() else "teacher failed"
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) else type(error).__name__


@contextmanager
def _progress_bar(tally: _Tally, show: bool) -> Iterator[Callable[[], None]]:
    """A bar with frames per second, time left and failures by reason; yields what moves it on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} frames/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failures]}"),
    )
    started, frames_before = time.monotonic(), tally.frames
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        bar = progress.add_task("labelling", total=tally.n_tasks, completed=tally.done, rate=0.0, failures="")

        def advance() -> None:
            rate = (tally.frames - frames_before) / max(time.monotonic() - started, 1e-9)
            failures = f"failed: {tally.describe_failures()}" if tally.failures else ""
            progress.update(bar, completed=tally.done, rate=rate, failures=failures)

        yield advance
