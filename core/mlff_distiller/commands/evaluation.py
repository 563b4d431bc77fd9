"""What ``mlffd evaluate`` and ``mlffd analyze`` do, callable from Python."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from ase import Atoms
from rich.console import Console

from mlff_distiller.atomic_file import new_folder, replace_file
from mlff_distiller.commands.progress import progress_bars
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.extxyz import LabelKeys, is_hdf5, read_any
from mlff_distiller.data.structures import read_structures
from mlff_distiller.errors import ConfigError, DatasetError
from mlff_distiller.evaluation.force_analysis import ForceAnalysis, analyse_forces
from mlff_distiller.evaluation.force_figure import write_figure
from mlff_distiller.evaluation.force_style import COLORS
from mlff_distiller.evaluation.metrics import Accuracy, measure_accuracy, predict_dataset
from mlff_distiller.evaluation.report import (
    UNITS,
    EvaluationReport,
    energies_csv,
    evaluate_predictions,
    forces_csv,
)
from mlff_distiller.evaluation.teacher_labels import ask_teacher, labels_path
from mlff_distiller.export.onnx import OnnxPotential
from mlff_distiller.export.write import SUFFIXES
from mlff_distiller.json_file import write_json
from mlff_distiller.model.potential import Potential
from mlff_distiller.native import NativePotential, is_built
from mlff_distiller.registry import CHECKPOINT_SUFFIX, artifact_path, load, load_student

Predictions = tuple[np.ndarray, np.ndarray]  # (S,) eV and (A, 3) eV/Å


def open_potential(model: str) -> Potential:
    """A student that computes many structures at once: a shipped name, an artifact (.pt, .onnx) or a checkpoint.

    An artifact runs in the native engine where that was built, several times faster than TorchScript on a CPU.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        CheckpointError: The checkpoint is damaged.
    """
    path = artifact_path(model)
    if path.suffix == SUFFIXES["onnx"]:
        return OnnxPotential(path)
    if path.suffix == CHECKPOINT_SUFFIX:
        return load_student(path)
    return NativePotential(path) if is_built() else load(path)


def predict_with_progress(model: str, dataset: Dataset, max_atoms: int, console: Console) -> Predictions:
    """Energies and forces of a student for every structure, with a bar."""
    potential = open_potential(model)
    with progress_bars(console, "structures") as progress:
        task = progress.add_task(f"running {model}", total=len(dataset))
        return predict_dataset(
            potential, dataset, max_atoms, lambda done: progress.update(task, completed=done)
        )


def evaluate_model(
    model: str,
    path: Path,
    console: Console,
    max_atoms: int = 1024,
    keys: str | None = None,
    teacher: str | None = None,
    n_jobs: int = 1,
    output: Path | None = None,
) -> tuple[Accuracy, list[EvaluationReport]]:
    """Errors of a student on a labelled file, and against a live teacher if one is named.

    Args:
        model: A shipped name, an artifact or a checkpoint.
        path: Labelled file: .h5, .xyz or .extxyz.
        console: For the progress bar.
        max_atoms: Atoms in memory at once.
        keys: Label names in extended XYZ.
        teacher: Labels the structures again, for two more comparisons: student and file against it.
        n_jobs: Processes of the teacher.
        output: Folder for evaluation.json, forces.csv, energies.csv and the teacher's labels.

    Returns:
        The errors that an artifact keeps, and all comparisons, the one with the file's labels first.

    Raises:
        ConfigError: A teacher without a folder for its labels.
        DatasetError: The file cannot be read, or has no labels.
    """
    if teacher is not None and output is None:
        raise ConfigError(
            f"expected a folder for the labels of {teacher}, got none; name one with --output FOLDER"
        )
    dataset = read_any(path, LabelKeys.parse(keys) if keys else None)
    with new_folder(output) if output is not None else nullcontext():
        energy, forces = predict_with_progress(model, dataset, max_atoms, console)
        evaluations = [evaluate_predictions(dataset, energy, forces, model)]
        if teacher is not None and output is not None:
            structures = dataset if is_hdf5(path) else _read_frames(path)
            kept, labelled = ask_teacher(structures, teacher, labels_path(output, teacher), n_jobs)
            rows = np.isin(dataset.batch, kept)
            evaluations += [
                evaluate_predictions(labelled, energy[kept], forces[rows], model, teacher),
                evaluate_predictions(
                    labelled, dataset.energy[kept], dataset.forces[rows].astype(np.float64), "labels", teacher
                ),
            ]
        if output is not None:
            _write_evaluation(output, path, evaluations)
    return measure_accuracy(dataset, energy, forces), evaluations


def analyse_models(
    models: Sequence[str],
    path: Path,
    output: Path,
    console: Console,
    max_atoms: int = 1024,
    keys: str | None = None,
    teacher: str | None = None,
    n_jobs: int = 1,
) -> ForceAnalysis:
    """Force analysis of students: analysis.json, force_analysis.png and force_analysis.pdf in a folder.

    Args:
        models: Shipped names, artifacts or checkpoints.
        path: A labelled file, or with a teacher any file of structures that ASE reads.
        output: Folder, made if it is not there; keeps the teacher's labels too.
        console: For the progress bars.
        max_atoms: Atoms in memory at once.
        keys: Label names in extended XYZ.
        teacher: Labels the structures here and now; None takes the labels of the file.
        n_jobs: Processes of the teacher.

    Raises:
        ConfigError: More students than colours.
        DatasetError: The file cannot be read, or has no labels and no teacher is named.
    """
    if len(models) > len(COLORS):
        raise ConfigError(f"expected at most {len(COLORS)} students in one figure, got {len(models)}")
    with new_folder(output):
        numbers = None
        if teacher is None:
            dataset = _read_labelled(path, keys)
            reference = dataset.metadata.get("teacher", "labels")
        else:
            structures = read_any(path) if is_hdf5(path) else _read_frames(path)
            numbers, dataset = ask_teacher(structures, teacher, labels_path(output, teacher), n_jobs)
            reference = teacher
        predictions = [
            (model, *predict_with_progress(model, dataset, max_atoms, console)) for model in models
        ]
    analysis = analyse_forces(dataset, reference, predictions, numbers)
    write_json(output / "analysis.json", {"structures": str(path), "units": UNITS, **analysis.to_dict()})
    with console.status("drawing …"):
        write_figure(analysis, [output / f"force_analysis.{suffix}" for suffix in ("png", "pdf")])
    return analysis


def _read_labelled(path: Path, keys: str | None) -> Dataset:
    try:
        return read_any(path, LabelKeys.parse(keys) if keys else None)
    except DatasetError as error:
        raise DatasetError(
            f"{error} A file without labels needs a teacher that labels it: add --teacher gfn2-xtb."
        ) from error


def _read_frames(path: Path) -> list[Atoms]:
    """All structures of a file, each with the name of its molecule, and with charges and spins, which a dataset has not."""
    frames = []
    for name, atoms in read_structures([path]):
        atoms.info["molecule_id"] = name
        frames.append(atoms)
    return frames


def _write_evaluation(folder: Path, dataset: Path, evaluations: list[EvaluationReport]) -> None:
    document = {
        "dataset": str(dataset),
        "units": UNITS,
        "comparisons": [evaluation.to_dict() for evaluation in evaluations],
    }
    write_json(folder / "evaluation.json", document)
    replace_file(folder / "forces.csv", [forces_csv(evaluations).encode()])
    replace_file(folder / "energies.csv", [energies_csv(evaluations).encode()])
