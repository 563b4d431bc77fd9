"""Label given structures with a teacher: new labels for a dataset, or first ones for structure files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from threadpoolctl import threadpool_limits

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.jobs import Backend, Task, TaskResult, failure_reason
from mlff_distiller.data.runs import (
    Execution,
    RunReport,
    options_json,
    task_result,
    worker_teacher,
    write_run,
)
from mlff_distiller.data.sampling.conformers import EmbeddingError, parse_smiles
from mlff_distiller.data.splitting import FILE
from mlff_distiller.data.structures import from_arrays, read_structures, to_arrays
from mlff_distiller.errors import ConfigError, DatasetError, TeacherError


def label_structures(
    structures: Dataset | Sequence[str | Path | Atoms],
    teacher: str,
    output: Path,
    n_jobs: int = 1,
    *,
    bundle_size: int = 32,
    teacher_options: Mapping[str, Any] | None = None,
    backend: Backend = "loky",
    show_progress: bool = True,
) -> RunReport:
    """Label structures as they are and write them as a dataset, in the order given.

    Structures on which the teacher fails are left out and counted. The run can be killed and started again
    with the same arguments; it then goes on where it stopped.

    Args:
        structures: A dataset (its labels are not used), or files that ASE can read, or Atoms.
        teacher: Name for `mlff_distiller.data.teachers.load_teacher`.
        output: The HDF5 file to write; must not exist.
        n_jobs: Number of worker processes.
        bundle_size: Structures in a task; what a kill can lose of each process.
        teacher_options: Options for ``load_teacher``.
        backend: ``loky`` (this machine) or ``dask``.
        show_progress: Show a progress bar on standard error.

    Raises:
        ConfigError: The output exists or belongs to another run; a bundle without structures.
        DatasetError: A file cannot be read, or there is no structure.
        SamplingError: All structures of more than half of the bundles failed.
        TeacherError: The teacher cannot be loaded.
    """
    if bundle_size < 1:
        raise ConfigError(f"Expected a bundle of at least one structure, got bundle_size={bundle_size}.")
    items = [_item(name, atoms) for name, atoms in _named(structures)]
    tasks = [
        Task(str(start), items[start : start + bundle_size], seed=0)
        for start in range(0, len(items), bundle_size)
    ]
    worker = LabelWorker(teacher, options_json(teacher_options))
    loaded = worker_teacher(teacher, worker.teacher_options)  # a wrong name fails here, before any work
    return write_run(
        tasks, worker, loaded, _origin(structures), output, Execution(n_jobs, backend, show_progress)
    )


@dataclass(frozen=True)
class LabelWorker:
    """Labels the structures of one bundle; small, because it is sent to the worker processes."""

    teacher: str
    teacher_options: str

    def __call__(self, task: Task, rng: np.random.Generator) -> TaskResult:
        teacher = worker_teacher(self.teacher, self.teacher_options)
        frames, failures, example = [], Counter(), ""
        with threadpool_limits(limits=1):  # results must not depend on how a sum is shared among threads
            for item in task.payload:
                try:
                    frame = teacher.label(from_arrays(item))
                except TeacherError as error:
                    failures[failure_reason(error)] += 1
                    example = example or f"{item['molecule_id']}: {error}".rstrip(".")
                    continue
                frame.info = {"molecule_id": item["molecule_id"], "regime": item["regime"]}
                frames.append(frame)
        return task_result(frames, failures, example)


def _origin(structures: Dataset | Sequence[str | Path | Atoms]) -> dict[str, str]:
    """How the geometries came about, which other labels do not change; its limit of forces held for the labels before."""
    metadata = structures.metadata if isinstance(structures, Dataset) else {}
    return {"sampling": metadata["sampling"]} if "sampling" in metadata else {}


def _named(structures: Dataset | Sequence[str | Path | Atoms]) -> list[tuple[str, Atoms]]:
    if not isinstance(structures, Dataset):
        return read_structures(structures)
    for name in set(structures.molecule_id.tolist()):
        if charge := _formal_charge(name):
            raise DatasetError(
                f"{name} has the charge {charge:+d}, and a dataset holds no charges: these frames would be labelled as "
                "neutral. Label ions from structures with initial charges, or sample them with this teacher"
            )
        if _is_radical(name):
            raise DatasetError(
                f"{name} has unpaired electrons, and a dataset holds no spins: these frames would be labelled as closed "
                "shells. Label radicals from structures with initial magnetic moments, or sample them with this teacher"
            )
    frames = [structures.atoms(index) for index in range(len(structures))]
    return [(frame.info.get("molecule_id", ""), frame) for frame in frames]


def _formal_charge(smiles: str) -> int:
    """The sum of the charges in a SMILES, which stand at the end of its brackets: [NH4+], [Ca++], [O-2:1]."""
    if smiles.startswith(FILE):
        return 0
    charges = re.findall(r"\[[^\[\]]*?([+-]+)(\d*)(?::\d+)?\]", smiles)
    return sum(
        (1 if signs[0] == "+" else -1) * (int(size) if size else len(signs)) for signs, size in charges
    )


def _is_radical(smiles: str) -> bool:
    """Whether RDKit, where it is installed, finds unpaired electrons; only atoms in brackets can have any."""
    if "[" not in smiles or smiles.startswith(FILE) or find_spec("rdkit") is None:
        return False
    try:
        atoms = [atom for part in smiles.split(".") for atom in parse_smiles(part).GetAtoms()]
    except EmbeddingError:  # a name that is no SMILES
        return False
    return any(atom.GetNumRadicalElectrons() for atom in atoms)


def _item(name: str, atoms: Atoms) -> dict[str, Any]:
    """One structure of a bundle."""
    return {"molecule_id": name, "regime": str(atoms.info.get("regime", "")), **to_arrays(atoms)}
