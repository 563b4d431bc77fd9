"""Labels by a live teacher, for comparisons. They are kept in a file, so that a slow teacher is asked once.  S structures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.labelling import label_structures
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.errors import ConfigError

_IDENTITY = ("teacher", "teacher_version", "teacher_settings")


def labels_path(folder: Path, teacher: str) -> Path:
    """Where a folder of results keeps the labels of a teacher."""
    name = re.sub(r"[^\w.-]+", "_", teacher)  # of a teacher such as student:runs/student.pt
    return folder / f"labels-{name}.h5"


def ask_teacher(
    structures: Dataset | Sequence[Atoms], teacher: str, path: Path, n_jobs: int = 1
) -> tuple[np.ndarray, Dataset]:
    """What a teacher says of structures: from the file ``path`` if it is there, else in parallel, with progress.

    Killed in the middle, the same call goes on where it stopped.

    Args:
        structures: S of them; labels that they have are not used.
        teacher: Name for `mlff_distiller.data.teachers.load_teacher`.
        path: HDF5 file that keeps the labels.
        n_jobs: Worker processes.

    Returns:
        Indices of the structures that the teacher could label, and these structures with its labels.

    Raises:
        ConfigError: The file has labels of another teacher or of other structures.
        SamplingError: The teacher failed on all structures of more than half of the bundles.
        TeacherError: The teacher cannot be loaded.
    """
    if not path.exists():
        label_structures(structures, teacher, path, n_jobs)
    labelled = read_dataset(path)
    expected = load_teacher(teacher).metadata()
    if differing := [key for key in _IDENTITY if labelled.metadata.get(key) != expected[key]]:
        raise ConfigError(
            f"{path} has labels of another teacher: expected {differing[0]} {expected[differing[0]]!r}, "
            f"got {labelled.metadata.get(differing[0])!r}. Delete the file, or choose another output folder."
        )
    return _match(structures, labelled, path), labelled


def _match(structures: Dataset | Sequence[Atoms], labelled: Dataset, path: Path) -> np.ndarray:
    """For each labelled structure the index of the structure that it came from; failures were left out, in order."""
    kept, candidate = [], 0
    for index in range(len(labelled)):
        wanted = labelled.atoms(index)
        while candidate < len(structures) and not _same(_atoms(structures, candidate), wanted):
            candidate += 1
        if candidate == len(structures):
            raise ConfigError(
                f"{path} has labels of other structures than these: structure {index} is not among them. "
                "Delete the file, or choose another output folder."
            )
        kept.append(candidate)
        candidate += 1
    return np.array(kept, dtype=np.int64)


def _atoms(structures: Dataset | Sequence[Atoms], index: int) -> Atoms:
    return structures.atoms(index) if isinstance(structures, Dataset) else structures[index]


def _same(a: Atoms, b: Atoms) -> bool:
    return (
        np.array_equal(a.numbers, b.numbers)
        and np.array_equal(a.positions, b.positions)
        and np.array_equal(a.cell.array, b.cell.array)
        and np.array_equal(a.pbc, b.pbc)
    )
