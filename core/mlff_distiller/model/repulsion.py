"""Short-range repulsion of screened nuclei: holds atoms apart where no training data are.  E edges, N atoms, S species."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from ase.data import covalent_radii
from ase.units import Bohr, Hartree
from torch import Tensor, nn

from mlff_distiller.graph import sum_edges

REACH = 0.7  # of the sum of the covalent radii: shorter than any bond gets in dynamics
_COULOMB = Hartree * Bohr  # e²/(4πε₀) in eV Å


class ZBLRepulsion(nn.Module):
    """Ziegler-Biersack-Littmark universal potential, switched off at 0.7 times the sum of the covalent radii.

    V(r) = e²/(4πε₀) Z_i Z_j / r · φ(r/a),  a = 0.8854 a₀ / (Z_i^0.23 + Z_j^0.23), times the polynomial envelope
    1 - 28x⁶ + 48x⁷ - 21x⁸ with x = r / 0.7(R_i + R_j), which vanishes with two derivatives at x = 1. Constants: Ziegler,
    Biersack, Littmark, *The Stopping and Range of Ions in Solids* (Pergamon, 1985), as in LAMMPS ``pair_style zbl``.
    It must end below the shortest bond of a vibrating molecule: its third derivative jumps where it ends, and bonds that cross
    that point in every vibration make the energy of a trajectory wander.
    """

    if TYPE_CHECKING:
        charge: Tensor
        charge_power: Tensor
        radius: Tensor
        amplitudes: Tensor
        exponents: Tensor

    def __init__(self, elements: Sequence[int]) -> None:
        super().__init__()
        numbers = torch.tensor([float(z) for z in elements])
        dtype = torch.get_default_dtype()
        self.register_buffer("charge", numbers.to(dtype))  # (S,)
        self.register_buffer("charge_power", (numbers.double() ** 0.23).to(dtype))  # (S,)
        self.register_buffer(
            "radius", torch.tensor([REACH * covalent_radii[z] for z in elements], dtype=dtype)
        )  # (S,)
        self.register_buffer("amplitudes", torch.tensor([0.18175, 0.50986, 0.28022, 0.02817], dtype=dtype))
        self.register_buffer("exponents", torch.tensor([3.19980, 0.94229, 0.40290, 0.20162], dtype=dtype))
        self.coulomb = float(_COULOMB)
        self.screening_length = 0.8854 * float(Bohr)

    def forward(self, species: Tensor, edge_index: Tensor, edge_vec: Tensor) -> Tensor:
        """species (N,), edge_index (2, E), edge_vec (E, 3) Å → energy per atom (N,) eV, half of each pair's to each atom."""
        i, j = species[edge_index[0]], species[edge_index[1]]
        r = torch.linalg.vector_norm(edge_vec, dim=1)  # (E,)
        scaled = r * (self.charge_power[i] + self.charge_power[j]) / self.screening_length
        phi = (self.amplitudes * torch.exp(-scaled.unsqueeze(1) * self.exponents)).sum(1)
        x = (r / (self.radius[i] + self.radius[j])).clamp(max=1.0)
        envelope = 1.0 - x**6 * (28.0 - x * (48.0 - 21.0 * x))
        pair = self.coulomb * self.charge[i] * self.charge[j] / r * phi * envelope
        return 0.5 * sum_edges(pair, edge_index[0], species.shape[0])
