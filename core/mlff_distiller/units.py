"""The units and signs of the whole package, said once.

Energies are in eV, lengths in Å, masses in u, times in fs. Hence forces are in eV/Å and stresses in eV/Å³.

- ``edge_vec = positions[j] + shift @ cell - positions[i]`` points from the receiver i to the sender j.
- stress = dE/dε / V with ASE's sign and Voigt order xx yy zz yz xz xy; virial = -dE/dε = -V · stress.

A plugin converts once, at its own boundary, with constants derived from ``ase.units`` (CODATA values).
"""

from __future__ import annotations

import torch
from torch import Tensor

UNITS = {
    "energy": "eV",
    "length": "Angstrom",
    "forces": "eV/Angstrom",
    "stress": "eV/Angstrom^3",
    "mass": "u",
    "time": "fs",
}

FS_PER_PS = 1000.0
MEV = 1000.0  # meV per eV: tables and plots show errors in meV


def virial_to_stress(virial: Tensor, cell: Tensor) -> Tensor:
    """stress = -virial / V for each structure.

    Args:
        virial: (B, 3, 3) eV.
        cell: (B, 3, 3) Å, rows are lattice vectors.

    Returns:
        (B, 3, 3) eV/Å³; zero where the cell has no volume, since a molecule has no stress.
    """
    a, b, c = cell.to(virial.dtype).unbind(1)  # (B, 3) each
    volume = (a * torch.linalg.cross(b, c)).sum(1).abs()  # (B,); not det, which ONNX does not check
    safe = torch.where(volume > 0, volume, torch.ones_like(volume))
    stress = -virial / safe[:, None, None]
    return torch.where((volume > 0)[:, None, None], stress, torch.zeros_like(stress))
