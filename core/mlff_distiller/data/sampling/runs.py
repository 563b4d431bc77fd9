"""Sample and label many molecules or structures into one dataset file, in parallel and safe to kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from threadpoolctl import threadpool_limits

from mlff_distiller.data.jobs import Backend, Task, TaskResult
from mlff_distiller.data.runs import (
    Execution,
    RunReport,
    options_json,
    task_result,
    worker_teacher,
    write_run,
)
from mlff_distiller.data.sampling.config import ContactConfig, SamplingConfig
from mlff_distiller.data.sampling.conformers import canonical_smiles, embed, n_heavy_atoms, smiles_topology
from mlff_distiller.data.sampling.molecule import Sampler, is_thermal
from mlff_distiller.data.sampling.topology import Topology
from mlff_distiller.data.structures import from_arrays, read_structures, to_arrays
from mlff_distiller.errors import SamplingError


def sample_molecules(
    smiles: Sequence[str],
    teacher: str,
    config: SamplingConfig,
    output: Path,
    seed: int = 0,
    n_jobs: int = 1,
    *,
    first: int | None = None,
    teacher_options: Mapping[str, Any] | None = None,
    backend: Backend = "loky",
    show_progress: bool = True,
) -> RunReport:
    """Sample molecules by all recipes, label the frames with a teacher, and write them as a dataset.

    The run can be killed and started again with the same arguments; it then goes on where it stopped, and the
    file is the same as without the interruption, and for any ``n_jobs``.

    Args:
        smiles: One molecule each; those that mean the same molecule count once.
        teacher: Name for `mlff_distiller.data.teachers.load_teacher`.
        config: Recipes and filters.
        output: The HDF5 file to write; must not exist.
        seed: Of all random numbers.
        n_jobs: Number of worker processes.
        first: Sample the first so many molecules only, with partners drawn from all of them: their frames are those that the
            whole list would give.
        teacher_options: Options for ``load_teacher``.
        backend: ``loky`` (this machine) or ``dask``.
        show_progress: Show a progress bar on standard error.

    Raises:
        ConfigError: The output exists or belongs to another run.
        SamplingError: A SMILES cannot be read, or more than half of the molecules failed.
        TeacherError: The teacher cannot be loaded.
    """
    molecules = list(dict.fromkeys(canonical_smiles(text) for text in smiles))
    if not molecules:
        raise SamplingError("Expected at least one SMILES, got none.")
    worker = MoleculeWorker(teacher, options_json(teacher_options), config.to_json())
    tasks = molecule_tasks(molecules, config, seed)
    return _write(tasks, worker, seed, output, Execution(n_jobs, backend, show_progress), first)


def sample_structures(
    sources: Sequence[str | Path | Atoms],
    teacher: str,
    config: SamplingConfig,
    output: Path,
    seed: int = 0,
    n_jobs: int = 1,
    *,
    teacher_options: Mapping[str, Any] | None = None,
    backend: Backend = "loky",
    show_progress: bool = True,
) -> RunReport:
    """Sample around given structures, molecular or periodic, and write the labelled frames as a dataset.

    As `sample_molecules`, but each structure is the start geometry itself. There are no dimers and
    clusters; bonds are those of the distances; periodic structures are strained, and no bond of theirs is
    turned or scaled.

    Args:
        sources: Files that ASE can read (every frame is a start), or Atoms, of any periodicity.
        teacher: As for `sample_molecules`, and so are the other arguments and errors.
        config: Recipes and filters.
        output: The HDF5 file to write; must not exist.
        seed: Of all random numbers.
        n_jobs: Number of worker processes.
        teacher_options: Options for ``load_teacher``.
        backend: ``loky`` (this machine) or ``dask``.
        show_progress: Show a progress bar on standard error.

    Raises:
        DatasetError: A file cannot be read.
    """
    worker = StructureWorker(teacher, options_json(teacher_options), config.to_json())
    tasks = [
        Task(f"{index} {name}", {"name": name, **to_arrays(atoms)}, seed)
        for index, (name, atoms) in enumerate(read_structures(sources))
    ]
    return _write(tasks, worker, seed, output, Execution(n_jobs, backend, show_progress))


def molecule_tasks(molecules: Sequence[str], config: SamplingConfig, seed: int) -> list[Task]:
    """One task for each molecule, with its partners in dimers and clusters drawn from all of them."""
    heavy = {name: n_heavy_atoms(name) for name in molecules}
    tasks = []
    for name in molecules:
        rng = Task(f"partners of {name}", None, seed).random_generator()
        payload: dict[str, Any] = {"smiles": name}
        for kind, settings in (("dimers", config.dimers), ("clusters", config.clusters)):
            small = [other for other in molecules if heavy[other] <= settings.max_partner_heavy_atoms]
            payload[kind] = _draw_partners(small, settings, rng)
        tasks.append(Task(name, payload, seed))
    return tasks


def _draw_partners(
    small: Sequence[str], settings: ContactConfig, rng: np.random.Generator
) -> list[list[str]]:
    """The partners (SMILES) of each cluster; no clusters where no molecule is small enough."""
    if not small:
        return []
    return [
        [small[int(k)] for k in rng.integers(len(small), size=settings.size - 1)] for _ in range(settings.n)
    ]


@dataclass(frozen=True)
class _SamplingWorker:
    """Runs one task; small, because it is sent to the worker processes. Options and settings are JSON."""

    teacher: str
    teacher_options: str
    config: str

    def __call__(self, task: Task, rng: np.random.Generator) -> TaskResult:
        teacher = worker_teacher(self.teacher, self.teacher_options)
        sampler = Sampler(teacher, SamplingConfig.from_json(self.config), rng, Counter())
        with threadpool_limits(limits=1):  # results must not depend on how a sum is shared among threads
            return task_result(self.frames(task.payload, sampler), sampler.failures)

    def frames(self, payload: Mapping[str, Any], sampler: Sampler) -> list[Atoms]:
        raise NotImplementedError


class MoleculeWorker(_SamplingWorker):
    """Samples a molecule given as SMILES."""

    def frames(self, payload: Mapping[str, Any], sampler: Sampler) -> list[Atoms]:
        name, config, frames = payload["smiles"], sampler.config, []
        topology = smiles_topology(name)
        for start in embed(name, sampler.rng, config.conformers):
            frames.extend(sampler.molecule_frames(start, topology, name))
        if thermal := [frame for frame in frames if is_thermal(frame)]:
            for kind, settings in (("dimers", config.dimers), ("clusters", config.clusters)):
                for partners in payload[kind]:
                    frames.extend(sampler.cluster_frames(thermal, name, partners, settings))
        return frames


class StructureWorker(_SamplingWorker):
    """Samples around a structure given as arrays."""

    def frames(self, payload: Mapping[str, Any], sampler: Sampler) -> list[Atoms]:
        start, name = from_arrays(payload), payload["name"]
        if not start.pbc.any():
            return list(sampler.molecule_frames(start, Topology.from_distances(start), name))
        frames = list(sampler.molecule_frames(start, Topology.without_bonds(len(start)), name))
        return frames + list(sampler.periodic_frames(start, name))


def _write(
    tasks: Sequence[Task],
    worker: _SamplingWorker,
    seed: int,
    output: Path,
    execution: Execution,
    first: int | None = None,
) -> RunReport:
    teacher = worker_teacher(
        worker.teacher, worker.teacher_options
    )  # a wrong name fails here, before any work
    settings = {"sampling": worker.config, "seed": str(seed)}
    return write_run(tasks, worker, teacher, settings, output, execution, first)
