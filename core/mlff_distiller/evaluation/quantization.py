"""What quantisation costs and brings: size, latency and accuracy of a student in each scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlff_distiller.atomic_file import new_folder
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.errors import ConfigError
from mlff_distiller.evaluation.benchmark.formats import EXPORTED, export_schemes
from mlff_distiller.evaluation.benchmark.measure import Progress
from mlff_distiller.evaluation.benchmark.report import Change, Measurement
from mlff_distiller.evaluation.benchmark.timing import interleave, quartiles
from mlff_distiller.evaluation.metrics import ForceErrors, dataset_graph, force_errors, predict_dataset
from mlff_distiller.export.onnx import OnnxPotential
from mlff_distiller.export.quantize import SCHEMES, find_scheme
from mlff_distiller.registry import CHECKPOINT_SUFFIX, artifact_path

MAX_ATOMS = 512  # in memory at once


@dataclass(frozen=True)
class QuantizedStudent:
    """One file of a student.

    Attributes:
        scheme: A key of `mlff_distiller.export.quantize.SCHEMES`, or ``exported``.
        file: Where it is.
        n_bytes: Its size.
        size_ratio: Size of the exported file over this one's.
        latency: Time of each batch size, next to that of the exported file.
        forces: Errors against the labels, eV/Å.
        force_difference: Mean and largest absolute difference of a component from the exported file, eV/Å.
        energy_difference: Mean absolute difference from the exported file, eV per atom.
        r2_loss: Force R² that is lost, as a fraction of the exported file's.
    """

    scheme: str
    file: Path
    n_bytes: int
    size_ratio: float
    latency: list[Change]
    forces: ForceErrors
    force_difference: tuple[float, float]
    energy_difference: float
    r2_loss: float

    @property
    def conservative(self) -> bool:
        """Whether forces are the gradient of the energy."""
        return self.scheme == EXPORTED or SCHEMES[self.scheme].conservative

    @property
    def products(self) -> str:
        """What matrix products are computed in."""
        return "float32" if self.scheme == EXPORTED else SCHEMES[self.scheme].products


def quantize_student(
    model: str,
    folder: Path,
    schemes: Sequence[str],
    dataset: Dataset,
    batches: Sequence[int],
    rounds: int,
    threads: int,
    progress: Progress,
) -> list[QuantizedStudent]:
    """Export a student to ONNX, quantise it, and measure every file on the same labelled structures.

    Args:
        model: A shipped name or the path of an artifact (.pt).
        folder: For the files; made if it is not there.
        schemes: Keys of `mlff_distiller.export.quantize.SCHEMES`.
        dataset: S structures with labels.
        batches: Numbers of structures to time at once; copies of the one of median size.
        rounds: Interleaved measurements.
        threads: Of ONNX Runtime.
        progress: Told of each part.

    Returns:
        The file as exported, and then each scheme.

    Raises:
        ArtifactError: There is no such student, its file is damaged, or it holds a committee.
        ConfigError: Unknown scheme, a source that is no artifact, or an empty dataset.
        StructureError: The student does not know an element of the dataset.
    """
    for scheme in schemes:
        find_scheme(scheme)
    if not batches or min(batches) < 1 or rounds < 1:
        raise ConfigError(f"expected batches and rounds of at least 1, got {list(batches)} and {rounds}")
    path = artifact_path(model)
    if path.suffix in (CHECKPOINT_SUFFIX, ".onnx"):
        raise ConfigError(
            f"expected a shipped name or an artifact (.pt) to quantise, got {path}; export a checkpoint first"
        )
    if len(dataset) == 0:
        raise ConfigError("expected labelled structures to measure errors on, got an empty dataset")
    with new_folder(folder):
        done = progress.stage("export", 1)
        files = export_schemes(path, [EXPORTED, *schemes], folder)
        done()
    potentials = {scheme: OnnxPotential(file, threads) for scheme, file in files.items()}
    predictions = _predict(potentials, dataset, progress)
    times = _time(path.stem, potentials, dataset, batches, rounds, threads, progress)
    return [
        _compare(dataset, scheme, files, predictions, times[scheme], times[EXPORTED]) for scheme in potentials
    ]


Predictions = dict[str, tuple[np.ndarray, np.ndarray]]  # scheme → energies (S,) and forces (A, 3)


def _predict(potentials: dict[str, OnnxPotential], dataset: Dataset, progress: Progress) -> Predictions:
    done = progress.stage("accuracy", len(potentials))
    found = {}
    for scheme, potential in potentials.items():
        found[scheme] = predict_dataset(potential, dataset, MAX_ATOMS)
        done()
    return found


def _time(
    student: str,
    potentials: dict[str, OnnxPotential],
    dataset: Dataset,
    batches: Sequence[int],
    rounds: int,
    threads: int,
    progress: Progress,
) -> dict[str, list[Measurement]]:
    typical = int(np.argsort(dataset.n_atoms, kind="stable")[len(dataset) // 2])
    n_atoms = int(dataset.n_atoms[typical])
    system = f"{dataset.molecule_id[typical] or 'structure'}, {n_atoms} atoms"
    cases = [(scheme, batch) for scheme in potentials for batch in batches]
    calls = []
    for scheme, batch in cases:
        copies = dataset.select([typical] * batch)
        graph = dataset_graph(copies, 0, batch, potentials[scheme].cutoff)
        calls.append(lambda potential=potentials[scheme], graph=graph: potential.compute(*graph))
    done = progress.stage("timing", len(calls) * (rounds + 1))
    found: dict[str, list[Measurement]] = {scheme: [] for scheme in potentials}
    for (scheme, batch), seconds in zip(cases, interleave(calls, rounds, done), strict=True):
        spread = quartiles(seconds)
        found[scheme].append(Measurement(student, scheme, "cpu", threads, system, n_atoms, batch, **spread))
    return found


def _compare(
    dataset: Dataset,
    scheme: str,
    files: dict[str, Path],
    predictions: Predictions,
    times: list[Measurement],
    exported_times: list[Measurement],
) -> QuantizedStudent:
    labels = dataset.forces.astype(np.float64)
    (exact_energy, exact_forces), (energy, forces) = predictions[EXPORTED], predictions[scheme]
    errors, exact_errors = force_errors(forces, labels), force_errors(exact_forces, labels)
    difference = np.abs(forces - exact_forces)
    sizes = {name: file.stat().st_size for name, file in files.items()}
    return QuantizedStudent(
        scheme=scheme,
        file=files[scheme],
        n_bytes=sizes[scheme],
        size_ratio=sizes[EXPORTED] / sizes[scheme],
        latency=[Change(new, old) for new, old in zip(times, exported_times, strict=True)],
        forces=errors,
        force_difference=(float(difference.mean()), float(difference.max())),
        energy_difference=float((np.abs(energy - exact_energy) / dataset.n_atoms).mean()),
        r2_loss=(exact_errors.r2 - errors.r2) / exact_errors.r2,
    )
