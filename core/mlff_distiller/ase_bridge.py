"""Between ASE and the core: structures to tensors and graphs, predictions to the results of a calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from mlff_distiller.graph import Graph, checked_graph
from mlff_distiller.model.potential import Evaluation

PROPERTIES = ("energy", "free_energy", "forces", "stress", "energies")


def structure_tensors(atoms: Atoms) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Copies of atomic_numbers (N,), positions (N, 3) Å, cell (3, 3) Å and pbc (3,)."""
    return (
        torch.from_numpy(atoms.numbers.astype(np.int64)),
        torch.from_numpy(atoms.positions.copy()),
        torch.from_numpy(np.array(atoms.cell)),
        torch.from_numpy(atoms.pbc.copy()),
    )


def structures_graph(structures: Sequence[Atoms], cutoff: float) -> Graph:
    """ASE structures as one graph."""
    counts = torch.tensor([len(atoms) for atoms in structures])
    return checked_graph(
        torch.from_numpy(np.concatenate([atoms.numbers for atoms in structures])).long(),
        torch.from_numpy(np.concatenate([atoms.positions for atoms in structures])),
        torch.repeat_interleave(torch.arange(len(structures)), counts),
        torch.from_numpy(np.stack([atoms.cell.array for atoms in structures])),
        torch.from_numpy(np.stack([atoms.pbc for atoms in structures])),
        cutoff,
    )


def ase_results(evaluation: Evaluation, atoms: Atoms) -> dict[str, Any]:
    """The results of a structure in ASE's names, units and orders.

    Stress only where it is periodic in three directions. A committee's spread is not among them: ASE knows no such property.
    """
    results: dict[str, Any] = {
        "energy": evaluation.energy,
        "free_energy": evaluation.energy,
        "forces": evaluation.forces,
        "energies": evaluation.atomic_energies,
    }
    if atoms.pbc.all():
        results["stress"] = full_3x3_to_voigt_6_stress(-evaluation.virial / atoms.get_volume())
    return results
