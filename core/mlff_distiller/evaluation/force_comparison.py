"""Two sets of forces on the same atoms: errors of components, of vectors, of magnitudes and of directions.

A atoms; F the reference's forces, F̂ the predicted ones, ΔF = F̂ - F. Everything in eV/Å but angles, which are in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlff_distiller.evaluation.metrics import ForceErrors, force_errors

MIN_FORCE = 0.01  # eV/Å; a smaller force has no direction that a teacher would reproduce
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class ForceMetrics(ForceErrors):
    """Errors of forces over some atoms, eV/Å where nothing else is said.

    Attributes:
        magnitude_mae: Mean of ||F̂| - |F||.
        magnitude_bias: Mean of |F̂| - |F|; negative where the student's forces are too small.
        cosine: Mean cosine of the angle between F̂ and F; None where no atom has a direction.
        angle_mean: Mean of that angle, degrees; None likewise.
        angle_median: Median of it, degrees; None likewise.
        p50: Half of the atoms have an |ΔF| below this; the others are the 90th, 95th and 99th percentile.
        max: Largest |ΔF|.
    """

    magnitude_mae: float
    magnitude_bias: float
    cosine: float | None
    angle_mean: float | None
    angle_median: float | None
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, eq=False)
class ForceComparison:
    """Forces of A atoms beside their reference.

    Attributes:
        reference: (A, 3) eV/Å.
        predicted: (A, 3) eV/Å.
    """

    reference: np.ndarray
    predicted: np.ndarray

    def __len__(self) -> int:
        return len(self.reference)

    def select(self, chosen: np.ndarray) -> ForceComparison:
        """The atoms at ``chosen``, indices or a mask (A,)."""
        return ForceComparison(self.reference[chosen], self.predicted[chosen])

    @cached_property
    def error(self) -> np.ndarray:
        """ΔF, (A, 3) eV/Å."""
        return self.predicted - self.reference

    @cached_property
    def error_norm(self) -> np.ndarray:
        """|ΔF|, (A,) eV/Å."""
        return np.linalg.norm(self.error, axis=1)

    @cached_property
    def reference_norm(self) -> np.ndarray:
        """|F|, (A,) eV/Å."""
        return np.linalg.norm(self.reference, axis=1)

    @cached_property
    def predicted_norm(self) -> np.ndarray:
        """|F̂|, (A,) eV/Å."""
        return np.linalg.norm(self.predicted, axis=1)

    @cached_property
    def angle(self) -> np.ndarray:
        """Angle between F̂ and F, (A,) degrees; NaN where |F| < `MIN_FORCE` or F̂ = 0.

        atan2(|F × F̂|, F · F̂), since arccos loses half of the digits near 0° and 180° (W. Kahan).
        """
        sine = np.linalg.norm(np.cross(self.reference, self.predicted), axis=1)
        angle = np.degrees(np.arctan2(sine, (self.reference * self.predicted).sum(axis=1)))
        return np.where((self.reference_norm >= MIN_FORCE) & (self.predicted_norm > 0), angle, np.nan)


def r_squared(predicted: np.ndarray, reference: np.ndarray) -> float:
    """1 - Σ(x̂ - x)² / Σ(x - x̄)², both of one shape; NaN where the reference does not vary."""
    variance = float(((reference - reference.mean()) ** 2).sum())
    return 1.0 - float(((predicted - reference) ** 2).sum()) / variance if variance > 0 else float("nan")


def force_metrics(forces: ForceComparison) -> ForceMetrics:
    """All metrics over the atoms of a comparison, of which there must be one at least."""
    magnitude_error = forces.predicted_norm - forces.reference_norm
    angle = forces.angle[np.isfinite(forces.angle)]
    p50, p90, p95, p99 = np.percentile(forces.error_norm, PERCENTILES).tolist()
    return ForceMetrics(
        **vars(force_errors(forces.predicted, forces.reference)),
        magnitude_mae=float(np.abs(magnitude_error).mean()),
        magnitude_bias=float(magnitude_error.mean()),
        cosine=float(np.cos(np.radians(angle)).mean()) if angle.size else None,
        angle_mean=float(angle.mean()) if angle.size else None,
        angle_median=float(np.median(angle)) if angle.size else None,
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        max=float(forces.error_norm.max()),
    )
