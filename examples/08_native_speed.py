"""Microseconds per atom and step of the native engine against TorchScript, interleaved on the same cores.

Run with:  python examples/08_native_speed.py [--threads 1] [--rounds 5] [--students tiny,ultra-tiny] [--sizes 21,192,1536]
One molecule of aspirin (21 atoms), and boxes of liquid water with about 54 edges an atom. A step is energy, forces and
virial. TorchScript is given its edges; the native engine's time includes its neighbour list, as in a simulation with
moving atoms. Each number is the fastest of the rounds, since other work on the machine can only slow a step down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import typer
from ase import Atoms
from rich.console import Console
from rich.table import Table

from mlff_distiller import load
from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.data.sampling.config import ConformerConfig
from mlff_distiller.data.sampling.conformers import embed
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.native import NativePotential
from mlff_distiller.registry import artifact_path

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
STEPS = 10  # of native steps a round; atoms move a little in each


def main(
    threads: Annotated[int, typer.Option(help="CPU threads of both engines.")] = 1,
    rounds: Annotated[int, typer.Option(help="Times that each step is measured.")] = 5,
    students: Annotated[
        str, typer.Option(help="Names or paths, with commas between.")
    ] = "ultra-tiny,tiny,original",
    sizes: Annotated[str, typer.Option(help="Numbers of atoms: 21, or multiples of 3.")] = "21,192,1536",
) -> None:
    """Measure and print a table."""
    torch.set_num_threads(threads)
    table = Table(
        "student", "atoms", "edges/atom", "TorchScript µs/atom", "native µs/atom", "ratio", "native µs/step"
    )
    for name in students.split(","):
        native = NativePotential(artifact_path(name), threads)
        table.title = f"{threads} thread(s), instruction set {native.isa}"
        for size in sizes.split(","):
            table.add_row(name, size, *measure(name, native, structure(int(size)), rounds))
    Console().print(table)


def measure(name: str, native: NativePotential, atoms: Atoms, rounds: int) -> list[str]:
    """The cells of one row of the table."""
    script = load(name)
    graph = structures_graph([atoms], script.cutoff)
    positions, cell = atoms.positions.copy(), atoms.cell.array
    rng = np.random.default_rng(0)

    def native_step() -> None:
        moved = positions + rng.uniform(-0.05, 0.05, positions.shape)
        native.evaluate(atoms.numbers, moved, cell, atoms.pbc)

    best = {"script": np.inf, "native": np.inf}
    for _ in range(
        rounds + 2
    ):  # TorchScript compiles itself in its first two calls; they are never the fastest
        best["script"] = min(best["script"], seconds(lambda: script.compute(*graph)))
        for _ in range(STEPS):
            best["native"] = min(best["native"], seconds(native_step))
    per_atom = {engine: 1e6 * value / len(atoms) for engine, value in best.items()}
    return [
        f"{graph.edge_index.shape[1] / len(atoms):.0f}",
        f"{per_atom['script']:.0f}",
        f"{per_atom['native']:.1f}",
        f"{per_atom['script'] / per_atom['native']:.0f}",
        f"{1e6 * best['native']:.0f}",
    ]


def seconds(step: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def structure(n_atoms: int) -> Atoms:
    """Aspirin for 21 atoms, else a box of water molecules on a grid, turned at random."""
    if n_atoms == 21:
        return embed(ASPIRIN, np.random.default_rng(1), ConformerConfig())[0]
    n = round((n_atoms / 3) ** (1 / 3))
    if 3 * n**3 != n_atoms:
        raise typer.BadParameter(
            f"expected 21 or 3 n³ atoms (24, 81, 192, 375, …, 1536, 12288), got {n_atoms}"
        )
    return water_box(n)


if __name__ == "__main__":
    typer.run(main)
