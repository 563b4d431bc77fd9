"""Results of a benchmark: numbers, the machine that they belong to, files, and the comparison of two of them."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.errors import DatasetError
from mlff_distiller.evaluation.metrics import ForceErrors
from mlff_distiller.json_file import write_json

MICRO = 1e6
PACKAGES = ("mlff-distiller", "torch", "onnxruntime", "numpy")
NOTICEABLE = 1.1  # times slower or faster; less is never called a change


@dataclass(frozen=True)
class Measurement:
    """One case.

    Attributes:
        student: Name or path; for a teacher, its name.
        format: A key of `FORMATS`, or ``teacher``.
        device: Torch device.
        threads: CPU threads.
        system: Name of the structure.
        n_atoms: Atoms of one structure.
        batch: Structures evaluated at once.
        median: Seconds a call, over the rounds.
        q25: First quartile.
        q75: Third quartile.
        peak_memory: MiB, see `memory.peak_memories`; None where it was not measured.
        speed_up: Teacher's time for one structure over this one's; None without a teacher.
    """

    student: str
    format: str
    device: str
    threads: int
    system: str
    n_atoms: int
    batch: int
    median: float
    q25: float
    q75: float
    peak_memory: float | None = None
    speed_up: float | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What must be equal for two measurements to be comparable."""
        return (self.student, self.format, self.device, self.threads, self.system, self.batch)

    @property
    def us_per_atom(self) -> float:
        """Microseconds per atom and evaluation."""
        return MICRO * self.median / (self.n_atoms * self.batch)

    @property
    def structures_per_s(self) -> float:
        """Evaluations of one structure, in a second."""
        return self.batch / self.median

    @property
    def atom_steps_per_s(self) -> float:
        """Atoms times evaluations, in a second."""
        return self.n_atoms * self.batch / self.median


@dataclass(frozen=True)
class FormatAccuracy:
    """Force errors of a student in one format, on labelled structures."""

    student: str
    format: str
    n_structures: int
    forces: ForceErrors


@dataclass(frozen=True)
class BenchmarkReport:
    """All measurements of a run, and where they were made.

    Attributes:
        artifacts: File name and SHA-256 of each student's artifact.
        environment: Processor, packages, load.
        rounds: Measurements of each case.
        measurements: Of the students, and then of the teacher.
        accuracies: Of each student and format; empty without a dataset.
        left_out: Batches that were asked for and have more atoms than allowed, as "32 × water, 24 atoms".
    """

    artifacts: dict[str, dict[str, str]]
    environment: dict[str, Any]
    rounds: int
    measurements: list[Measurement]
    accuracies: list[FormatAccuracy]
    left_out: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> list[Path]:
        """Write ``benchmark.json`` and ``benchmark.csv``.

        Raises:
            OutputError: The folder cannot be written to.
        """
        paths = [folder / "benchmark.json", folder / "benchmark.csv"]
        document = asdict(self)
        document["benchmark"] = document.pop("measurements")
        write_json(paths[0], document)
        replace_file(paths[1], [self._csv().encode()])
        return paths

    def _csv(self) -> str:
        text = io.StringIO()
        derived = ("us_per_atom", "structures_per_s", "atom_steps_per_s")
        columns = [field.name for field in fields(Measurement)]
        accuracy = {(a.student, a.format): a.forces for a in self.accuracies}
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*columns, *derived, "force_mae_ev_per_angstrom", "force_r2"])
        for row in self.measurements:
            errors = accuracy.get((row.student, row.format))
            values = [getattr(row, name) for name in (*columns, *derived)]
            writer.writerow([*values, *((errors.mae, errors.r2) if errors else (None, None))])
        return text.getvalue()


@dataclass(frozen=True)
class Change:
    """One case in two reports.

    Attributes:
        new: The later measurement.
        old: The earlier one.
    """

    new: Measurement
    old: Measurement

    @property
    def ratio(self) -> float:
        """New time over old time."""
        return self.new.median / self.old.median

    @property
    def is_regression(self) -> bool:
        """Noticeably slower, and beyond the spread: its fast quarter is slower than the old slow quarter."""
        return self.ratio > NOTICEABLE and self.new.q25 > self.old.q75

    @property
    def is_improvement(self) -> bool:
        """Noticeably faster, and beyond the spread."""
        return self.ratio < 1 / NOTICEABLE and self.new.q75 < self.old.q25


def compare_reports(new: BenchmarkReport, old: BenchmarkReport) -> list[Change]:
    """The cases that are in both, the worst first.

    Raises:
        DatasetError: They have no case in common.
    """
    before = {row.key: row for row in old.measurements}
    changes = [Change(row, before[row.key]) for row in new.measurements if row.key in before]
    if not changes:
        raise DatasetError(
            "the two benchmarks have no case in common: students, formats, device, threads, structures and batches must match"
        )
    return sorted(changes, key=lambda change: -change.ratio)


def read_report(path: Path) -> BenchmarkReport:
    """A ``benchmark.json``.

    Raises:
        DatasetError: The file is missing, or is no benchmark of this package.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return BenchmarkReport(
            artifacts=values["artifacts"],
            environment=values["environment"],
            rounds=values["rounds"],
            measurements=[Measurement(**row) for row in values["benchmark"]],
            accuracies=[_accuracy(row) for row in values["accuracies"]],
            left_out=values.get("left_out", []),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} is not a benchmark that this version wrote ({type(error).__name__}: {error}); "
            "expected the benchmark.json of an earlier `mlffd benchmark`"
        ) from None


def _accuracy(values: Mapping[str, Any]) -> FormatAccuracy:
    return FormatAccuracy(**{**values, "forces": ForceErrors(**values["forces"])})


def describe_machine(device: str, threads: int) -> dict[str, Any]:
    """Processor, packages and load: what a number of seconds means nothing without."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "device": device,
        "threads": threads,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
