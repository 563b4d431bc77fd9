"""Prints by how many bytes this process grows over many calls of a backend: `python -m tests.memory_growth BACKEND FILE`.

A process of its own, so that nothing else that runs in the tests is counted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from ase import Atoms
from ase.build import molecule

from mlff_distiller import load
from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.export.onnx import OnnxPotential
from mlff_distiller.model.potential import Potential
from mlff_distiller.native import NativePotential
from mlff_distiller_ase import DistilledCalculator

WARM_UP, CALLS = 1_000, 10_000
Evaluate = Callable[[int], object]  # of the number of the call


def structures() -> list[Atoms]:
    """Two molecules in turn, every time at other positions."""
    found = [molecule(name) for name in ("H2O", "CH4") * 10]
    for seed, atoms in enumerate(found):
        atoms.rattle(0.02, seed=seed)
    return found


def resident_bytes() -> int:
    """Physical memory that the process holds (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def by_edges(potential: Potential) -> Evaluate:
    graphs = [structures_graph([atoms], potential.cutoff) for atoms in structures()]
    return lambda call: potential.compute(*graphs[call % len(graphs)])


def by_calculator(backend: str, path: Path) -> Evaluate:
    calculator = DistilledCalculator(path, backend=backend)
    atoms = structures()
    return lambda call: calculator.get_forces(atoms[call % len(atoms)])


BACKENDS: dict[str, Callable[[Path], Evaluate]] = {
    "torchscript": lambda path: by_edges(load(path)),
    "native": lambda path: by_edges(NativePotential(path)),
    "onnx": lambda path: by_edges(OnnxPotential(path, threads=1)),
    "ase-native": lambda path: by_calculator("native", path),
    "ase-torch": lambda path: by_calculator("torch", path),
}


def growth(evaluate: Evaluate) -> int:
    """Bytes gained over `CALLS` calls, after `WARM_UP` that fill what is kept on purpose."""
    for call in range(WARM_UP):
        evaluate(call)
    start = resident_bytes()
    for call in range(CALLS):
        evaluate(call)
    return resident_bytes() - start


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(growth(BACKENDS[sys.argv[1]](Path(sys.argv[2]))))
