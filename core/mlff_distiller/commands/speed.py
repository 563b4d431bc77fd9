"""What ``mlffd benchmark``, ``mlffd quantize`` and ``mlffd recommend`` do, callable from Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from mlff_distiller.atomic_file import new_folder, replace_file
from mlff_distiller.commands.progress import progress_bars
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.extxyz import read_any
from mlff_distiller.data.structures import read_structures
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.benchmark.cases import System, file_system, standard_system
from mlff_distiller.evaluation.benchmark.formats import usable_formats
from mlff_distiller.evaluation.benchmark.measure import BenchmarkSettings, run_benchmark, spaced
from mlff_distiller.evaluation.benchmark.plots import draw_accuracy_speed, draw_benchmark
from mlff_distiller.evaluation.benchmark.report import BenchmarkReport
from mlff_distiller.evaluation.benchmark.tables import markdown_table, milliseconds
from mlff_distiller.evaluation.quantization import QuantizedStudent, quantize_student
from mlff_distiller.evaluation.recommend import Candidate, Goal, Recommendation, recommend_student
from mlff_distiller.json_file import write_json
from mlff_distiller.registry import list_models
from mlff_distiller.units import MEV

QUANTIZATION_NOTE = (
    "ms: median and quartiles of interleaved rounds; speed, next to the exported file: no gain is within 10 % or within the "
    "spread; MAE, R² and its loss against the labels, ΔF and ΔE against the exported file"
)


class Bars:
    """A bar with an estimate of the time left for each stage of a run."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def stage(self, name: str, total: int | None) -> Callable[[], None]:
        """See `mlff_distiller.evaluation.benchmark.measure.Progress`."""
        task = self.progress.add_task(name, total=total)
        return lambda: self.progress.advance(task)


def parse_integers(text: str, what: str) -> list[int]:
    """Numbers with commas between.

    Raises:
        ConfigError: Something else.
    """
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"expected {what} as numbers with commas between, as 1,8,32, got {text!r}"
        ) from None


def parse_names(text: str | None) -> list[str] | None:
    """Names with commas between; None stays None."""
    return None if text is None else [word.strip() for word in text.split(",")]


def shipped_or(students: Sequence[str] | None) -> list[str]:
    """The students that were named, each once, or all that are shipped, the smallest first."""
    return list(dict.fromkeys(students or reversed(list_models())))


def systems_of(sizes: str, structures: Sequence[Path] | None) -> list[System]:
    """The structures of files, or where there are none, standard ones of the given sizes."""
    if structures:
        return [file_system(path) for path in structures]
    return [standard_system(n_atoms) for n_atoms in parse_integers(sizes, "sizes")]


def formats_of(names: str | None, device: str, students: Sequence[str]) -> list[str]:
    """The formats that were named, or all that run on the device.

    Raises:
        ConfigError: An unknown format, or one that does not run there.
    """
    return usable_formats(parse_names(names), device, students)


def frames_of(path: Path, at_most: int) -> Dataset:
    """Evenly spaced structures of a labelled file.

    Raises:
        DatasetError: It cannot be read.
    """
    return spaced(read_any(path), at_most)


def benchmark_with_progress(settings: BenchmarkSettings, output: Path, console: Console) -> BenchmarkReport:
    """Measure, and write ``benchmark.json``, ``.csv``, ``.png``, and with a dataset ``accuracy_speed.png``.

    Raises:
        ConfigError: Nothing to measure, or numbers out of range.
    """
    with new_folder(output), progress_bars(console, "") as progress:
        report = run_benchmark(settings, Bars(progress))
    report.write(output)
    draw_benchmark(report, output / "benchmark.png")
    if report.accuracies:
        draw_accuracy_speed(report, output / "accuracy_speed.png")
    return report


def quantize_with_progress(
    model: str,
    output: Path,
    schemes: str,
    dataset: Path,
    frames: int,
    batches: str,
    rounds: int,
    threads: int,
    console: Console,
) -> list[QuantizedStudent]:
    """Write the quantised files and ``quantization.csv`` into a folder.

    Raises:
        ConfigError: Unknown scheme, or a source that is no artifact.
        DatasetError: The dataset cannot be read.
    """
    names, labelled = parse_names(schemes) or [], frames_of(dataset, frames)
    with progress_bars(console, "") as progress:
        found = quantize_student(
            model,
            output,
            names,
            labelled,
            parse_integers(batches, "batches"),
            rounds,
            threads,
            Bars(progress),
        )
    replace_file(output / "quantization.csv", [_quantization_csv(found).encode()])
    return found


def recommend_with_progress(
    structure: Path,
    students: Sequence[str] | None,
    engine: str,
    goal: Goal,
    rounds: int,
    steps: int,
    report: Path | None,
    console: Console,
) -> Recommendation:
    """Time the students on the first structure of a file, and choose one.

    Raises:
        ConfigError: Unknown engine, or one that is not installed.
        DatasetError: The structure cannot be read.
        StructureError: No student knows all elements.
    """
    _, atoms = read_structures([structure])[0]
    with progress_bars(console, "") as progress:
        found = recommend_student(atoms, shipped_or(students), engine, goal, rounds, steps, Bars(progress))
    if report is not None:
        document = {
            "structure": str(structure),
            "engine": engine,
            "time_step_fs": goal.time_step,
            "chosen": None if found.chosen is None else found.chosen.student,
            "reason": found.reason,
            "candidates": [
                {**vars(candidate), "ns_per_day": candidate.ns_per_day(goal.time_step)}
                for candidate in found.candidates
            ],
        }
        write_json(report, document)
    return found


def quantization_table(model: str, found: Sequence[QuantizedStudent]) -> Table:
    """A row for each file."""
    latencies = [change.new for change in found[0].latency]
    columns = [
        "scheme",
        "products in",
        "forces are the gradient",
        "KiB",
        "smaller",
        *(f"ms, batch {row.batch}" for row in latencies),
        "speed",
        "force MAE meV/Å",
        "R²",
        "R² loss",
        "ΔF mean, max meV/Å",
        "ΔE meV/atom",
    ]
    title = f"{model} in ONNX Runtime, {latencies[0].threads} thread(s); {latencies[0].system}"
    table = markdown_table(title, columns)
    table.caption, table.caption_justify = QUANTIZATION_NOTE, "left"
    for row in found:
        table.add_row(
            row.scheme,
            row.products,
            "yes" if row.conservative else "NO",
            f"{row.n_bytes / 1024:.0f}",
            f"{row.size_ratio:.2f} ×",
            *(milliseconds(change.new) for change in row.latency),
            _speed(row),
            f"{MEV * row.forces.mae:.2f}",
            f"{row.forces.r2:.5f}",
            f"{100 * row.r2_loss:.3f} %",
            f"{MEV * row.force_difference[0]:.2f}, {MEV * row.force_difference[1]:.1f}",
            f"{MEV * row.energy_difference:.3f}",
        )
    return table


def recommendation_table(title: str, found: Recommendation, goal: Goal) -> Table:
    """A row for each candidate."""
    columns = ("student", "parameters", "expected force MAE meV/Å", "ms/step", "ns/day", "")
    table = markdown_table(title, columns)
    for candidate in found.candidates:
        table.add_row(
            candidate.student,
            f"{candidate.n_parameters:,}",
            "unknown" if candidate.force_error is None else f"{MEV * candidate.force_error:.0f}",
            *_speed_cells(candidate, goal),
            Text("use this", "bold green") if candidate is found.chosen else "",
        )
    return table


def _speed_cells(candidate: Candidate, goal: Goal) -> tuple[str, str]:
    if candidate.step_time is None:
        return "failed", ""
    return f"{1e3 * candidate.step_time:.3g}", f"{candidate.ns_per_day(goal.time_step):.3g}"


def _speed(row: QuantizedStudent) -> str:
    """Whether the scheme is faster than the exported file, beyond the spread, in all batches, in some, or in none."""
    if row.scheme == "exported":
        return ""
    verdicts = {
        "slower" if change.is_regression else "faster" if change.is_improvement else "no gain"
        for change in row.latency
    }
    return " or ".join(sorted(verdicts))


def _quantization_csv(found: Sequence[QuantizedStudent]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    batches = [change.new.batch for change in found[0].latency]
    writer.writerow(
        ["scheme", "file", "bytes", "size_ratio", *(f"seconds_batch_{batch}" for batch in batches)]
        + [
            "force_mae_ev_per_angstrom",
            "force_r2",
            "r2_loss",
            "force_difference_mean",
            "force_difference_max",
        ]
        + ["energy_difference_ev_per_atom"]
    )
    for row in found:
        medians = [change.new.median for change in row.latency]
        writer.writerow(
            [row.scheme, row.file.name, row.n_bytes, row.size_ratio, *medians]
            + [row.forces.mae, row.forces.r2, row.r2_loss, *row.force_difference, row.energy_difference]
        )
    return text.getvalue()
