"""Which student to use for a structure, on this machine: measured speed, known errors, and one rule that chooses."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.md.velocitydistribution import thermalize_momenta

from mlff_distiller.constant_energy import NVESettings
from mlff_distiller.dynamics import load_for_dynamics
from mlff_distiller.engines import Engine, find_engine, list_engines, unknown_engine
from mlff_distiller.errors import ConfigError, DistillerError, EngineError, StructureError
from mlff_distiller.evaluation.benchmark.measure import Progress
from mlff_distiller.evaluation.drift import FS_PER_NS
from mlff_distiller.evaluation.training_regime import has_unseen_test
from mlff_distiller.export.artifact import Metadata, read_metadata
from mlff_distiller.registry import artifact_path
from mlff_distiller.units import MEV

SECONDS_PER_DAY = 86_400
BARE = "native"  # no engine: the student's own steps
SHORT_RUN = 10  # steps of the run that is taken off, since it holds the engine's start
TRIES = 3  # of a difference that other work on the machine has made negative
TEMPERATURE = 300.0  # K
SAME_ERROR = (
    1.1  # a student whose error is within this factor of the best one's is as good, by the default rule
)

RunSteps = Callable[[int], float]  # number of steps → seconds


@dataclass(frozen=True)
class Candidate:
    """A student and what is known of it for one structure.

    Attributes:
        student: Name or path.
        n_parameters: Of the network.
        force_error: Expected MAE of a force component, eV/Å: the held-out errors by element, weighted by the elements of the
            structure; None where the artifact records none for an element, or only errors on molecules that it was trained on.
        step_time: Seconds a step, the median of the rounds; None where it could not run.
        failure: Why not; None where it ran.
    """

    student: str
    n_parameters: int
    force_error: float | None
    step_time: float | None = None
    failure: str | None = None

    def ns_per_day(self, time_step: float) -> float | None:
        """Simulated ns in a day of wall time; ``time_step`` in fs."""
        if self.step_time is None:
            return None
        return SECONDS_PER_DAY / self.step_time * time_step / FS_PER_NS


@dataclass(frozen=True)
class Goal:
    """What the user needs; None where there is no such need.

    Attributes:
        ns_per_day: At least.
        max_error: Expected force MAE at most, eV/Å.
        time_step: fs.
    """

    ns_per_day: float | None = None
    max_error: float | None = None
    time_step: float = 0.5


@dataclass(frozen=True)
class Recommendation:
    """All candidates, and the one to use with the reason; ``chosen`` is None where none will do."""

    candidates: list[Candidate]
    chosen: Candidate | None
    reason: str


def _runner(engine: str) -> Engine | None:
    """The engine of a name; None for the student's own steps."""
    if engine == BARE:
        return None
    if engine not in (names := list_engines()):
        raise unknown_engine(engine, [BARE, *names])
    return find_engine(engine)


def recommend_student(
    atoms: Atoms,
    students: Sequence[str],
    engine: str,
    goal: Goal,
    rounds: int,
    n_steps: int,
    progress: Progress,
) -> Recommendation:
    """Time every student on a structure, in turns, and choose one.

    Args:
        atoms: N atoms; not changed.
        students: Names or paths of artifacts.
        engine: Name of an engine, or ``native``: without any.
        goal: What is needed.
        rounds: Measurements of each student.
        n_steps: Steps of each measurement.
        progress: Told of each part.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: Unknown engine, one that is not installed, or numbers out of range.
        StructureError: No student knows all elements of the structure.
    """
    if rounds < 1 or n_steps <= SHORT_RUN:
        raise ConfigError(
            f"expected at least 1 round of more than {SHORT_RUN} steps, got {rounds} of {n_steps}"
        )
    runner = _runner(engine)
    candidates = _known_candidates(atoms, students)
    done = progress.stage("timing", rounds * len(candidates))
    measured: dict[str, list[float]] = {candidate.student: [] for candidate in candidates}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for candidate in candidates:
            name = candidate.student
            if name not in failures:
                try:
                    measured[name].append(_step_time(atoms, name, runner, goal.time_step, n_steps))
                except DistillerError as error:  # say, atoms that fall onto each other
                    failures[name] = str(error)
            done()
    candidates = [
        replace(c, failure=failures[c.student])
        if c.student in failures
        else replace(c, step_time=float(np.median(measured[c.student])))
        for c in candidates
    ]
    return Recommendation(candidates, *choose(candidates, goal))


def expected_force_error(metadata: Metadata, symbols: Sequence[str]) -> float | None:
    """The MAE of a force component to expect of a student on a structure, from its held-out errors by element.

    Args:
        metadata: Of the student.
        symbols: (N,) elements of the structure.

    Returns:
        Σ_elements (n/N) MAE, eV/Å; None where the artifact has no error for an element, or where its errors are those on
        molecules that it was trained on: they promise nothing for another one.
    """
    if not has_unseen_test(metadata):
        return None
    errors = metadata.provenance.accuracy.get("test", {}).get("forces_by_element", {})
    if not set(symbols) <= set(errors):
        return None
    counts = Counter(symbols)
    return sum(count * errors[symbol]["mae"] for symbol, count in counts.items()) / len(symbols)


def choose(candidates: Sequence[Candidate], goal: Goal) -> tuple[Candidate | None, str]:
    """The student to use, and why, in a sentence.

    Of the students that ran and meet the needs: the one with the smallest expected error, or a faster one whose error is at
    most 1.1 times that. With a limit on the error alone: the fastest within it.
    """
    able = [c for c in candidates if c.step_time is not None and c.force_error is not None]
    if not able:
        return (
            None,
            "no student both ran and has errors on unseen molecules for all elements of this structure",
        )
    fast = [c for c in able if goal.ns_per_day is None or _speed(c, goal) >= goal.ns_per_day]
    if not fast:
        best = max(able, key=lambda c: _speed(c, goal))
        return None, (
            f"none reaches {goal.ns_per_day:g} ns/day; the fastest is {best.student} with {_speed(best, goal):.3g}"
        )
    good = [c for c in fast if goal.max_error is None or _error(c) <= goal.max_error]
    if not good:
        best = min(fast, key=_error)
        among = "" if goal.ns_per_day is None else f" of those that reach {goal.ns_per_day:g} ns/day"
        return None, (
            f"none is within {MEV * (goal.max_error or 0):g} meV/Å; the most accurate{among} is {best.student} with "
            f"{MEV * _error(best):.0f}"
        )
    if goal.max_error is not None and goal.ns_per_day is None:
        chosen = max(good, key=lambda c: _speed(c, goal))
        return chosen, f"the fastest within {MEV * goal.max_error:g} meV/Å"
    best = min(good, key=_error)
    chosen = max((c for c in good if _error(c) <= SAME_ERROR * _error(best)), key=lambda c: _speed(c, goal))
    among = "" if goal.ns_per_day is None else f" of those that reach {goal.ns_per_day:g} ns/day"
    if chosen is best:
        return chosen, f"the smallest expected error{among}, and none as good is faster"
    return chosen, f"faster than {best.student}, whose expected error is less than 10 % smaller{among}"


def _speed(candidate: Candidate, goal: Goal) -> float:
    return candidate.ns_per_day(goal.time_step) or 0.0


def _error(candidate: Candidate) -> float:
    return np.inf if candidate.force_error is None else candidate.force_error


def _known_candidates(atoms: Atoms, students: Sequence[str]) -> list[Candidate]:
    """The students that know all elements of the structure."""
    symbols = atoms.get_chemical_symbols()
    found, unknown = [], {}
    for student in students:
        metadata = read_metadata(artifact_path(student))
        if missing := sorted(set(symbols) - set(metadata.elements)):
            unknown[student] = missing
            continue
        found.append(Candidate(student, metadata.n_parameters, expected_force_error(metadata, symbols)))
    if not found:
        words = "; ".join(
            f"{student} does not know {', '.join(missing)}" for student, missing in unknown.items()
        )
        raise StructureError(
            f"no student knows all elements of this structure ({words}); distil one for this chemistry with `mlffd distill`"
        )
    return found


def _step_time(atoms: Atoms, student: str, engine: Engine | None, time_step: float, n_steps: int) -> float:
    """Seconds a step: a long run minus a short one, so that the start of the engine does not count.

    Raises:
        EngineError: The short run took longer, so other work on the machine hides the step.
    """
    run = bare_run(atoms, student) if engine is None else _engine_run(atoms, student, engine, time_step)
    run(SHORT_RUN)  # imports, compilation
    for _ in range(TRIES):
        short = run(SHORT_RUN)
        if (seconds := run(n_steps) - short) > 0:
            return seconds / (n_steps - SHORT_RUN)
    raise EngineError(
        f"{n_steps} steps took no longer than {SHORT_RUN}, {TRIES} times: the machine is too busy, or --steps too small"
    )


def _engine_run(atoms: Atoms, student: str, engine: Engine, time_step: float) -> RunSteps:
    """Dynamics at constant energy from thermal velocities, as `mlffd nve` runs it."""
    start = atoms.copy()
    start.set_constraint()
    thermalize_momenta(start, TEMPERATURE, rng=np.random.default_rng(0))

    def run(n_steps: int) -> float:
        settings = NVESettings(
            temperature=TEMPERATURE,
            n_steps=n_steps,
            time_step=time_step,
            n_equilibration=0,
            interval=SHORT_RUN,
            frame_interval=SHORT_RUN,
        )
        moving = start.copy()
        started = time.perf_counter()
        engine.nve(moving, student, settings)
        return time.perf_counter() - started

    return run


def bare_run(atoms: Atoms, student: str) -> RunSteps:
    """The student alone with its neighbour list, on atoms that vibrate."""
    potential = load_for_dynamics(student)
    rng = np.random.default_rng(0)

    def run(n_steps: int) -> float:
        started = time.perf_counter()
        for _ in range(n_steps):
            moved = atoms.positions + rng.uniform(-0.02, 0.02, atoms.positions.shape)
            potential.evaluate(atoms.numbers, moved, atoms.cell.array, atoms.pbc)
        return time.perf_counter() - started

    return run
