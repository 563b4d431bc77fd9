"""The teacher audit: label frames of a student's own trajectory with its teacher, and see where the student is wrong.

A frame is flagged where the force RMSE is more than ``factor`` times that of held-out frames of the same regime, where the
largest |F| of the teacher, the shortest distance or the stretch of a bond is beyond what the filters let into the training data,
and where student or teacher cannot evaluate it at all. This needs the artifact and the frames only.

T frames, N atoms each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from mlff_distiller.bonds import find_bonds
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.statistics import min_distances
from mlff_distiller.data.teachers import Teacher
from mlff_distiller.data.trajectory_frames import TrajectoryFrames
from mlff_distiller.errors import StructureError, TeacherError
from mlff_distiller.evaluation.metrics import ForceErrors, force_errors
from mlff_distiller.evaluation.training_regime import (
    HeldOut,
    TrainingLimits,
    matching_regime,
    training_limits,
)
from mlff_distiller.evaluation.trajectory import lengths_of
from mlff_distiller.export.artifact import Metadata

FACTOR = 2.0  # 2 to 5 % of the held-out frames of dynamics are beyond twice their own RMSE (docs/audit.md)
REGIME = "audit"  # of the frames in the datasets that an audit writes


@dataclass(frozen=True)
class FrameErrors:
    """Errors of L labelled frames; each array (L,).

    Attributes:
        frame: Number of the frame in its file.
        force_mae, force_rmse: Over the components of the frame's forces, eV/Å.
        force_max: Largest |ΔF| of an atom, eV/Å.
        energy: E_student − E_teacher per atom, less its mean over the usable frames, eV.
        teacher_max_force, student_max_force: Largest |F| of an atom, eV/Å.
        min_distance: Shortest distance of two atoms, Å.
        max_stretch: Largest lengthening of a bond of the trajectory's first frame, Å; 0 without bonds.
    """

    frame: np.ndarray
    force_mae: np.ndarray
    force_rmse: np.ndarray
    force_max: np.ndarray
    energy: np.ndarray
    teacher_max_force: np.ndarray
    student_max_force: np.ndarray
    min_distance: np.ndarray
    max_stretch: np.ndarray


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        errors: Of the frames that both could evaluate.
        failures: Why the others could not be, by number of the frame.
        flags: Reasons, by number of the frame; frames that failed are among them.
        usable: (L,) bool, frames within the limits of the training filters: those that may be trained on.
        forces: Errors over all labelled frames.
        regime: The held-out frames that the trajectory is measured by.
        factor: Times their RMSE is too much.
        limits: Of the training filters.
        labels: The L labelled frames, with the teacher's labels.
    """

    errors: FrameErrors
    failures: dict[int, str]
    flags: dict[int, list[str]]
    usable: np.ndarray
    forces: ForceErrors
    regime: HeldOut
    factor: float
    limits: TrainingLimits
    labels: Dataset

    @property
    def threshold(self) -> float:
        """Force RMSE of a frame beyond which it is flagged, eV/Å."""
        return self.factor * self.regime.force_rmse

    @property
    def energy_mae(self) -> float:
        """Mean |energy error| per atom relative to the mean, eV."""
        return float(np.abs(self.errors.energy).mean())


def audit_frames(
    source: TrajectoryFrames,
    student: Teacher,
    teacher: Teacher,
    metadata: Metadata,
    factor: float = FACTOR,
    regime: str | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> Audit:
    """Compare a student with its teacher along a trajectory.

    Args:
        source: T frames of one system.
        student: From `mlff_distiller.data.student_teacher.student_teacher`.
        teacher: Labels the same frames.
        metadata: Of the student.
        factor: Times the held-out force RMSE beyond which a frame is flagged.
        regime: Of the held-out frames to measure by; None means the one that matches (`matching_regime`).
        report: Called with the number of frames done.

    Raises:
        StructureError: The student does not know an element, or no frame can be evaluated.
        ConfigError: The artifact records no held-out errors, or no such regime.
    """
    _check_elements(source.frames[0], metadata)
    predicted, labelled, numbers, failures = [], [], [], {}
    for done, (number, atoms) in enumerate(zip(source.numbers, source.frames, strict=True), start=1):
        try:
            pair = student.label(atoms), teacher.label(atoms)
        except TeacherError as error:
            failures[number] = str(error)
        else:
            predicted.append(pair[0])
            labelled.append(pair[1])
            numbers.append(number)
        report(done)
    if not labelled:
        raise StructureError(
            f"none of the {len(failures)} frames could be evaluated; of the first: {next(iter(failures.values()))}"
        )
    limits = training_limits(metadata)
    labels = Dataset.from_atoms(labelled, teacher.metadata())
    stretch = _max_stretches(source.frames[0], labelled)
    errors, usable = _frame_errors(numbers, predicted, labels, stretch, limits)
    forces = force_errors(_forces(predicted), labels.forces.astype(np.float64))
    # The median: a few frames that have gone wrong must not choose a hotter regime for all.
    held_out = matching_regime(metadata, float(np.median(_rms_by_frame(labels, labels.forces))), regime)
    flags = _flags(errors, held_out, factor, limits)
    flags |= {number: [f"cannot be evaluated: {reason}"] for number, reason in failures.items()}
    return Audit(
        errors, failures, dict(sorted(flags.items())), usable, forces, held_out, factor, limits, labels
    )


def choose_parts(audit: Audit, n_worst: int) -> dict[str, np.ndarray]:
    """Which labelled frames to train on, and which to validate and test with.

    The worst are trained on; the others alternate between validation and test. Frames beyond the limits of the training filters
    are in no part: they are wreckage, and would pull the student away from what it is used for.

    Args:
        audit: L labelled frames.
        n_worst: Frames to train on, at most all but two.

    Returns:
        Ascending indices into the labelled frames for ``worst``, ``valid`` and ``test``; nothing with fewer than three usable.
    """
    usable = np.flatnonzero(audit.usable)
    if len(usable) < 3:
        return {}
    ranked = usable[np.argsort(-audit.errors.force_rmse[usable], kind="stable")]
    n_worst = max(1, min(n_worst, len(usable) - 2))
    rest = np.sort(ranked[n_worst:])
    return {"worst": np.sort(ranked[:n_worst]), "valid": rest[::2], "test": rest[1::2]}


def _check_elements(atoms: Atoms, metadata: Metadata) -> None:
    unknown = sorted({chemical_symbols[z] for z in atoms.numbers.tolist()} - set(metadata.elements))
    if unknown:
        raise StructureError(
            f"the trajectory holds {', '.join(unknown)}, which {metadata.name!r} does not know; "
            f"it knows {', '.join(metadata.elements)}. Is it the trajectory of this student?"
        )


def _max_stretches(start: Atoms, frames: Sequence[Atoms]) -> np.ndarray:
    """(T,) Å by which a bond of ``start`` is longer at most; 0 where none is."""
    bonds, lengths = find_bonds(start)
    return np.array(
        [(lengths_of(bonds, atoms.positions, atoms) - lengths).max(initial=0.0) for atoms in frames]
    )


def _frame_errors(
    numbers: Sequence[int],
    predicted: Sequence[Atoms],
    labels: Dataset,
    stretch: np.ndarray,
    limits: TrainingLimits,
) -> tuple[FrameErrors, np.ndarray]:
    """The errors of each frame, and which frames are usable (L,)."""
    forces = _forces(predicted)
    difference = forces - labels.forces
    distances = min_distances(labels)
    teacher_max = _max_norm_by_frame(labels, labels.forces)
    usable = (teacher_max <= limits.max_force) & (distances >= limits.min_distance)
    if limits.max_stretch is not None:
        usable &= stretch <= limits.max_stretch
    energy = np.array([atoms.get_potential_energy() for atoms in predicted])
    energy_error = (energy - labels.energy) / labels.n_atoms
    centre = energy_error[usable].mean() if usable.any() else energy_error.mean()
    errors = FrameErrors(
        frame=np.array(numbers),
        force_mae=np.add.reduceat(np.abs(difference).mean(axis=1), labels.splits[:-1]) / labels.n_atoms,
        force_rmse=_rms_by_frame(labels, difference),
        force_max=_max_norm_by_frame(labels, difference),
        energy=energy_error - centre,
        teacher_max_force=teacher_max,
        student_max_force=_max_norm_by_frame(labels, forces),
        min_distance=distances,
        max_stretch=stretch,
    )
    return errors, usable


def _flags(
    errors: FrameErrors, regime: HeldOut, factor: float, limits: TrainingLimits
) -> dict[int, list[str]]:
    """Reasons by number of the frame, for frames that have any."""
    threshold = factor * regime.force_rmse
    flags: dict[int, list[str]] = {}
    for k, number in enumerate(errors.frame.tolist()):
        reasons = []
        if errors.force_rmse[k] > threshold:
            reasons.append("force error")
        if errors.teacher_max_force[k] > limits.max_force:
            reasons.append("force larger than the filters allow")
        if errors.min_distance[k] < limits.min_distance:
            reasons.append("atoms closer than the filters allow")
        if limits.max_stretch is not None and errors.max_stretch[k] > limits.max_stretch:
            reasons.append("a bond longer than the filters allow")
        if reasons:
            flags[number] = reasons
    return flags


def _forces(frames: Sequence[Atoms]) -> np.ndarray:
    """(A, 3) eV/Å of frames that carry them."""
    return np.concatenate([atoms.get_forces() for atoms in frames])


def _rms_by_frame(labels: Dataset, vectors: np.ndarray) -> np.ndarray:
    """RMS component of (A, 3) over each frame, (L,)."""
    squares = (vectors.astype(np.float64) ** 2).mean(axis=1)
    return np.sqrt(np.add.reduceat(squares, labels.splits[:-1]) / labels.n_atoms)


def _max_norm_by_frame(labels: Dataset, vectors: np.ndarray) -> np.ndarray:
    """Largest norm of (A, 3) in each frame, (L,)."""
    return np.maximum.reduceat(np.linalg.norm(vectors, axis=1), labels.splits[:-1])
