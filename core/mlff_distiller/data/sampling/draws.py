"""Random draws that several recipes need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def any_of(items: Sequence[Item], rng: np.random.Generator) -> Item:
    """One of the items, each as likely as the others."""
    return items[int(rng.integers(len(items)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number in [low, high] whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def unit_vector(rng: np.random.Generator) -> np.ndarray:
    """(3,) direction, uniform on the sphere."""
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)
