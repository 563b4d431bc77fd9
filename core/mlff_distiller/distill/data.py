"""The labelled parts of a run: split by molecule first, then sampled, so that no molecule is in two parts."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from mlff_distiller.atomic_file import make_folder, replace_file
from mlff_distiller.data.dataset import NOT_RECORDED, Dataset
from mlff_distiller.data.extxyz import is_labelled, read_any
from mlff_distiller.data.molecules import molecules as builtin_molecules
from mlff_distiller.data.molecules import without_stereo
from mlff_distiller.data.sampling import sample_molecules, sample_structures
from mlff_distiller.data.sampling.conformers import atomic_numbers, canonical_smiles
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.data.splitting import PARTS, part_sizes, split_by_molecule
from mlff_distiller.data.structures import read_structures
from mlff_distiller.distill.config import DataConfig, DistillConfig, matching_files
from mlff_distiller.errors import ConfigError
from mlff_distiller.registry import load_student

logger = logging.getLogger(__name__)


def prepare_parts(config: DistillConfig, folder: Path, show_progress: bool = True) -> dict[str, Dataset]:
    """Training, validation and test data, sampled into ``folder`` where they are not there yet.

    Raises:
        ConfigError: Labels of different teachers.
        DistillerError: See the samplers and readers.
    """
    parts = _parts(config, folder, show_progress)
    check_teachers(parts.values())
    return parts


def check_teachers(datasets: Iterable[Dataset]) -> None:
    """Whether labels are of one teacher; a warning where some record it and others do not.

    Raises:
        ConfigError: Different teachers.
    """
    datasets = list(datasets)
    names = {name for dataset in datasets for name in _teachers(dataset)}
    recorded = sorted(names - {NOT_RECORDED})
    if len(recorded) > 1:
        raise ConfigError(
            f"the labels are of different teachers ({', '.join(recorded)}), whose energies have no common zero: "
            "label all frames with one of them (`mlffd label`)"
        )
    if recorded and NOT_RECORDED in names:
        logger.warning(
            "some labels are of %s, and others do not say of which teacher they are: if of another one, their energies have "
            "another zero, and the student learns neither",
            recorded[0],
        )
    for key in ("teacher_version", "teacher_settings"):
        found = sorted({dataset.metadata[key] for dataset in datasets if key in dataset.metadata})
        if len(found) > 1:
            logger.warning("the labels differ in %s: %s", key, " and ".join(found))


def check_sources(data: DataConfig) -> None:
    """Whether the files that the frames come from are there, and structure files enough for three parts.

    Raises:
        ConfigError: One is not, or nothing matches a pattern.
        DatasetError: A structure file cannot be read, or there are fewer than three.
    """
    lists = [data.molecules] if isinstance(data.molecules, str) and data.molecules != "builtin" else []
    pairs = [data.hessian_pairs] if data.hessian_pairs is not None else []
    parts = [file for part in PARTS for file in data.files_of(part)]
    for file in [*matching_files(data.datasets), *data.structures, *parts, *lists, *pairs]:
        if not Path(file).is_file():
            raise ConfigError(f"{file}: expected a file, got nothing. Check the path.")
    if data.structures:
        part_sizes(len({name for name, _ in read_structures(data.structures)}), data.fractions)


def _teachers(part: Dataset) -> set[str]:
    """The names that the parts of a concatenated dataset record."""
    return set(part.metadata.get("teacher", NOT_RECORDED).split("; "))


def _parts(config: DistillConfig, folder: Path, show_progress: bool) -> dict[str, Dataset]:
    data = config.data
    make_folder(folder)
    if data.datasets:
        return _split(
            Dataset.concatenate([read_any(Path(path)) for path in matching_files(data.datasets)]), config
        )
    if data.structures:
        output = folder / "frames.h5"
        _claim_sources(output, output.with_suffix(".sha256"), _hashes(data.structures))
        if not output.exists():
            sample_structures(data.structures, output=output, **_sampling_arguments(config, show_progress))
        return _split(read_dataset(output), config)
    if data.parts is not None:
        return {
            name: _given_part(data.files_of(name), folder / f"{name}.h5", config, show_progress)
            for name in data.parts
        }
    return {
        name: _sampled(smiles, folder / f"{name}.h5", config, show_progress)
        for name, smiles in split_smiles(
            _molecules(data), data.n_molecules, data.fractions, config.seed
        ).items()
    }


def check_known_elements(numbers: Collection[int], known: Collection[int], init: str, what: str) -> None:
    """Whether a training that starts from a student can use these atomic numbers.

    Args:
        numbers: Atomic numbers of the data.
        known: Those that the student knows.
        init: The student's name or file, for the message.
        what: The data, for the message.

    Raises:
        ConfigError: The student does not know one of them.
    """
    unknown = sorted(set(numbers) - set(known))
    if unknown:
        symbols = ", ".join(chemical_symbols[z] for z in unknown)
        raise ConfigError(
            f"{init}, the student to start from, does not know {symbols} of {what}; leave 'init' out and bring some hundred "
            "molecules, since a training from random weights needs more"
        )


def read_smiles(path: Path) -> list[str]:
    """SMILES of a file, one a line; what follows a space (a name) and lines that start with # are left out.

    Raises:
        ConfigError: The file cannot be read or holds no SMILES.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the SMILES file {path}: {error}") from None
    smiles = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    if not smiles:
        raise ConfigError(f"{path} holds no SMILES; expected one a line")
    return smiles


def _given_part(files: Sequence[str], output: Path, config: DistillConfig, show_progress: bool) -> Dataset:
    paths = [Path(file) for file in files]
    if all(is_labelled(path) for path in paths):
        return Dataset.concatenate([read_any(path) for path in paths])
    smiles = [text for path in paths for text in read_smiles(path)]
    return _sampled(smiles, output, config, show_progress)


def _molecules(data: DataConfig) -> list[str]:
    if data.molecules == "builtin":
        return builtin_molecules()
    return (
        read_smiles(Path(data.molecules)) if isinstance(data.molecules, str) else list(data.molecules or [])
    )


def split_smiles(
    smiles: Sequence[str], n_molecules: int | None, fractions: Sequence[float], seed: int
) -> dict[str, list[str]]:
    """Draw molecules and split them; every part gets at least one. Stereoisomers stay together and count as one.

    Raises:
        ConfigError: Fewer than three molecules, or than are asked for.
        SamplingError: A SMILES cannot be read.
    """
    isomers: dict[str, list[str]] = {}
    for name in dict.fromkeys(canonical_smiles(text) for text in smiles):
        isomers.setdefault(without_stereo(name), []).append(name)
    if n_molecules is not None and n_molecules > len(isomers):
        raise ConfigError(
            f"data.n_molecules: expected at most {len(isomers)}, as there are, got {n_molecules}"
        )
    unique = list(isomers.values())
    chosen = [unique[k] for k in np.random.default_rng(seed).permutation(len(unique))[:n_molecules]]
    if len(chosen) < 3:
        raise ConfigError(
            f"expected at least three molecules, to train, validate and test, got {len(chosen)}"
        )
    n_train, n_valid, _ = part_sizes(len(chosen), fractions)
    cut = (chosen[:n_train], chosen[n_train : n_train + n_valid], chosen[n_train + n_valid :])
    return {
        name: [smiles for group in part for smiles in group] for name, part in zip(PARTS, cut, strict=True)
    }


def _sampled(smiles: Sequence[str], output: Path, config: DistillConfig, show_progress: bool) -> Dataset:
    if config.init is not None:  # labelling may take hours
        numbers = {number for molecule in smiles for number in atomic_numbers(molecule)}
        known = load_student(config.init).elements
        check_known_elements(numbers, known, config.init, f"the molecules of {output.stem}")
    _claim_sources(output, output.with_suffix(".smi"), "".join(f"{molecule}\n" for molecule in smiles))
    if not output.exists():
        sample_molecules(smiles, output=output, **_sampling_arguments(config, show_progress))
    return read_dataset(output)


def _hashes(files: Sequence[str]) -> str:
    """Name and SHA-256 of each file, one a line.

    Raises:
        ConfigError: A file cannot be read.
    """
    try:
        return "".join(f"{hashlib.sha256(Path(file).read_bytes()).hexdigest()}  {file}\n" for file in files)
    except OSError as error:
        raise ConfigError(f"cannot read the structures: {error}") from None


def _claim_sources(output: Path, record: Path, text: str) -> None:
    """Write down what a file is sampled from, or make sure that it is the same as in an earlier call."""
    if record.exists() and record.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{output} was sampled from other sources (see {record}). Choose another output folder, or delete this one"
        )
    replace_file(record, [text.encode()])


def _sampling_arguments(config: DistillConfig, show_progress: bool) -> dict:
    return {
        "teacher": config.teacher,
        "config": config.sampling,
        "seed": config.seed,
        "n_jobs": config.data.n_jobs,
        "teacher_options": config.teacher_options,
        "show_progress": show_progress,
    }


def _split(dataset: Dataset, config: DistillConfig) -> dict[str, Dataset]:
    indices = split_by_molecule(dataset, config.data.fractions, config.seed)
    return {name: dataset.select(chosen) for name, chosen in zip(PARTS, indices, strict=True)}
