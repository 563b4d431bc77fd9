"""Runs of many tasks: killed, resumed, damaged and failing, they give the same file or a clear error.

The tasks here make frames from their random numbers alone; n_jobs=1 runs them in this process.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.dataset import LAYOUT, Dataset
from mlff_distiller.data.jobs import (
    HOPELESS_AFTER,
    RunSummary,
    Task,
    TaskResult,
    combined_fingerprint,
    run_tasks,
)
from mlff_distiller.data.parts import PartStore
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.errors import ConfigError, DatasetError, OutputError, SamplingError, TeacherError

Worker = Callable[[Task, np.random.Generator], TaskResult]


def draw_frames(task: Task, rng: np.random.Generator) -> TaskResult:
    """One to three frames of random positions and labels."""
    frames = []
    for _ in range(rng.integers(1, 4)):
        atoms = Atoms("HO", rng.normal(size=(2, 3)), info={"molecule_id": task.key, "regime": "rattle"})
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(2, 3)))
        frames.append(atoms)
    return TaskResult(Dataset.from_atoms(frames), {"atoms too close": 1})


def make_tasks(n: int = 6, seed: int = 0) -> list[Task]:
    return [Task(f"task {k}", {"number": k}, seed) for k in range(n)]


def run(output: Path, tasks: list[Task], worker: Worker = draw_frames) -> tuple[RunSummary, Dataset]:
    with closing(PartStore(output, {"tasks": combined_fingerprint(tasks)})) as store:
        summary = run_tasks(tasks, worker, store, show_progress=False)
        return summary, store.finish([task.fingerprint() for task in tasks], {"teacher": "dice"})


def stopping_after(n_tasks: int, error: BaseException, calls: list[str]) -> Worker:
    """A worker that raises once it has done ``n_tasks``; ``calls`` collects what it did."""

    def worker(task: Task, rng: np.random.Generator) -> TaskResult:
        if len(calls) == n_tasks:
            raise error
        calls.append(task.key)
        return draw_frames(task, rng)

    return worker


def assert_same_content(left: Dataset, right: Dataset) -> None:
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    known = {**left.metadata, **right.metadata}.keys() - {"creation", "units"}
    assert {key: left.metadata[key] for key in known} == {key: right.metadata[key] for key in known}


def test_random_numbers_depend_on_seed_and_key_alone() -> None:
    def first(key: str, payload: object, seed: int) -> float:
        return Task(key, payload, seed).random_generator().random()

    assert first("a", 1, 0) == first("a", 2, 0)
    assert len({first("a", 1, 0), first("b", 1, 0), first("a", 1, 1)}) == 3


def test_fingerprint_sees_the_content_of_arrays() -> None:
    def fingerprint(values: list[float]) -> str:
        return Task("a", {"positions": np.array(values)}, 0).fingerprint()

    assert fingerprint([1.0, 2.0]) == fingerprint([1.0, 2.0])
    assert fingerprint([1.0, 2.0]) != fingerprint([1.0, np.nextafter(2.0, 3.0)])


def test_output_holds_every_task_in_order(tmp_path: Path) -> None:
    tasks = make_tasks()
    summary, dataset = run(tmp_path / "a.h5", tasks)
    expected = [draw_frames(task, task.random_generator()).frames for task in tasks]
    assert_same_content(
        dataset,
        dataclasses.replace(
            Dataset.concatenate([part for part in expected if part]), metadata=dataset.metadata
        ),
    )
    assert_same_content(read_dataset(tmp_path / "a.h5"), dataset)
    assert summary.failures == {"atoms too close": len(tasks)}
    assert summary.n_frames == len(dataset)
    assert not (tmp_path / "a.h5.parts").exists()


def test_order_of_execution_does_not_matter(tmp_path: Path) -> None:
    """The second run does the last tasks first: its first session knows only those."""
    tasks = make_tasks()
    _, straight = run(tmp_path / "a.h5", tasks)
    store = PartStore(tmp_path / "b.h5", {"tasks": combined_fingerprint(tasks)})
    run_tasks(tasks[3:], draw_frames, store, show_progress=False)
    run_tasks(tasks, draw_frames, store, show_progress=False)
    assert_same_content(store.finish([task.fingerprint() for task in tasks], {"teacher": "dice"}), straight)


def test_interrupt_keeps_parts_and_resume_does_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks, calls = make_tasks(), []
    _, straight = run(tmp_path / "a.h5", tasks)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b.h5", tasks, stopping_after(2, KeyboardInterrupt(), calls))
    printed = " ".join(capsys.readouterr().err.split())
    assert "2 finished parts are kept" in printed
    assert "same command" in printed
    assert not (tmp_path / "b.h5").exists()
    plan = json.loads((tmp_path / "b.h5.parts" / "plan.json").read_text())
    _, resumed = run(tmp_path / "b.h5", tasks, stopping_after(99, KeyboardInterrupt(), calls))
    assert calls == [task.key for task in tasks]
    assert_same_content(resumed, straight)
    assert resumed.metadata["creation"] == plan["created"]


KILLED_RUN = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_jobs import draw_frames, make_tasks, run

def slow(task, rng):
    time.sleep(0.2)
    return draw_frames(task, rng)

run(Path(sys.argv[1]), make_tasks(), slow)
"""


def test_kill_and_resume_give_the_same_file(tmp_path: Path) -> None:
    _, straight = run(tmp_path / "a.h5", make_tasks())
    output = tmp_path / "b.h5"
    process = subprocess.Popen([sys.executable, "-c", KILLED_RUN, str(output), str(Path(__file__).parent)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("b.h5.parts/*.npz"))) < 2:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    calls: list[str] = []
    _, resumed = run(output, make_tasks(), stopping_after(99, KeyboardInterrupt(), calls))
    assert len(calls) <= 4  # of six
    assert_same_content(resumed, straight)


ORPHANED_RUN = """
import os, sys, time
from pathlib import Path
from mlff_distiller.data.jobs import Task, run_tasks
from mlff_distiller.data.parts import PartStore

folder = Path(sys.argv[1])

def endless(task, rng):
    (folder / f"{os.getpid()}.worker").touch()
    time.sleep(600)

run_tasks([Task(str(k), None, 0) for k in range(2)], endless, PartStore(folder / "a.h5", {}), n_jobs=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ORPHANED_RUN, str(tmp_path)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(workers := [int(path.stem) for path in tmp_path.glob("*.worker")]) < 2:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damaged_part_is_redone(tmp_path: Path, damage: str) -> None:
    tasks, calls = make_tasks(), []
    _, straight = run(tmp_path / "a.h5", tasks)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b.h5", tasks, stopping_after(3, KeyboardInterrupt(), []))
    part = tmp_path / "b.h5.parts" / f"{tasks[1].fingerprint()}.npz"
    content = bytearray(part.read_bytes())
    energy = content.index(b"energy.npy")
    content[energy + 160] ^= 1  # in the array: the member's header is shorter
    part.write_bytes({"flip": content, "cut": content[: len(content) // 2], "empty": b""}[damage])
    _, resumed = run(tmp_path / "b.h5", tasks, stopping_after(99, KeyboardInterrupt(), calls))
    assert calls == [tasks[k].key for k in (1, 3, 4, 5)]
    assert_same_content(resumed, straight)


def test_leftovers_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a.h5.parts"
    folder.mkdir()
    (folder / ".x.npz.0123abcd.tmp").write_bytes(b"half")
    PartStore(tmp_path / "a.h5", {})
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "plan.json"]


def test_part_damaged_before_the_merge_stops_it(tmp_path: Path) -> None:
    tasks = make_tasks()
    store = PartStore(tmp_path / "a.h5", {})
    run_tasks(tasks, draw_frames, store, show_progress=False)
    (store.folder / f"{tasks[0].fingerprint()}.npz").write_bytes(b"")
    with pytest.raises(DatasetError, match="damaged"):
        store.finish([task.fingerprint() for task in tasks], {})
    assert not (tmp_path / "a.h5").exists()


def test_parts_of_another_run_are_refused(tmp_path: Path) -> None:
    PartStore(tmp_path / "a.h5", {"seed": "1", "teacher": "x"})
    PartStore(tmp_path / "a.h5", {"seed": "1", "teacher": "x"})
    with pytest.raises(ConfigError, match=r"differs in: seed\. .*delete") as caught:
        PartStore(tmp_path / "a.h5", {"seed": "2", "teacher": "x"})
    PartStore(
        tmp_path / "a.h5", {"seed": "1", "teacher": "x"}
    )  # a refusal holds no lock, even while its error is kept
    assert caught.value.__traceback__ is not None


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with closing(PartStore(tmp_path / "a.h5", {})) as store:
        (store.folder / ".x.npz.0123abcd.tmp").write_bytes(b"half")  # which the first is writing
        with pytest.raises(ConfigError, match="another process is at work in"):
            PartStore(tmp_path / "a.h5", {})
        assert len(list(store.folder.glob("*.tmp"))) == 1
    PartStore(tmp_path / "a.h5", {}).close()


def test_finished_output_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path / "a.h5", make_tasks())
    with pytest.raises(ConfigError, match="exists already"):
        run(tmp_path / "a.h5", make_tasks())


def test_crash_between_output_and_clean_up_is_mended(tmp_path: Path) -> None:
    tasks = make_tasks()
    store = PartStore(tmp_path / "a.h5", {"tasks": combined_fingerprint(tasks)})
    run_tasks(tasks, draw_frames, store, show_progress=False)
    store.close()
    (tmp_path / "a.h5").write_bytes(b"as if the crash came before the folder was removed")
    _, dataset = run(tmp_path / "a.h5", tasks)
    assert_same_content(read_dataset(tmp_path / "a.h5"), dataset)


def test_failures_are_counted_and_left_out(tmp_path: Path) -> None:
    tasks = make_tasks()

    def worker(task: Task, rng: np.random.Generator) -> TaskResult:
        if task.payload["number"] == 1:
            raise TeacherError("SCF not converged in 250 cycles")
        if task.payload["number"] == 4:
            return TaskResult(None, {"no frame passed the filters": 1})
        return draw_frames(task, rng)

    summary, dataset = run(tmp_path / "a.h5", tasks, worker)
    assert summary.n_failed_tasks == 2
    assert summary.failures == {
        "atoms too close": 4,
        "no frame passed the filters": 1,
        "scf not converged": 1,
    }
    assert sorted(set(dataset.molecule_id.tolist())) == ["task 0", "task 2", "task 3", "task 5"]


def test_mostly_failing_run_is_an_error_that_counts(tmp_path: Path) -> None:
    calls: list[str] = []
    with pytest.raises(
        SamplingError, match=r"4 of 6 tasks failed: scf not converged \(4\), atoms too close \(2\)"
    ):
        run(tmp_path / "a.h5", make_tasks(), stopping_after(2, TeacherError("SCF not converged"), calls))
    run(tmp_path / "a.h5", make_tasks(), stopping_after(99, KeyboardInterrupt(), calls))
    assert len(calls) == 6  # failed tasks were tried again, the others not


def test_hopeless_run_ends_early(tmp_path: Path) -> None:
    calls: list[str] = []

    def worker(task: Task, rng: np.random.Generator) -> TaskResult:
        calls.append(task.key)
        raise TeacherError("no")

    with pytest.raises(SamplingError, match="teacher failed"):
        run(tmp_path / "a.h5", make_tasks(3 * HOPELESS_AFTER), worker)
    assert len(calls) < 2 * HOPELESS_AFTER


def test_option_with_which_no_task_works_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such option"):
        run(tmp_path / "a.h5", make_tasks(), stopping_after(1, ConfigError("no such option"), []))


def test_defect_in_one_task_is_logged_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def worker(task: Task, rng: np.random.Generator) -> TaskResult:
        return draw_frames(task, rng) if task.payload["number"] else TaskResult(None, {"x": 1 // 0})

    summary, _ = run(tmp_path / "a.h5", make_tasks(), worker)
    assert summary.failures["ZeroDivisionError"] == 1
    assert "task 0" in caplog.text
    assert "1 // 0" in caplog.text


def test_full_disk_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        if len(list(tmp_path.glob("*.parts/*.npz"))) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OutputError, match=r"No space left on device.*2 finished parts are kept"):
        run(tmp_path / "a.h5", make_tasks())
    monkeypatch.undo()
    calls: list[str] = []
    run(tmp_path / "a.h5", make_tasks(), stopping_after(99, KeyboardInterrupt(), calls))
    assert len(calls) == 4


def test_tasks_need_different_keys_and_a_process(tmp_path: Path) -> None:
    tasks = make_tasks(1)
    with pytest.raises(ConfigError, match="more than once"):
        run_tasks(tasks * 2, draw_frames, PartStore(tmp_path / "a.h5", {}))
    with pytest.raises(ConfigError, match="processes"):
        run_tasks(tasks, draw_frames, PartStore(tmp_path / "a.h5", {}), n_jobs=0)


def test_progress_shows_rate_and_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_tasks(make_tasks(), draw_frames, PartStore(tmp_path / "a.h5", {}))
    printed = capsys.readouterr().err
    assert "6/6" in printed
    assert "frames/s" in printed


def test_dask_without_a_client_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="Client"):
        run_tasks(
            make_tasks(), draw_frames, PartStore(tmp_path / "a.h5", {}), backend="dask", show_progress=False
        )


def test_dask_gives_the_same_content(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    tasks = make_tasks()
    _, straight = run(tmp_path / "a.h5", tasks)
    store = PartStore(tmp_path / "b.h5", {"tasks": combined_fingerprint(tasks)})
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None):
        run_tasks(tasks, draw_frames, store, backend="dask", show_progress=False)
    assert_same_content(store.finish([task.fingerprint() for task in tasks], {"teacher": "dice"}), straight)


def end_the_process(task: Task, rng: np.random.Generator) -> TaskResult:
    os._exit(1)


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_dies(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        pytest.raises(SamplingError, match="Use fewer processes. Finished tasks are kept"),
    ):
        run_tasks(
            make_tasks(1),
            end_the_process,
            PartStore(tmp_path / "a.h5", {}),
            backend="dask",
            show_progress=False,
        )
