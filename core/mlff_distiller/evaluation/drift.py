"""The drift of the total energy in a run at constant energy.

The drift is the slope of the total energy against time, in meV per atom and ns: it does not depend on how long one looks, nor
on where the zero of energy is, as a percentage of |E| would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlff_distiller.constant_energy import EnergyTrace
from mlff_distiller.errors import ConfigError
from mlff_distiller.units import MEV

FS_PER_NS = 1e6
N_BLOCKS = (
    20  # of the energies that are fitted: longer than a vibration, short enough to see the energy wander
)
MIN_RECORDS = 4  # a slope, its error and something left over
WALK_RATIOS = np.concatenate(
    [[0.0], np.logspace(-6, 3, 46)]
)  # variance of a walk's step over that of the noise


@dataclass(frozen=True)
class Drift:
    """Slope of the total energy with its standard error, and what is left after the slope is taken out."""

    slope: float  # meV/atom/ns
    standard_error: float  # meV/atom/ns
    rms_fluctuation: float  # meV/atom


def fit_drift(trace: EnergyTrace) -> Drift:
    """Slope of the total energy per atom and its standard error, by generalised least squares.

    The energy fluctuates about a slope, and it may also wander: rounding and cutoffs add small changes that are never taken
    back. For a wandering energy the usual standard error is several times too small. So the noise of the block means is that
    of a random walk on top of independent noise. The ratio of the two is not known; slopes and errors are averaged over it,
    weighted by the restricted likelihood (Harville, J. Am. Stat. Assoc. 72, 320 (1977)).

    Raises:
        ConfigError: Fewer than four records, or energies that are not finite.
    """
    energy = MEV * trace.total / trace.n_atoms  # meV/atom
    if len(energy) < MIN_RECORDS or not np.isfinite(energy).all():
        finite = int(np.isfinite(energy).sum())
        raise ConfigError(
            f"expected at least {MIN_RECORDS} finite energies to fit a drift to, got {finite} of {len(energy)}; run longer, or "
            "with a smaller time step"
        )
    n_blocks = min(N_BLOCKS, len(energy))
    blocks = np.array([block.mean() for block in np.array_split(energy, n_blocks)])
    time = np.array([block.mean() for block in np.array_split(trace.time, n_blocks)])
    slope, variance = _average_fits(blocks, time - time.mean())
    residual = energy - slope * trace.time
    return Drift(
        slope=float(slope * FS_PER_NS),
        standard_error=float(np.sqrt(variance) * FS_PER_NS),
        rms_fluctuation=float(residual.std()),
    )


def _average_fits(values: np.ndarray, time: np.ndarray) -> tuple[float, float]:
    """Slope of B block means (B,) in time (B,), and its variance, averaged over the ratio of walk to independent noise."""
    fits = np.array([_fit_line(values, time, ratio) for ratio in WALK_RATIOS])
    slopes, variances, log_likelihoods = fits.T
    weights = np.exp(log_likelihoods - log_likelihoods.max())
    weights /= weights.sum()
    slope = weights @ slopes
    return float(slope), float(weights @ (variances + (slopes - slope) ** 2))


def _fit_line(values: np.ndarray, time: np.ndarray, walk_ratio: float) -> tuple[float, float, float]:
    """Generalised least squares for noise of covariance 1 + ratio · walk: slope, its variance, restricted log-likelihood."""
    n_blocks = len(values)
    index = np.arange(n_blocks)
    walk = np.minimum.outer(index, index) + np.where(
        np.eye(n_blocks, dtype=bool), 1 / 3, 1 / 2
    )  # of block means
    factor = np.linalg.cholesky(np.eye(n_blocks) + walk_ratio * walk)
    lines = np.linalg.solve(factor, np.column_stack([np.ones(n_blocks), time]))
    whitened = np.linalg.solve(factor, values)
    normal = lines.T @ lines
    inverse = np.linalg.inv(normal)
    solution = inverse @ (lines.T @ whitened)
    # A perfect line has no noise; the floor keeps its logarithm finite.
    scale = max(float(((whitened - lines @ solution) ** 2).sum()) / (n_blocks - 2), np.finfo(float).tiny)
    log_determinants = 2 * np.log(np.diag(factor)).sum() + np.linalg.slogdet(normal)[1]
    return solution[1], scale * inverse[1, 1], -0.5 * (log_determinants + (n_blocks - 2) * np.log(scale))
