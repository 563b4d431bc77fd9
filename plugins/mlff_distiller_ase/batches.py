"""Many structures at once: as few evaluations as memory allows, results in the order of the structures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ase import Atoms

from mlff_distiller.ase_bridge import ase_results, structures_graph
from mlff_distiller.dynamics import BatchedPotential
from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller.graph import Graph, concatenate_graphs
from mlff_distiller.model.potential import Evaluation

MAX_EDGES = 100_000  # edges and atoms evaluated at once: under 2 GB for the largest preset


def evaluate_batches(
    potential: BatchedPotential, structures: Iterable[Atoms], max_edges: int = MAX_EDGES
) -> Iterator[dict[str, Any]]:
    """Results of each structure as an ASE calculator gives them, and of a committee ``force_spread``, (N,) eV/Å.

    Args:
        potential: Of any backend.
        structures: May be a generator; it is consumed batch by batch.
        max_edges: Edges and atoms in a batch; a single structure may have more.

    Raises:
        ConfigError: A single structure.
        StructureError: Names the structure by its index, and what is wrong with it.
    """
    if isinstance(structures, Atoms):
        raise ConfigError("expected several structures, got one Atoms; put it in a list")
    waiting: list[tuple[int, Atoms, Graph]] = []
    size = 0
    for index, atoms in enumerate(structures):
        graph = _graph(index, atoms, potential.cutoff)
        if waiting and size + _size(graph) > max_edges:
            yield from _evaluate(potential, waiting)
            waiting, size = [], 0
        waiting.append((index, atoms, graph))
        size += _size(graph)
    if waiting:
        yield from _evaluate(potential, waiting)


def _size(graph: Graph) -> int:
    """What a graph costs in memory: its edges, and its atoms, which may have none."""
    return graph.edge_vec.shape[0] + len(graph.atomic_numbers)


def _graph(index: int, atoms: Atoms, cutoff: float) -> Graph:
    try:
        return structures_graph([atoms], cutoff)
    except StructureError as error:
        raise StructureError(f"structure {index}: {error}") from None


def _evaluate(potential: BatchedPotential, batch: list[tuple[int, Atoms, Graph]]) -> Iterator[dict[str, Any]]:
    graphs = concatenate_graphs([graph for _, _, graph in batch])
    is_committee = potential.metadata.n_members > 1
    try:
        together, spread = (
            potential.compute_with_spread(*graphs) if is_committee else (potential.compute(*graphs), None)
        )
    except StructureError:
        _blame(potential, batch)
        raise
    start = 0
    for k, (_, atoms, _) in enumerate(batch):
        own = slice(start, start + len(atoms))
        evaluation = Evaluation(
            together.energy[k].item(),
            together.forces[own].cpu().numpy(),
            together.virial[k].cpu().numpy(),
            together.atomic_energies[own].cpu().numpy(),
        )
        results = ase_results(evaluation, atoms)
        yield results if spread is None else {**results, "force_spread": spread[own].cpu().numpy()}
        start += len(atoms)


def _blame(potential: BatchedPotential, batch: list[tuple[int, Atoms, Graph]]) -> None:
    """Evaluate one by one, so that the message counts the atoms of the structure at fault and not of the batch."""
    for index, _, graph in batch:
        try:
            potential.compute(*graph)
        except StructureError as error:
            raise StructureError(f"structure {index}: {error}") from None
