"""Functions of the distance: the Bessel basis and the smooth cutoff.  E edges, R radial functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn


class BesselBasis(nn.Module):
    """sqrt(2/r_c) sin(nπr/r_c)/r for n = 1…R (Gasteiger, Groß, Günnemann, ICLR 2020, arXiv:2003.03123, eq. 7)."""

    if TYPE_CHECKING:
        frequencies: Tensor

    def __init__(self, n_rbf: int, cutoff: float) -> None:
        super().__init__()
        self.prefactor = math.sqrt(2.0 / cutoff)
        frequencies = torch.arange(1, n_rbf + 1, dtype=torch.float64) * math.pi / cutoff
        self.register_buffer("frequencies", frequencies.to(torch.get_default_dtype()))  # (R,)

    def forward(self, r: Tensor) -> Tensor:
        """(E, 1) distances in Å → (E, R)."""
        return self.prefactor * torch.sin(r * self.frequencies) / r


class PolynomialCutoff(nn.Module):
    """1 - 10x³ + 15x⁴ - 6x⁵ with x = r/r_c: one at 0, and zero with two derivatives at the cutoff and beyond."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, r: Tensor) -> Tensor:
        """(E, 1) distances in Å → (E, 1)."""
        x = (r / self.cutoff).clamp(max=1.0)  # edges of a list with a skin may lie beyond the cutoff
        return 1.0 - x**3 * (10.0 - x * (15.0 - 6.0 * x))
