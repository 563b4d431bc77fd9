"""Structures a second of whole training steps on a GPU: plain, compiled, and as CUDA graphs.

Run with:  python examples/15_training_on_a_gpu.py LABELS.h5 [--presets original,tiny] [--batch-size 64] [--steps 200]
Each number is the median over the second half of a training run of so many steps, validations left out.
"""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from mlff_distiller.data.schema import read_dataset
from mlff_distiller.data.statistics import fit_reference_energies
from mlff_distiller.model.presets import build_student
from mlff_distiller.training.batches import GraphSet
from mlff_distiller.training.config import TrainingConfig
from mlff_distiller.training.trainer import train

WAYS = {  # compile, cuda_graphs
    "plain": (False, False),
    "compiled": (True, False),
    "CUDA graphs": (True, True),
}


def main(
    labels: Annotated[Path, typer.Argument(help="Labelled frames.")],
    presets: Annotated[
        str, typer.Option(help="Sizes of students, with commas.")
    ] = "original,tiny,ultra-tiny",
    batch_size: Annotated[int, typer.Option(help="Structures in a batch.")] = 64,
    steps: Annotated[int, typer.Option(help="Steps of each run.")] = 200,
    accelerator: Annotated[Literal["cuda", "cpu"], typer.Option(help="A CPU has no graphs.")] = "cuda",
) -> None:
    """Measure and print a table."""
    dataset = read_dataset(labels)
    table = Table("preset", *(f"{way}, structures/s" for way in WAYS), "graphs over plain")
    device = torch.cuda.get_device_name() if accelerator == "cuda" else "CPU"
    table.title = f"{device}, batches of {batch_size}, {dataset.n_atoms.mean():.1f} atoms a structure"
    for preset in presets.split(","):
        student = build_student(preset, elements=np.unique(dataset.atomic_numbers).tolist())
        student.set_scales(fit_reference_energies(dataset), energy_scale=1.0, mean_neighbors=15.0)
        graphs, few = GraphSet(dataset, student), GraphSet(dataset.select([0, 1]), student)
        epochs = math.ceil(steps * batch_size / len(dataset))
        rates = []
        for compiled, graphed in WAYS.values():
            config = TrainingConfig(
                epochs=epochs,
                batch_size=batch_size,
                validate_every=epochs,
                accelerator=accelerator,
                compile=compiled,
                cuda_graphs=graphed,
            )
            rates.append(batch_size / seconds_per_step(student, graphs, few, config))
        table.add_row(preset, *(f"{rate:,.0f}" for rate in rates), f"{rates[-1] / rates[0]:.1f}")
    Console().print(table)


def seconds_per_step(student, graphs: GraphSet, valid: GraphSet, config: TrainingConfig) -> float:
    """Median over the second half of a run."""
    times: list[float] = []

    def report(done: int, total: int, latest: object) -> None:
        times.append(time.perf_counter())

    with TemporaryDirectory() as folder:
        train(student, graphs, valid, config, Path(folder), report)
    return statistics.median(np.diff(times)[len(times) // 2 :])


if __name__ == "__main__":
    typer.run(main)
