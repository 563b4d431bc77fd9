"""Run a benchmark: prepare the files, time all cases in turns, then their memory and their accuracy."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.teachers import Teacher, load_teacher
from mlff_distiller.device import torch_threads
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.benchmark.cases import Case, System, left_out, make_cases
from mlff_distiller.evaluation.benchmark.formats import FORMATS, Files, prepare_files
from mlff_distiller.evaluation.benchmark.memory import peak_memories
from mlff_distiller.evaluation.benchmark.report import (
    BenchmarkReport,
    FormatAccuracy,
    Measurement,
    describe_machine,
)
from mlff_distiller.evaluation.benchmark.timing import interleave, quartiles
from mlff_distiller.evaluation.metrics import force_errors, predict_dataset
from mlff_distiller.export.identity import artifact_identity
from mlff_distiller.model.potential import Potential
from mlff_distiller.registry import artifact_path

TEACHER = "teacher"  # format of a teacher's measurements
TEACHER_LIMIT = 5.0  # seconds for a structure


class Progress(Protocol):
    """What a run tells of itself."""

    def stage(self, name: str, total: int | None) -> Callable[[], None]:
        """A part of the run begins; the function that comes back is called after each of its ``total`` pieces."""
        ...


@dataclass(frozen=True)
class BenchmarkSettings:
    """What to measure.

    Attributes:
        students: Names or paths of artifacts.
        formats: Keys of `FORMATS`.
        systems: Structures.
        batches: Numbers of structures at once.
        rounds: Measurements of each case.
        threads: CPU threads.
        device: Torch device.
        max_atoms: Larger batches are left out.
        teacher: Also time this teacher on one of each structure; None for none.
        dataset: Labelled structures, for the errors of each format; None for none.
        memory: Also measure peak memory.
    """

    students: Sequence[str]
    formats: Sequence[str]
    systems: Sequence[System]
    batches: Sequence[int] = (1,)
    rounds: int = 5
    threads: int = 1
    device: str = "cpu"
    max_atoms: int = 660
    teacher: str | None = None
    dataset: Dataset | None = field(default=None, repr=False)
    memory: bool = True


def run_benchmark(settings: BenchmarkSettings, progress: Progress) -> BenchmarkReport:
    """Measure everything.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: Nothing to measure, or a device that is not there.
        StructureError: A student does not know an element of a structure.
        TeacherError: The teacher cannot label a structure.
    """
    if settings.rounds < 2 or settings.threads < 1:
        raise ConfigError(
            f"expected at least 2 rounds and 1 thread, got {settings.rounds} and {settings.threads}"
        )
    cases = make_cases(
        settings.students, settings.formats, settings.systems, settings.batches, settings.max_atoms
    )
    environment = describe_machine(settings.device, settings.threads)
    artifacts = {name: artifact_identity(artifact_path(name)) for name in settings.students}
    with tempfile.TemporaryDirectory() as folder, torch_threads(settings.threads):
        done = progress.stage("preparing files", len(settings.students))
        files = prepare_files(settings.students, settings.formats, Path(folder), done)
        potentials = {
            (student, name): FORMATS[name].load(path, settings.device, settings.threads)
            for (student, name), path in files.items()
        }
        measurements = _time(cases, potentials, settings, progress)
        if settings.memory:
            measurements = _with_memory(measurements, cases, files, settings, progress)
        accuracies = _accuracies(potentials, settings.dataset, progress)
    missing = left_out(settings.systems, settings.batches, settings.max_atoms)
    return BenchmarkReport(artifacts, environment, settings.rounds, measurements, accuracies, missing)


def _time(
    cases: Sequence[Case],
    potentials: dict[tuple[str, str], Potential],
    settings: BenchmarkSettings,
    progress: Progress,
) -> list[Measurement]:
    """The students' measurements in the order of the cases, then the teacher's."""
    calls = [_call(potentials[case.student, case.format], case, settings.device) for case in cases]
    teacher = None if settings.teacher is None else load_teacher(settings.teacher)
    with threadpool_limits(settings.threads):  # for the teacher: libraries that are loaded by now
        once = {} if teacher is None else first_labels(teacher, settings.systems, progress)
        in_turns = [s for s in settings.systems if once.get(s.name, np.inf) * settings.rounds < TEACHER_LIMIT]
        if teacher is not None:
            calls += [partial(teacher.label, system.atoms) for system in in_turns]
        done = progress.stage("timing", len(calls) * (settings.rounds + 1))
        times = interleave(calls, settings.rounds, done)
    found = [
        _measurement(case.student, case.format, settings.device, case.system, case.batch, settings, seconds)
        for case, seconds in zip(cases, times, strict=False)
    ]
    labels = {name: np.array([seconds]) for name, seconds in once.items()}
    labels |= {system.name: seconds for system, seconds in zip(in_turns, times[len(cases) :], strict=True)}
    taught = [
        _measurement(settings.teacher or "", TEACHER, "cpu", system, 1, settings, labels[system.name])
        for system in settings.systems
        if system.name in labels
    ]
    slow = {row.system: row.median for row in taught}
    compared = [
        replace(row, speed_up=slow[row.system] * row.batch / row.median) if row.system in slow else row
        for row in found
    ]
    return [*compared, *taught]


def _measurement(
    student: str,
    name: str,
    device: str,
    system: System,
    batch: int,
    settings: BenchmarkSettings,
    seconds: np.ndarray,
) -> Measurement:
    return Measurement(
        student, name, device, settings.threads, system.name, system.n_atoms, batch, **quartiles(seconds)
    )


def _call(potential: Potential, case: Case, device: str) -> Callable[[], object]:
    """An evaluation of energies, forces and virials with the edges given."""
    graph = structures_graph([case.system.atoms] * case.batch, potential.cutoff)
    graph = type(graph)(*(x.to(device) for x in graph))
    if device == "cpu":
        return lambda: potential.compute(*graph)

    def call() -> None:
        potential.compute(*graph)
        torch.cuda.synchronize(device)

    return call


def _with_memory(
    measurements: Sequence[Measurement],
    cases: Sequence[Case],
    files: Files,
    settings: BenchmarkSettings,
    progress: Progress,
) -> list[Measurement]:
    device, threads = settings.device, settings.threads
    jobs = [
        (case.format, files[case.student, case.format], device, threads, case.system, case.batch)
        for case in cases
    ]
    peaks = peak_memories(jobs, progress.stage("memory", len(jobs)))
    measured = [replace(row, peak_memory=peak) for row, peak in zip(measurements, peaks, strict=False)]
    return [*measured, *measurements[len(cases) :]]  # a teacher's has none


def first_labels(teacher: Teacher, systems: Sequence[System], progress: Progress) -> dict[str, float]:
    """Seconds that a teacher takes to label each structure for the first time, the small ones first.

    Its cost grows with the cube of the size, if not faster: a structure that would take longer than `TEACHER_LIMIT` by the time
    of the one before is left out.

    Returns:
        By name of the structure.
    """
    done = progress.stage("teacher", len(systems))
    found: dict[str, float] = {}
    per_cube = 0.0  # s per atom³
    ordered = sorted(systems, key=lambda system: system.n_atoms)
    teacher.label(ordered[0].atoms)  # its first call of all loads and compiles
    for system in ordered:
        if per_cube * system.n_atoms**3 <= TEACHER_LIMIT:
            started = time.perf_counter()
            teacher.label(system.atoms)
            found[system.name] = time.perf_counter() - started
            per_cube = found[system.name] / system.n_atoms**3
        done()
    return found


def _accuracies(
    potentials: dict[tuple[str, str], Potential], dataset: Dataset | None, progress: Progress
) -> list[FormatAccuracy]:
    if dataset is None:
        return []
    done = progress.stage("accuracy", len(potentials))
    labels = dataset.forces.astype(np.float64)
    found = []
    for (student, name), potential in potentials.items():
        _, forces = predict_dataset(potential, dataset, max_atoms=512)
        found.append(FormatAccuracy(student, name, len(dataset), force_errors(forces, labels)))
        done()
    return found


def spaced(dataset: Dataset, n_structures: int) -> Dataset:
    """At most so many structures, evenly spaced over the dataset."""
    if len(dataset) <= n_structures:
        return dataset
    return dataset.select(np.linspace(0, len(dataset) - 1, n_structures).round().astype(int))
