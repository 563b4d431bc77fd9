"""What ``mlffd sample``, ``label``, ``pairs`` and ``convert`` do, callable from Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from mlff_distiller.configuration import load_config
from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.extxyz import LabelKeys, is_hdf5, read_any, write_extxyz
from mlff_distiller.data.jobs import Backend
from mlff_distiller.data.labelling import label_structures
from mlff_distiller.data.molecules import molecules
from mlff_distiller.data.sampling import RunReport, SamplingConfig, sample_molecules, sample_structures
from mlff_distiller.data.schema import read_dataset, write_dataset
from mlff_distiller.data.statistics import dataset_statistics
from mlff_distiller.data.structures import read_structures
from mlff_distiller.data.teachers.charge import total_charge
from mlff_distiller.distill.data import read_smiles
from mlff_distiller.errors import ConfigError, DatasetError, require
from mlff_distiller.tables import statistics_table
from mlff_distiller.training.hessian import displaced_pairs

SMILES_SUFFIXES = (".smi", ".smiles", ".txt")


def sample_sources(
    sources: Sequence[str],
    teacher: str,
    settings: Sequence[str],
    output: Path,
    seed: int,
    n_jobs: int,
    scheduler: str | None,
    first: int | None = None,
) -> RunReport:
    """Sample SMILES, files of SMILES, or structure files; kinds are not mixed.

    Raises:
        ConfigError: Sources of different kinds, settings that are not valid, or no scheduler at that address.
    """
    config = load_config(SamplingConfig, None, settings)
    files = [source for source in sources if Path(source).is_file()]
    smiles = molecules() if list(sources) == ["builtin"] else _smiles(sources, files)
    if smiles is None and first is not None:
        raise ConfigError("--first counts molecules; for structure files give fewer of them")
    with _workers(scheduler) as backend:
        if smiles is None:
            return sample_structures(files, teacher, config, output, seed, n_jobs, backend=backend)
        return sample_molecules(smiles, teacher, config, output, seed, n_jobs, backend=backend, first=first)


def _smiles(sources: Sequence[str], files: Sequence[str]) -> Sequence[str] | None:
    """The molecules; None where the sources are structure files."""
    if not files:
        dotted = [source for source in sources if "." in source]
        if dotted:
            raise ConfigError(f"{dotted[0]}: there is no such file, and a SMILES of one molecule has no dot")
        return sources
    if len(files) < len(sources):
        raise ConfigError(
            f"expected SMILES or files, not both; these are no files: {set(sources) - set(files)}"
        )
    if all(Path(file).suffix in SMILES_SUFFIXES for file in files):
        return [text for file in files for text in read_smiles(Path(file))]
    return None


def label_sources(
    structures: Sequence[Path], teacher: str, output: Path, n_jobs: int, scheduler: str | None
) -> RunReport:
    """Relabel datasets, or label structure files; kinds are not mixed.

    Raises:
        ConfigError: Sources of different kinds, or no scheduler at that address.
    """
    datasets = [path for path in structures if is_hdf5(path)]
    if datasets and len(datasets) < len(structures):
        raise ConfigError("expected datasets (.h5) or structure files, not both")
    inputs = Dataset.concatenate([read_dataset(path) for path in datasets]) if datasets else list(structures)
    with _workers(scheduler) as backend:
        return label_structures(inputs, teacher, output, n_jobs, backend=backend)


def label_pairs(source: Path, teacher: str, output: Path, step: float, seed: int, n_jobs: int) -> RunReport:
    """Label each frame of a dataset, displaced forth and back along a random direction, for the curvature term.

    Raises:
        DatasetError: A frame has a charge or unpaired electrons.
    """
    if not is_hdf5(source):
        _refuse_ions(source)
    return label_structures(displaced_pairs(read_any(source), step, seed), teacher, output, n_jobs)


def _refuse_ions(source: Path) -> None:
    """A dataset of pairs holds no charges, so that a teacher would label ions as if they were neutral."""
    for number, (name, atoms) in enumerate(read_structures([source])):
        if total_charge(atoms) or atoms.get_initial_magnetic_moments().any():
            raise DatasetError(
                f"{source}: frame {number} ({name}) has a charge or unpaired electrons, which pairs of frames do not hold; "
                "leave it out, since a student sees neither"
            )


def convert_dataset(source: Path, output: Path, keys: str | None) -> Table:
    """Write a labelled dataset in the format of the output's suffix; returns its statistics.

    Raises:
        ConfigError: Unknown suffix.
    """
    dataset = _read(source, keys)
    if is_hdf5(output):
        write_dataset(output, dataset)
    elif output.suffix in (".xyz", ".extxyz"):
        write_extxyz(output, dataset)
    else:
        raise ConfigError(f"expected an output that ends in .h5, .xyz or .extxyz, got {output}")
    return statistics_table(str(output), dataset_statistics(dataset))


def _read(path: Path, keys: str | None) -> Dataset:
    return read_any(path, LabelKeys.parse(keys) if keys else None)


@contextmanager
def _workers(scheduler: str | None) -> Iterator[Backend]:
    """What works: processes here, or the cluster of a Dask scheduler."""
    if scheduler is None:
        yield "loky"
        return
    distributed = require("distributed", extra="dask")
    try:
        client = distributed.Client(scheduler)
    except (OSError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {scheduler!r}: {error}") from error
    with client:
        yield "dask"
