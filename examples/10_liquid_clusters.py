"""Frames for a student that shall run in a liquid: clusters cut out of its own dynamics, some of them squeezed. Half a minute.

Run with:  python examples/10_liquid_clusters.py [--model ultra-tiny] [--frames 60] [--output clusters.xyz]
then:      mlffd label clusters.xyz -t gfn2-xtb -o clusters.h5
           mlffd train clusters.h5 more.h5 --preset tiny --init tiny -o run \
               --set training.epochs=30 --set training.optimizer.learning_rate=5e-4

The teacher is a molecular one, so it cannot label the box itself. Squeezed clusters show the student how molecules repel each
other: without them nothing tells it that a hydrogen bond must not collapse.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from rich.progress import track
from scipy.spatial.distance import cdist

from mlff_distiller.cli import run_app
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller_ase import DistilledCalculator

TEMPERATURES = (300.0, 450.0)  # K
STEPS_BETWEEN = 30  # of 0.5 fs, between the frames that clusters are cut from
CLUSTERS_PER_FRAME = 16
MAX_MOLECULES = 8
SQUEEZE = 0.6  # the smallest factor on the distances between molecules
MIN_CONTACT = 0.9  # Å between atoms of different molecules


def main(
    model: Annotated[str, typer.Option(help="A student that is stable in the liquid.")] = "ultra-tiny",
    frames: Annotated[int, typer.Option(help="Frames at each temperature.")] = 60,
    output: Annotated[Path, typer.Option(help="Extended XYZ file to write.")] = Path("clusters.xyz"),
    seed: Annotated[int, typer.Option(help="Of velocities, thermostat and choices.")] = 0,
) -> None:
    """Run the liquid, cut, squeeze, write."""
    rng = np.random.default_rng(seed)
    box = water_box(4)
    box.calc = DistilledCalculator(model)
    clusters: list[Atoms] = []
    for temperature in TEMPERATURES:
        thermalize_momenta(box, temperature, rng=rng)
        dynamics = Langevin(
            box, 0.5 * units.fs, temperature_K=temperature, friction=0.05 / units.fs, rng=rng, fixcm=False
        )
        dynamics.run(500)
        for _ in track(range(frames), description=f"{temperature:.0f} K"):
            dynamics.run(STEPS_BETWEEN)
            clusters += [cluster for _ in range(CLUSTERS_PER_FRAME) if (cluster := cut(box, rng)) is not None]
    write(output, clusters, format="extxyz")
    print(f"{len(clusters)} clusters: {output}")


def cut(box: Atoms, rng: np.random.Generator) -> Atoms | None:
    """A random water with its nearest neighbours, half of the time squeezed; None if two atoms came too close."""
    waters = box.positions.reshape(-1, 3, 3)  # (M, 3 atoms, 3)
    waters = waters[:, :1] + nearest_image(waters - waters[:, :1], box)  # whole molecules
    centre = rng.integers(len(waters))
    shifts = nearest_image(waters[:, 0] - waters[centre, 0], box)  # (M, 3), of the oxygens
    nearest = np.argsort(np.linalg.norm(shifts, axis=1))[: rng.integers(2, MAX_MOLECULES + 1)]
    factor = rng.uniform(SQUEEZE, 1.0) if rng.random() < 0.5 else 1.0
    molecules = waters[nearest] - waters[nearest, :1] + factor * shifts[nearest, None]
    if min(cdist(a, b).min() for k, a in enumerate(molecules) for b in molecules[:k]) < MIN_CONTACT:
        return None
    cluster = Atoms("OHH" * len(molecules), positions=molecules.reshape(-1, 3))
    cluster.info["molecule_id"] = "water clusters"
    return cluster


def nearest_image(vectors: np.ndarray, box: Atoms) -> np.ndarray:
    """Vectors (..., 3) Å in a cubic box."""
    length = box.cell.lengths()
    return vectors - length * np.round(vectors / length)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
