"""One distillation from start to end, in a folder that a second call goes on with."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from ase.data import chemical_symbols

from mlff_distiller.atomic_file import lock_folder, make_folder, replace_file
from mlff_distiller.configuration import load_config, to_plain
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.extxyz import is_labelled, read_any
from mlff_distiller.data.splitting import molecules_of, shared_molecules
from mlff_distiller.data.statistics import fit_reference_energies, min_distances
from mlff_distiller.distill.committee import measure_spread
from mlff_distiller.distill.config import DistillConfig
from mlff_distiller.distill.data import check_known_elements, check_sources, check_teachers, prepare_parts
from mlff_distiller.distill.guide import mix_labels, mixed_sha256
from mlff_distiller.errors import ConfigError, TrainingError, require
from mlff_distiller.evaluation.metrics import Accuracy, dataset_graph, measure_accuracy, predict_dataset
from mlff_distiller.evaluation.reference_shift import align_references
from mlff_distiller.export.artifact import UNNAMED_TEACHER, Provenance, read_metadata
from mlff_distiller.export.write import write_artifacts
from mlff_distiller.json_file import write_json
from mlff_distiller.model.committee import CommitteeForceField
from mlff_distiller.model.potential import StudentForceField
from mlff_distiller.model.presets import build_student, preset_with
from mlff_distiller.registry import CHECKPOINT_SUFFIX, artifact_path, load, load_student
from mlff_distiller.training.batches import GraphSet
from mlff_distiller.training.hessian import HessianPairs
from mlff_distiller.training.trainer import Reporter, TrainingResult, make_fabric, train

logger = logging.getLogger(__name__)

Progress = Callable[[str], Reporter]  # gives a reporter for a student's training


@dataclass(frozen=True)
class StudentReport:
    """One finished student.

    Attributes:
        name: Of the artifact.
        files: What was exported, by format.
        test: Errors on the test part.
        seconds: Training time.
        unseen_molecules: Whether no molecule of the test part is in the training or validation part, nor can be in those of
            the student that this one started from.
    """

    name: str
    files: dict[str, Path]
    test: Accuracy
    seconds: float
    unseen_molecules: bool


def distill(
    config: DistillConfig, output: Path, progress: Progress | None = None, show_progress: bool = True
) -> list[StudentReport]:
    """Sample and label, train, test, export and verify.

    Every step that is complete in ``output`` is kept, and one that was interrupted goes on where it stopped.

    Args:
        config: The settings; they are written to ``output/distill.yaml``.
        output: Folder of the run.
        progress: Makes a callback for each student's training steps.
        show_progress: Show progress of the sampling.

    Raises:
        ConfigError: ``output`` holds a run with other settings, or another process is at work in it.
        DistillerError: Any step failed; the message says which and what to do.
    """
    _check_installed(config)
    check_sources(config.data)  # before the folder belongs to these settings
    _check_processes(config)
    if config.init is not None:
        for preset in config.students:
            _initial_student(config.init, preset)  # before anything is sampled
    if config.guide not in (None, "previous"):
        load(config.guide)
    make_folder(output)
    with lock_folder(output) if _is_first_process() else nullcontext():
        return _distill(config, output, progress, show_progress)


def _distill(
    config: DistillConfig, output: Path, progress: Progress | None, show_progress: bool
) -> list[StudentReport]:
    """`distill` in a folder of its own, after the checks."""
    _claim(output, config)
    parts = prepare_parts(config, output / "data", show_progress)
    _check_elements(parts, config.init)
    reports: list[StudentReport] = []
    for preset in config.students:
        previous = reports[-1].files["torchscript"] if reports and config.guide == "previous" else None
        reports.append(_distill_student(config, preset, parts, output, previous, progress))
    summary = [{"name": r.name, "seconds": r.seconds, "test": r.test.to_dict()} for r in reports]
    write_json(output / "report.json", summary)
    return reports


def _check_installed(config: DistillConfig) -> None:
    """Whether the packages and the device that come last are there: the labels before them may take hours."""
    require("tensorboard", extra="train")
    make_fabric(config.training)
    if "onnx" in config.formats and config.committee == 1:
        for module in ("onnx", "onnxruntime", "onnxscript"):
            require(module, extra="onnx")


def _check_processes(config: DistillConfig) -> None:
    """Several devices need torchrun, and under torchrun every process runs this code: only the training may be shared."""
    devices, data = config.training.devices, config.data
    if devices != 1 and "WORLD_SIZE" not in os.environ:
        raise ConfigError(
            f"training.devices is {devices}: start a process for each with torchrun (docs/training.md), or set it to 1"
        )
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if devices == 1 and n_processes > 1:
        raise ConfigError(
            f"torchrun started {n_processes} processes, and training.devices is 1: each would train the whole student. Set "
            "training.devices to the number of processes on each machine"
        )
    labelled = data.datasets or (
        data.parts and all(is_labelled(file) for part in data.parts for file in data.files_of(part))
    )
    if n_processes > 1 and not (labelled and len(config.students) == 1):
        raise ConfigError(
            "under torchrun, train one student on labelled files: sample first with `mlffd sample` in one process"
        )


def _is_first_process() -> bool:
    return int(os.environ.get("RANK", "0")) == 0  # set by torchrun


def _claim(output: Path, config: DistillConfig) -> None:
    """Write the settings, or make sure that those of an earlier call, which got further than that, are the same."""
    text = yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)
    path = output / "distill.yaml"
    if path.exists() and _is_begun(output) and not _is_same(_read_settings(path), config):
        raise ConfigError(
            f"{output} holds a run with other settings (see {path}). Choose another output folder, or delete this one"
        )
    replace_file(path, [text.encode()])


def _is_begun(output: Path) -> bool:
    """Whether a run has left more than its settings: one that failed at once keeps nobody from trying others."""
    return any(path.is_file() and path.name not in ("distill.yaml", ".lock") for path in output.rglob("*"))


def _read_settings(path: Path) -> DistillConfig:
    """Those of an earlier call; a file of an older version lacks those that came later, and means their defaults."""
    try:
        return load_config(DistillConfig, path, [])
    except ConfigError as error:
        raise ConfigError(
            f"{path.parent} holds a run of another version of this package, whose settings this one cannot read. Finish it with "
            f"that version, or choose another output folder. {error}"
        ) from None


def _is_same(before: DistillConfig, config: DistillConfig) -> bool:
    """Whether two calls have the same settings, but for those of the machine."""
    ours, theirs = (
        replace(c, training=c.training.without_machine(), data=replace(c.data, n_jobs=1))
        for c in (config, before)
    )
    return ours == theirs


def _check_elements(parts: Mapping[str, Dataset], init: str | None) -> None:
    """Find out before the training, not after it, that a student could not be tested."""
    known = set(parts["train"].atomic_numbers.tolist())
    if init is not None:
        found, known = known, set(load_student(init).elements)
        check_known_elements(found, known, init, "the train part")
    for name in ("valid", "test"):
        unknown = sorted(set(parts[name].atomic_numbers.tolist()) - known)
        if unknown:
            symbols = ", ".join(chemical_symbols[z] for z in unknown)
            raise ConfigError(
                f"the {name} part holds {symbols}, which no training molecule has, so the student would not know it; "
                "add such molecules, or split with another seed or other fractions"
            )


def _distill_student(
    config: DistillConfig,
    preset: str,
    parts: Mapping[str, Dataset],
    output: Path,
    previous: Path | None,
    progress: Progress | None,
) -> StudentReport:
    name = config.student_name(preset)
    folder = output / name
    guide = previous if config.guide == "previous" else config.guide
    learnt, identity = parts, None
    if guide is not None:
        learnt = {**parts, "train": mix_labels(parts["train"], guide, config.guide_weight)}
        identity = mixed_sha256(parts["train"], guide, config.guide_weight)
    results = [
        _trained(run, preset, learnt, identity, place, progress(place.name) if progress else None)
        for run, place in _members(config, folder)
    ]
    model = results[0].student
    accuracy: dict[str, Any] = {}
    formats = config.formats
    if len(results) > 1:
        model = CommitteeForceField([result.student for result in results]).requires_grad_(False)
        accuracy["spread"] = asdict(measure_spread(model, parts["test"]))
        formats = ["torchscript"]
    test = measure_accuracy(parts["test"], *predict_dataset(model, parts["test"]))
    provenance = _provenance(config, parts, results, {"test": test.to_dict(), **accuracy})
    files: dict[str, Path] = {}
    if _is_first_process():
        files = write_artifacts(model, name, provenance, folder, formats)
    return StudentReport(
        name, files, test, sum(result.seconds for result in results), provenance.dataset["unseen_molecules"]
    )


def _tests_unseen_molecules(parts: Mapping[str, Dataset]) -> bool:
    """Whether no molecule of the test part is in another part, as far as names and compositions tell."""
    return not shared_molecules(parts["test"], [parts["train"], parts["valid"]]).any()


def _is_unseen_by(start: str, test: Dataset) -> bool:
    """Whether the student to start from is known not to have seen the test molecules: it was tested on the same frames."""
    path = artifact_path(start)
    if path.suffix == CHECKPOINT_SUFFIX:  # says nothing of its data
        return False
    dataset = read_metadata(path).provenance.dataset
    tested_on = dataset.get("parts", {}).get("test", {}).get("sha256")
    return bool(dataset.get("unseen_molecules", False)) and tested_on == test.sha256()


def _members(config: DistillConfig, folder: Path) -> list[tuple[DistillConfig, Path]]:
    """Settings and folder of each training: one, or those of a committee, which differ in their seeds."""
    if config.committee == 1:
        return [(config, folder)]
    return [
        (
            replace(
                config,
                seed=config.seed + k,
                training=replace(config.training, seed=config.training.seed + k),
            ),
            folder / f"{folder.name}-member-{k}",
        )
        for k in range(config.committee)
    ]


def _trained(
    config: DistillConfig,
    preset: str,
    parts: Mapping[str, Dataset],
    identity: str | None,
    folder: Path,
    report: Reporter | None,
) -> TrainingResult:
    """One training; ``identity`` is what its labels are known by, if that is not their own hash."""
    train_data, valid_data = parts["train"], parts["valid"]
    student = _new_student(config, preset, train_data)
    train_set, valid_set = GraphSet(train_data, student, identity), GraphSet(valid_data, student)
    pairs = None
    if config.data.hessian_pairs is not None:
        labelled = read_any(config.data.hessian_pairs)
        check_teachers([labelled, train_data])
        pairs = HessianPairs(_unseen(labelled, parts), student)
    return train(student, train_set, valid_set, config.training, folder, report, pairs)


def _unseen(pairs: Dataset, parts: Mapping[str, Dataset]) -> Dataset:
    """The pairs of molecules that are in no part that the student is judged by."""
    kept = ~shared_molecules(pairs, [parts["valid"], parts["test"]])
    if not kept.all():
        logger.warning(
            "%d of %d frames of the curvature term are left out: their molecules are in the validation or test part",
            int((~kept).sum()),
            len(pairs),
        )
    return pairs.select(kept)


def _new_student(config: DistillConfig, preset: str, train_data: Dataset) -> StudentForceField:
    """A student with scales from the training data, or the one to start from."""
    if config.init is not None:
        student = _initial_student(config.init, preset)
        align_references(student, train_data)  # warns where the labels have another zero of energy
        return student
    torch.manual_seed(config.seed)
    student = build_student(preset, np.unique(train_data.atomic_numbers).tolist(), config.cutoff)
    student.set_scales(
        fit_reference_energies(train_data), _force_rms(train_data), _mean_neighbors(train_data, config.cutoff)
    )
    return student


def _initial_student(source: str, preset: str) -> StudentForceField:
    student = load_student(source)
    found = (student.n_features, student.n_interactions, student.n_rbf)
    own = preset_with(*found)
    if own != preset:
        raise ConfigError(
            f"{source} has the sizes {found} (features, message passes, radial functions), which are not those of the preset "
            f"{preset!r}; "
            + (f"take {own!r}" if own else "no preset has them, so it cannot be trained further")
        )
    return student.requires_grad_(True)


def _force_rms(dataset: Dataset) -> float:
    rms = math.sqrt(float((dataset.forces.astype(np.float64) ** 2).mean()))
    if not rms > 0:
        raise TrainingError("all forces of the training data are zero; there is nothing to learn")
    return rms


def _mean_neighbors(dataset: Dataset, cutoff: float, n_structures: int = 200) -> float:
    """Mean number of edges per atom, from structures evenly spread over the dataset."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, n_structures).astype(int))
    graph = dataset_graph(dataset.select(chosen), 0, len(chosen), cutoff)
    return max(1.0, graph.edge_vec.shape[0] / graph.batch.shape[0])


def _extremes(train_data: Dataset) -> dict[str, float]:
    """The largest |F| of an atom in eV/Å, and, where a structure has two atoms, the shortest distance in Å."""
    found = {"max_force": float(np.linalg.norm(train_data.forces, axis=1).max())}
    shortest = float(min_distances(train_data).min())
    return found if math.isinf(shortest) else {**found, "min_distance": shortest}


def _provenance(
    config: DistillConfig,
    parts: Mapping[str, Dataset],
    results: Sequence[TrainingResult],
    accuracy: dict[str, Any],
) -> Provenance:
    metadata = parts["train"].metadata
    teacher = {key: value for key, value in metadata.items() if key.startswith("teacher")} or {
        "teacher": UNNAMED_TEACHER
    }
    sizes: dict[str, Any] = {
        name: {
            "structures": len(part),
            "atoms": len(part.atomic_numbers),
            "molecules": len(molecules_of(part)),
            "sha256": part.sha256(),
        }
        for name, part in parts.items()
    }
    sizes["train"] |= _extremes(parts["train"])
    best = [min(result.curves, key=lambda row: row["valid_loss"]) for result in results]
    return Provenance(
        teacher=teacher,
        dataset={
            "parts": sizes,
            "sampling": metadata.get("sampling", ""),
            "unseen_molecules": _tests_unseen_molecules(parts)
            and (config.init is None or _is_unseen_by(config.init, parts["test"])),
        },
        training={
            "config": to_plain(config),
            "seconds": round(sum(result.seconds for result in results), 1),
            "best": best[0],  # of the first member
        },
        accuracy=accuracy,
    )
