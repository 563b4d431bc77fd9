"""The benchmark: fair turns, right arithmetic, and a comparison that cries only when something is slower."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.neighborlist import neighbor_list
from tests.training.conftest import make_dataset

from mlff_distiller.errors import ConfigError, DatasetError
from mlff_distiller.evaluation.benchmark import (
    BenchmarkReport,
    BenchmarkSettings,
    Change,
    Measurement,
    System,
    compare_reports,
    measure,
    read_report,
    run_benchmark,
    standard_system,
    timing,
)
from mlff_distiller.evaluation.benchmark.cases import alkane, file_system, left_out, make_cases
from mlff_distiller.evaluation.benchmark.formats import usable_formats
from mlff_distiller.evaluation.benchmark.memory import peak_memories
from mlff_distiller.evaluation.benchmark.plots import draw_accuracy_speed, draw_benchmark, pareto_front
from mlff_distiller.evaluation.benchmark.report import FormatAccuracy
from mlff_distiller.evaluation.benchmark.tables import benchmark_table, comparison_table
from mlff_distiller.evaluation.metrics import ForceErrors
from mlff_distiller.export.artifact import Provenance
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.presets import build_student


class Silent:
    """Counts the pieces of each stage."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.done: Counter[str] = Counter()

    def stage(self, name: str, total: int | None) -> Callable[[], None]:
        self.totals[name] = total

        def done() -> None:
            self.done[name] += 1

        return done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until a test moves it."""
    fake = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: fake.now)
    return fake


@pytest.mark.parametrize("n_carbon", [1, 2, 3, 6, 17])
def test_alkanes_have_the_right_bonds(n_carbon: int) -> None:
    atoms = alkane(n_carbon)
    assert Counter(atoms.get_chemical_symbols()) == {"C": n_carbon, "H": 2 * n_carbon + 2}
    i, j, d = neighbor_list("ijd", atoms, 1.6)
    bonds = Counter(i.tolist())
    assert all(bonds[k] == (4 if atoms.numbers[k] == 6 else 1) for k in range(len(atoms)))
    lengths = {1.53 if atoms.numbers[a] == atoms.numbers[b] == 6 else 1.09 for a, b in zip(i, j, strict=True)}
    assert all(min(abs(d_k - length) for length in lengths) < 1e-9 for d_k in d)
    hydrogen = atoms[atoms.numbers == 1]
    assert hydrogen.get_all_distances()[~np.eye(len(hydrogen), dtype=bool)].min() > 1.6


def test_standard_systems() -> None:
    assert standard_system(20).name == "alkane, 20 atoms"
    water = standard_system(192)
    assert (water.name, water.atoms.pbc.all(), len(water.atoms)) == ("water, 192 atoms", True, 192)
    for n_atoms in (-4, 0, 2, 3, 21, 100):
        with pytest.raises(ConfigError, match=f"no standard structure of {n_atoms} atoms"):
            standard_system(n_atoms)


def test_structure_files(tmp_path: Path) -> None:
    molecule("CH3CH2OH").write(tmp_path / "ethanol.xyz")
    assert file_system(tmp_path / "ethanol.xyz").name == "ethanol, 9 atoms"


def test_cases_leave_out_large_batches_and_never_a_single_structure() -> None:
    systems = [System("small", Atoms("H4")), System("large", Atoms("H200"))]
    cases = make_cases(["a", "b"], ["eager"], systems, [1, 8, 32], max_atoms=100)
    found = [(case.student, case.system.name, case.batch) for case in cases]
    assert found == [(s, n, b) for s in "ab" for n, b in (("small", 1), ("small", 8), ("large", 1))]
    assert left_out(systems, [1, 8, 32], 100) == ["32 × small", "8 × large", "32 × large"]
    with pytest.raises(ConfigError, match="two structures would be called 'small'"):
        make_cases(["a"], ["eager"], [systems[0], systems[0]], [1], 100)
    with pytest.raises(ConfigError, match="nothing to measure"):
        make_cases([], ["eager"], systems, [1], 100)
    with pytest.raises(ConfigError, match="at least one structure, got 0"):
        make_cases(["a"], ["eager"], systems, [0], 100)


def test_formats() -> None:
    assert "native" in usable_formats(None, "cpu", ["tiny"])
    assert usable_formats(None, "cuda", ["tiny"]) == ["eager", "torchscript"]
    with pytest.raises(ConfigError, match="unknown format 'tflite'; choose from eager"):
        usable_formats(["tflite"], "cpu", ["tiny"])
    with pytest.raises(
        ConfigError, match="'native' runs on the CPU only; on cuda choose from eager, torchscript"
    ):
        usable_formats(["eager", "native"], "cuda", ["tiny"])


def test_everything_is_measured_in_turns(clock: SimpleNamespace) -> None:
    order: list[str] = []

    def call(name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            clock.now += seconds

        return run

    progress = itertools.count()
    seconds = timing.interleave(
        [call("a", 1.0), call("b", 0.5), call("c", 0.1)], 3, report=lambda: next(progress), warm_up=2
    )
    assert order == list("aabbcc" + "abcc" * 3)  # c is quick, and called once more before it is timed
    np.testing.assert_allclose(seconds, [[1.0] * 3, [0.5] * 3, [0.1] * 3])
    assert next(progress) == 3 * (3 + 1)


def test_fast_calls_are_averaged_over_a_slice_of_time(clock: SimpleNamespace) -> None:
    n_calls = 0

    def call() -> None:
        nonlocal n_calls
        n_calls += 1
        clock.now += 0.003 if n_calls % 2 else 0.001

    assert timing.time_call(call) == pytest.approx(0.002)
    assert n_calls == 10  # 20 ms in all


def test_quartiles_by_hand() -> None:
    assert timing.quartiles(np.array([5.0, 1.0, 2.0, 4.0, 3.0])) == {"q25": 2.0, "median": 3.0, "q75": 4.0}


ROW = Measurement("tiny", "native", "cpu", 1, "water, 24 atoms", 24, 2, 0.012, 0.011, 0.013, 40.0)
MACHINE = {"processor": "P", "device": "cpu", "threads": 1, "cores": 2, "load_average": 0.1}


def test_derived_numbers_by_hand() -> None:
    assert ROW.us_per_atom == pytest.approx(250.0)
    assert ROW.structures_per_s == pytest.approx(166.67, rel=1e-4)
    assert ROW.atom_steps_per_s == pytest.approx(4000.0)


@pytest.mark.parametrize(
    ("median", "q25", "q75", "regression", "improvement"),
    [
        (0.012, 0.011, 0.013, False, False),
        (0.0130, 0.0131, 0.0132, False, False),  # 8 %: not noticeable
        (0.015, 0.0125, 0.017, False, False),  # within the spread
        (0.015, 0.0135, 0.017, True, False),
        (0.009, 0.008, 0.0105, False, True),
        (0.009, 0.008, 0.0115, False, False),
    ],
)
def test_regressions(median: float, q25: float, q75: float, regression: bool, improvement: bool) -> None:
    change = Change(replace(ROW, median=median, q25=q25, q75=q75), ROW)
    assert (change.is_regression, change.is_improvement) == (regression, improvement)
    assert change.ratio == pytest.approx(median / 0.012)


def report_of(*rows: Measurement, accuracies: list[FormatAccuracy] | None = None) -> BenchmarkReport:
    return BenchmarkReport({"tiny": {"sha256": "0"}}, dict(MACHINE), 5, list(rows), accuracies or [])


def test_comparison_matches_cases_and_puts_the_worst_first() -> None:
    other = replace(ROW, format="onnx")
    old = report_of(ROW, other, replace(ROW, batch=4))
    new = report_of(replace(ROW, median=0.02), replace(other, median=0.04), replace(ROW, threads=2))
    changes = compare_reports(new, old)
    assert [(change.new.format, change.ratio) for change in changes] == [
        ("onnx", pytest.approx(0.04 / 0.012)),
        ("native", pytest.approx(0.02 / 0.012)),
    ]
    with pytest.raises(DatasetError, match="no case in common"):
        compare_reports(report_of(replace(ROW, device="cuda")), old)


def test_files_hold_the_numbers(tmp_path: Path) -> None:
    errors = ForceErrors(10, 0.05, 0.08, 0.99, 1.0)
    report = report_of(ROW, accuracies=[FormatAccuracy("tiny", "native", 7, errors)])
    report.write(tmp_path)
    assert read_report(tmp_path / "benchmark.json") == report
    (row,) = csv.DictReader((tmp_path / "benchmark.csv").read_text().splitlines())
    assert (row["student"], float(row["us_per_atom"]), float(row["peak_memory"])) == ("tiny", 250.0, 40.0)
    assert (float(row["force_mae_ev_per_angstrom"]), row["speed_up"]) == (0.05, "")


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"environment": {}, "artifacts": {}, "rounds": 1, "benchmark": [{"a": 1}]}']
)
def test_reports_of_others_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(DatasetError, match="old.json is not a benchmark"):
        read_report(tmp_path / "old.json")
    with pytest.raises(DatasetError, match="none.json is not a benchmark"):
        read_report(tmp_path / "none.json")


def test_front_against_every_pair() -> None:
    rng = np.random.default_rng(0)
    points = [tuple(point) for point in rng.integers(0, 12, (40, 2)).tolist()]

    def beaten(point: tuple[float, float]) -> bool:
        return any(q != point and q[0] <= point[0] and q[1] <= point[1] for q in points)

    assert set(pareto_front(points)) == {point for point in points if not beaten(point)}


def test_teacher_labels_what_it_can_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher of cubic cost: 1 ms for 10 atoms, 1 s for 100; 8 s for 200 and 27 s for 300 are left out."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock.now)
    labelled: list[int] = []

    def label(atoms: Atoms) -> None:
        labelled.append(len(atoms))
        clock.now += 1e-3 * (len(atoms) / 10) ** 3

    systems = [System(str(n), Atoms(f"H{n}")) for n in (300, 100, 10, 200)]
    times = measure.first_labels(SimpleNamespace(label=label), systems, Silent())  # type: ignore[arg-type]
    assert times == {"10": pytest.approx(1e-3), "100": pytest.approx(1.0)}
    assert labelled == [10, 10, 100], "the first call of all loads and compiles, and does not count"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("benchmark") / "small.pt"
    return str(write_artifact(build_student("ultra-tiny", elements=[1, 6, 8]), "small", Provenance(), path))


def settings_for(student: str, **changes: object) -> BenchmarkSettings:
    systems = [System("ethanol, 9 atoms", molecule("CH3CH2OH")), standard_system(24)]
    settings = BenchmarkSettings([student], ["eager", "torchscript"], systems, (1, 4), rounds=2, memory=False)
    return replace(settings, **changes)


def test_run_and_pictures(student: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SLICE", 0.0)
    progress = Silent()
    dataset = make_dataset(5)
    report = run_benchmark(settings_for(student, dataset=dataset), progress)
    assert [(row.format, row.n_atoms, row.batch) for row in report.measurements] == list(
        itertools.product(("eager", "torchscript"), (9, 24), (1, 4))
    )
    assert all(0 < row.q25 <= row.median <= row.q75 for row in report.measurements)
    assert progress.totals == {"preparing files": 1, "timing": 8 * 3, "accuracy": 2}
    assert dict(progress.done) == progress.totals
    eager, scripted = (accuracy.forces for accuracy in report.accuracies)
    assert eager.mae == pytest.approx(scripted.mae, rel=1e-4)
    assert eager.n_atoms == len(dataset.atomic_numbers)
    draw_benchmark(report, tmp_path / "a.png")
    draw_accuracy_speed(report, tmp_path / "b.png")
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("a.png", "b.png"))
    table = benchmark_table(report)
    assert table.row_count == 8
    assert "memory MiB" not in [column.header for column in table.columns]


def test_speed_up_over_a_teacher(student: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three structures the teacher labels one in turns with the students, one once since it is slow, and one never."""
    monkeypatch.setattr(timing, "SLICE", 0.0)
    labelled = Counter()
    teacher = SimpleNamespace(label=lambda atoms: labelled.update([len(atoms)]))
    monkeypatch.setattr(measure, "load_teacher", lambda _: teacher)
    monkeypatch.setattr(
        measure, "first_labels", lambda *_: {"ethanol, 9 atoms": 0.01, "water, 24 atoms": 60.0}
    )
    systems = [System("ethanol, 9 atoms", molecule("CH3CH2OH")), standard_system(24), standard_system(5)]
    report = run_benchmark(settings_for(student, teacher="slow", systems=systems), Silent())
    fast, slow = (row for row in report.measurements if row.format == "teacher")
    assert labelled == {9: timing.WARM_UP + 2 * 2}
    assert (fast.student, fast.system, slow.median) == ("slow", "ethanol, 9 atoms", 60.0)
    for row in report.measurements[:-2]:
        if row.n_atoms == 5:
            assert row.speed_up is None
        else:
            label_time = fast.median if row.n_atoms == 9 else 60.0
            assert row.speed_up == pytest.approx(label_time * row.batch / row.median)


def test_unknown_elements_are_named(student: str) -> None:
    systems = [System("ammonia", molecule("NH3"))]
    with pytest.raises(ValueError, match="atomic number 7"):
        run_benchmark(settings_for(student, systems=systems), Silent())


@pytest.mark.slow
def test_memory_grows_with_the_batch(student: str) -> None:
    """Of every edge the eager network keeps messages of 3 F numbers and more for the gradient: this is a lower bound."""
    system, done = standard_system(192), itertools.count()
    jobs = [("eager", Path(student), "cpu", 1, system, batch) for batch in (1, 1, 8)]
    once, again, eight = peak_memories(jobs, lambda: next(done))
    assert next(done) == 3
    n_edges = len(neighbor_list("i", system.atoms, 5.0))
    messages = 4 * 2 * 3 * 32 * n_edges / 2**20  # MiB of a structure: float32, two layers, F = 32
    assert eight > once + 7 * messages
    assert again == pytest.approx(once, rel=0.3)


def test_comparison_table_lists_what_changed() -> None:
    slower = Change(replace(ROW, median=0.03, q25=0.029, q75=0.031), ROW)
    assert comparison_table([slower, Change(ROW, ROW)]).row_count == 1
