"""Speed of students in every format, on equal terms: the same edges, the same threads, measured in turns."""

from mlff_distiller.evaluation.benchmark.cases import Case, System, standard_system
from mlff_distiller.evaluation.benchmark.measure import BenchmarkSettings, run_benchmark
from mlff_distiller.evaluation.benchmark.report import (
    BenchmarkReport,
    Change,
    Measurement,
    compare_reports,
    read_report,
)

__all__ = [
    "BenchmarkReport",
    "BenchmarkSettings",
    "Case",
    "Change",
    "Measurement",
    "System",
    "compare_reports",
    "read_report",
    "run_benchmark",
    "standard_system",
]
