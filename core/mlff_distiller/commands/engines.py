"""What ``mlffd verify`` and ``mlffd nve`` do, callable from Python."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from rich.console import Console

from mlff_distiller.atomic_file import new_folder, replace_file
from mlff_distiller.commands.progress import progress_bars
from mlff_distiller.constant_energy import EnergyTrace, NVESettings
from mlff_distiller.data.structures import read_structures
from mlff_distiller.engines import find_engine
from mlff_distiller.errors import ConfigError, require
from mlff_distiller.evaluation.nve import NVEReport, frames_path, measure_nve
from mlff_distiller.evaluation.parity import Agreement, verify_artifact
from mlff_distiller.evaluation.plots import RadialDistribution, draw_nve
from mlff_distiller.evaluation.trajectory import first_frame, largest_distance, radial_distribution
from mlff_distiller.export.identity import artifact_identity
from mlff_distiller.json_file import write_json
from mlff_distiller.registry import artifact_path

RDF_BINS = 120


def verify_with_progress(model: str, console: Console) -> tuple[list[str], list[Agreement]]:
    """`mlff_distiller.evaluation.parity.verify_artifact` with a line that says what runs."""
    with console.status("") as status:
        return verify_artifact(model, lambda name: status.update(f"running {name} …"))


def write_agreement(path: Path, model: str, bad_edges: list[str], found: list[Agreement]) -> None:
    """The numbers of `mlffd verify` as JSON."""
    document = {
        "model": model,
        "artifact": artifact_identity(artifact_path(model)),
        "structures_with_different_edges": bad_edges,
        "agreement": [row.to_dict() for row in found],
    }
    write_json(path, document)


def nve_with_progress(
    model: str,
    structure: Path,
    engine: str,
    settings: NVESettings,
    output: Path,
    scaling: bool,
    reference: Path | None,
    pair: str | None,
    console: Console,
) -> NVEReport:
    """Run, analyse, and write ``nve.json``, ``nve.png``, ``energies.csv`` and the trajectory into a folder.

    Args:
        model: A shipped name or the path of an artifact.
        structure: A file that ASE reads; its first structure is used.
        engine: Name of an engine.
        settings: Of the run; the trajectory goes into ``output``.
        output: Folder, made if it is not there.
        scaling: Also compare time steps.
        reference: The teacher's trajectory in extended XYZ, for the radial distribution.
        pair: Elements of the radial distribution, as O-O; None means the heaviest element with itself.
        console: For the progress bars.

    Raises:
        ConfigError: Unknown engine, or one that is not installed; a reference or a pair without a periodic cell.
        DatasetError: The structure cannot be read.
    """
    runner = find_engine(engine)
    _, atoms = read_structures([structure])[0]
    if (reference is not None or pair is not None) and not atoms.pbc.all():
        raise ConfigError(
            "a radial distribution needs a periodic structure; leave out --reference and --pair"
        )
    elements = _pair(atoms, pair)
    require("MDAnalysis", extra="analysis")  # now, and not after hours of dynamics
    if reference is not None:
        radial_distribution(reference, elements, _reach(atoms, reference), 2)
    settings = replace(settings, trajectory=frames_path(output))
    with new_folder(output), progress_bars(console, "steps") as progress:
        tasks = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        found = measure_nve(runner, atoms, model, settings, scaling, report)
    document = {
        "artifact": artifact_identity(artifact_path(model)),
        "engine": engine,
        "structure": {"file": structure.name, "formula": atoms.get_chemical_formula()},
        "settings": _described(settings),
        **found.to_dict(),
    }
    write_json(output / "nve.json", document)
    _write_energies(output / "energies.csv", found.trace)
    title = f"{model}, {atoms.get_chemical_formula()} in {engine}, {settings.temperature:g} K, {settings.time_step:g} fs"
    draw_nve(
        found, title, output / "nve.png", _distributions(atoms, frames_path(output), reference, elements)
    )
    return found


def _described(settings: NVESettings) -> dict[str, Any]:
    """The settings of a run, for JSON."""
    return {name: value for name, value in asdict(settings).items() if name != "trajectory"}


def _write_energies(path: Path, trace: EnergyTrace) -> None:
    columns = np.stack([trace.time, trace.potential, trace.kinetic, trace.total], axis=1)
    text = io.StringIO()
    header = "time_fs,potential_ev,kinetic_ev,total_ev"
    np.savetxt(text, columns, delimiter=",", header=header, comments="", fmt="%.12g")
    replace_file(path, [text.getvalue().encode()])


def _pair(atoms: Atoms, text: str | None) -> tuple[str, str]:
    """The elements of a radial distribution; by default the heaviest with itself."""
    if text is None:
        heaviest = chemical_symbols[int(atoms.numbers.max())]
        return heaviest, heaviest
    first, _, second = text.partition("-")
    if not {first, second} <= set(atoms.get_chemical_symbols()):
        raise ConfigError(f"expected two elements of the structure, as O-O or O-H, got {text!r}")
    return first, second


def _distributions(
    atoms: Atoms, frames: Path, reference: Path | None, elements: tuple[str, str]
) -> dict[str, RadialDistribution] | None:
    if not atoms.pbc.all():
        return None
    reach = _reach(atoms, reference)
    found = {f"student, {'-'.join(elements)}": radial_distribution(frames, elements, reach, RDF_BINS)}
    if reference is not None:
        found["teacher"] = radial_distribution(reference, elements, reach, RDF_BINS)
    return found


def _reach(atoms: Atoms, reference: Path | None) -> float:
    """How far the radial distributions go, Å: both have the same bins."""
    cells = [atoms] if reference is None else [atoms, first_frame(reference)]
    return min(8.0, *(largest_distance(cell) for cell in cells))
