"""Peak memory of one case, in a process that does nothing else.

In a process that has measured other cases, memory that they gave back to the allocator hides what the next one needs. So each
case gets a fresh process, forked from a server that has imported everything and run nothing (``multiprocessing``'s forkserver):
that takes a fraction of a second, where a new interpreter would import torch for seconds.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.evaluation.benchmark.cases import System
from mlff_distiller.evaluation.benchmark.formats import FORMATS

MIB = 2**20
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss
N_CALLS = 2  # TorchScript compiles itself in these, which takes memory too

Job = tuple[str, Path, str, int, System, int]  # format, file, device, threads, structure, batch


def peak_memories(jobs: Sequence[Job], report: Callable[[], None]) -> list[float]:
    """MiB that loading a student and evaluating a batch adds to a process at its peak; on a GPU, what torch allocates there.

    Args:
        jobs: J cases.
        report: Called after each.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "onnxruntime"])  # skipped where it is not installed
    found = []
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for peak in pool.map(peak_memory, jobs):
            found.append(peak)
            report()
    return found


def peak_memory(job: Job) -> float:
    """MiB; to be called once in a fresh process."""
    name, path, device, threads, system, batch = job
    torch.set_num_threads(threads)
    before = _peak_rss()
    potential = FORMATS[name].load(path, device, threads)
    graph = structures_graph([system.atoms] * batch, potential.cutoff)
    for _ in range(N_CALLS):
        potential.compute(*graph)
    if device == "cpu":
        return (_peak_rss() - before) / MIB
    return torch.cuda.max_memory_allocated(device) / MIB


def _peak_rss() -> int:
    """Largest resident memory of this process so far, bytes."""
    return RSS_UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
