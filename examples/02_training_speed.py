"""Structures a second in training, per preset: plain double backward, the compiled step and the native one, interleaved.

Run with:  python examples/02_training_speed.py [--threads 1] [--batch-size 16] [--rounds 5]
The frames are conformers of small organic molecules with random labels: speed does not depend on what is learnt.
"""

from __future__ import annotations

import statistics
import time
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.molecules import molecules
from mlff_distiller.data.sampling.config import ConformerConfig
from mlff_distiller.data.sampling.conformers import embed
from mlff_distiller.model.presets import PRESETS, build_student
from mlff_distiller.training.batches import Batch, GraphSet
from mlff_distiller.training.compiled import CompiledEnergyForces, EnergyForces
from mlff_distiller.training.losses import energy_loss, force_loss
from mlff_distiller.training.native import NativeEnergyForces


def main(
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Structures in a batch.")] = 16,
    rounds: Annotated[int, typer.Option(help="Times that each step is measured.")] = 5,
) -> None:
    """Measure and print a table."""
    torch.set_num_threads(threads)
    dataset = conformers(8 * batch_size)
    table = Table("preset", "plain structures/s", "compiled", "native", "compiled / plain", "native / plain")
    table.title = (
        f"{threads} thread(s), batches of {batch_size}, {dataset.n_atoms.mean():.1f} atoms a structure"
    )
    for preset in PRESETS:
        student = build_student(preset)
        graphs = GraphSet(dataset, student)
        batches = [graphs.collate(range(k, k + batch_size)) for k in range(0, len(graphs), batch_size)]
        ways = [EnergyForces(student), CompiledEnergyForces(student), NativeEnergyForces(student, threads)]
        for batch in batches:  # every size once, so that nothing is compiled while it is measured
            for model in ways:
                step(model, batch)
        seconds: list[list[float]] = [[] for _ in ways]
        for _ in range(rounds):
            for batch in batches:  # interleaved: a drifting machine is fair to all
                for model, measured in zip(ways, seconds, strict=True):
                    measured.append(step(model, batch))
        plain, compiled, native = (batch_size / statistics.median(measured) for measured in seconds)
        rates = (f"{rate:.0f}" for rate in (plain, compiled, native))
        table.add_row(preset, *rates, f"{compiled / plain:.1f}", f"{native / plain:.1f}")
    Console().print(table)


def conformers(n_structures: int) -> Dataset:
    """One RDKit conformer each of molecules spread over the list, with random labels."""
    names = molecules()
    chosen = [names[k] for k in np.linspace(0, len(names) - 1, n_structures).astype(int)]
    rng = np.random.default_rng(0)
    frames = [embed(name, rng, ConformerConfig(mmff_steps=0))[0] for name in chosen]
    splits = np.cumsum([0, *(len(atoms) for atoms in frames)])
    return Dataset(
        atomic_numbers=np.concatenate([atoms.numbers for atoms in frames]),
        splits=splits,
        positions=np.concatenate([atoms.positions for atoms in frames]),
        cells=np.zeros((n_structures, 3, 3)),
        pbc=np.zeros((n_structures, 3), dtype=bool),
        energy=rng.normal(size=n_structures),
        forces=rng.normal(size=(splits[-1], 3)),
        stress=None,
        molecule_id=np.array(chosen),
        regime=np.full(n_structures, "conformer"),
    )


def step(model: nn.Module, batch: Batch) -> float:
    """Seconds of one forward and backward pass."""
    started = time.perf_counter()
    energy, forces = model(*batch[:5])
    loss = 5 * energy_loss(energy, batch.energy, batch.n_atoms, 0.01) + 100 * force_loss(forces, batch.forces)
    loss.backward()
    model.zero_grad()
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
