"""Interleaved timing: everything that is compared is measured in turns, so that a machine that drifts is fair to all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

SLICE = 0.02  # seconds that one measurement lasts at least: many calls of what is fast, one of what is slow
WARM_UP = 2  # calls before anything counts: TorchScript compiles itself in its first two

QUICK = 0.2  # seconds; what the call before leaves behind is noticeable in shorter ones


def interleave(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    report: Callable[[], None] = lambda: None,
    warm_up: int = WARM_UP,
) -> np.ndarray:
    """Time every call once a round, one after the other, round after round.

    The call before has left the caches and the allocator in its own state; a quick one is therefore called once more before it is
    timed, so that what counts is a call after another of its kind, as in dynamics.

    Args:
        calls: C functions.
        rounds: R.
        report: Called after each of the C (R + 1) pieces of work, warm-up included.
        warm_up: Calls of each function before the first round, at least one.

    Returns:
        (C, R) seconds a call.
    """
    quick = []
    for call in calls:
        started = 0.0
        for _ in range(warm_up):
            started = time.perf_counter()
            call()
        quick.append(time.perf_counter() - started < QUICK)
        report()
    seconds = np.empty((len(calls), rounds))
    for r in range(rounds):
        for c, call in enumerate(calls):
            if quick[c]:
                call()
            seconds[c, r] = time_call(call)
            report()
    return seconds


def time_call(call: Callable[[], object]) -> float:
    """Seconds a call, averaged over as many as fill a slice of time."""
    n_calls, started = 0, time.perf_counter()
    while True:
        call()
        n_calls += 1
        elapsed = time.perf_counter() - started
        if elapsed >= SLICE:
            return elapsed / n_calls


def quartiles(seconds: np.ndarray) -> Mapping[str, float]:
    """Median and quartiles of the rounds (R,), by the names that `Measurement` gives them."""
    q25, median, q75 = np.quantile(seconds, (0.25, 0.5, 0.75)).tolist()
    return {"q25": q25, "median": median, "q75": q75}
