"""One artifact, every way to run it, the same structures: do they agree?

The reference is the live student in float64. Differences are absolute, so that large reference energies cannot hide any.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from ase.neighborlist import neighbor_list as ase_neighbor_list
from scipy.spatial.transform import Rotation

from mlff_distiller.ase_bridge import ase_results, structure_tensors, structures_graph
from mlff_distiller.dynamics import single_evaluation
from mlff_distiller.engines import SinglePoint, list_engines
from mlff_distiller.errors import MissingDependencyError
from mlff_distiller.export.artifact import read_metadata
from mlff_distiller.export.onnx import OnnxPotential
from mlff_distiller.export.verify import ENERGY_TOLERANCE, FORCE_TOLERANCE, check_structures
from mlff_distiller.export.write import write_artifact
from mlff_distiller.model.potential import Potential
from mlff_distiller.native import NativePotential
from mlff_distiller.neighbors import torch_cell_neighbors, torch_neighbors, vesin_neighbors
from mlff_distiller.registry import artifact_path, load, load_model

VIRIAL_TOLERANCE = 1e-4  # eV per atom
WATER_SPACING = 3.104  # Å between molecules on a cubic lattice: 1 g/cm³


@dataclass(frozen=True)
class Agreement:
    """How far one way to run the artifact is from the reference, over all structures.

    Attributes:
        name: Of the backend or engine.
        missing: What is not installed; None where it ran.
        failed: Why it stopped with an error; None where it did not.
        n_structures: Compared; an engine leaves out what it cannot represent.
        energy: Largest |ΔE| per atom, eV.
        forces: Largest |ΔF| of a component, eV/Å.
        stress: Largest |Δstress| of a component, eV/Å³; None where it gives none.
        virial: Largest |Δstress| · V per atom, eV: the stress on the scale of energies; 0 where there is none.
        worst: Structure with the largest |ΔF|.
    """

    name: str
    missing: str | None = None
    failed: str | None = None
    n_structures: int = 0
    energy: float = 0.0
    forces: float = 0.0
    stress: float | None = None
    virial: float = 0.0
    worst: str = ""

    @property
    def acceptable(self) -> bool:
        """Within the tolerances; NaN is not. What could not run is no disagreement."""
        if self.missing is not None:
            return True
        differences = (
            (self.energy, ENERGY_TOLERANCE),
            (self.forces, FORCE_TOLERANCE),
            (self.virial, VIRIAL_TOLERANCE),
        )
        return self.failed is None and all(found <= limit for found, limit in differences)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "acceptable": self.acceptable}


def verification_structures(elements: list[int], cutoff: float) -> dict[str, Atoms]:
    """`check_structures`, and for students of H, C and O a large molecule, a liquid in two cells, and wrapped copies."""
    structures = check_structures(elements, cutoff)
    if 6 in elements:
        structures["C60"] = molecule("C60")
    if {1, 8} <= set(elements):
        structures["large liquid"] = water_box(
            4
        )  # inside TorchScript, neighbours of more than 100 atoms are searched otherwise
        liquid = water_box(3)
        structures["liquid"] = liquid
        tilted = liquid.copy()
        tilted.set_cell(liquid.cell.array @ [[1, 0, 0], [0.15, 1, 0], [-0.1, 0.2, 1.05]], scale_atoms=False)
        tilted.set_cell(tilted.cell.array * 1.1, scale_atoms=False)
        structures["tilted liquid"] = tilted
        structures["small water cell"] = water_box(1)
    unwrapped = structures["triclinic"].copy()
    steps = np.random.default_rng(0).integers(-2, 3, (len(unwrapped), 3))
    unwrapped.positions += steps @ unwrapped.cell.array
    structures["triclinic, unwrapped"] = unwrapped
    return structures


def water_box(n: int, seed: int = 0) -> Atoms:
    """n³ water molecules at 1 g/cm³ on a cubic lattice, each turned at random: a start, not an equilibrium."""
    rng = np.random.default_rng(seed)
    box = Atoms(cell=np.eye(3) * n * WATER_SPACING, pbc=True)
    for cell in np.ndindex(n, n, n):
        water = molecule("H2O")
        water.positions = water.positions @ Rotation.random(None, rng).as_matrix().T
        water.positions += WATER_SPACING * (np.array(cell) + 0.5) - water.positions[0]
        box += water
    return box


def compare_edges(structures: Mapping[str, Atoms], cutoff: float) -> list[str]:
    """Names of the structures on which the neighbour searches disagree: vesin, the two inside the artifact, and ASE's."""
    return [name for name, atoms in structures.items() if not _same_edges(atoms, cutoff)]


def verify_artifact(
    model: str, report: Callable[[str], None] = lambda _: None
) -> tuple[list[str], list[Agreement]]:
    """Run everything that is installed.

    Args:
        model: A shipped name or the path of an artifact.
        report: Called with the name of what runs next.

    Returns:
        Structures whose edge lists differ, and one `Agreement` for each backend and engine.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
    """
    path = artifact_path(model)
    live = load_model(path)
    structures = verification_structures(live.elements, live.cutoff)
    report("edge lists")
    bad_edges = compare_edges(structures, live.cutoff)
    reference = _by_potential(live.double(), structures)
    found = []
    for name, run in _runs(path, structures).items():
        report(name)
        try:
            found.append(_agreement(name, structures, reference, run()))
        except MissingDependencyError as error:
            found.append(Agreement(name, missing=str(error)))
        except Exception as error:  # engines raise errors of their own; the others shall still run
            found.append(Agreement(name, failed=f"{type(error).__name__}: {error}"))
    return bad_edges, found


def _runs(path: Path, structures: Mapping[str, Atoms]) -> dict[str, Callable[[], Mapping[str, SinglePoint]]]:
    """Everything that computes, by name."""
    runs: dict[str, Callable[[], Mapping[str, SinglePoint]]] = {
        "eager float32": lambda: _by_potential(load_model(path), structures),
        "TorchScript": lambda: _by_potential(load(path), structures),
        "TorchScript float64": lambda: _by_potential(load(path, dtype="float64"), structures),
        "native": lambda: _by_potential(NativePotential(path), structures),
    }
    if read_metadata(path).n_members == 1:  # a committee has no ONNX form
        runs["ONNX Runtime"] = lambda: _by_onnx(path, structures)
    for name, engine in list_engines().items():
        runs[name] = lambda engine=engine: _by_engine(engine, structures, str(path))
    return runs


def _by_potential(potential: Potential, structures: Mapping[str, Atoms]) -> dict[str, SinglePoint]:
    points = {}
    for name, atoms in structures.items():
        prediction = potential.compute(*structures_graph([atoms], potential.cutoff))
        results = ase_results(single_evaluation(prediction), atoms)
        points[name] = SinglePoint(results["energy"], results["forces"], results.get("stress"))
    return points


def _by_onnx(path: Path, structures: Mapping[str, Atoms]) -> dict[str, SinglePoint]:
    with tempfile.TemporaryDirectory() as folder:
        file = write_artifact(
            load_model(path), "verify", load(path).metadata.provenance, Path(folder) / "verify.onnx"
        )
        return _by_potential(OnnxPotential(file), structures)


def _by_engine(engine: Any, structures: Mapping[str, Atoms], model: str) -> Mapping[str, SinglePoint]:
    reason = engine.missing()
    if reason is not None:
        raise MissingDependencyError(reason)
    return engine.single_points(structures, model)


def _agreement(
    name: str,
    structures: Mapping[str, Atoms],
    reference: Mapping[str, SinglePoint],
    found: Mapping[str, SinglePoint],
) -> Agreement:
    energy = {k: abs(found[k].energy - reference[k].energy) / len(structures[k]) for k in found}
    forces = {k: float(np.abs(found[k].forces - reference[k].forces).max()) for k in found}
    stress = {
        k: float(np.abs(point.stress - expected).max())
        for k, point in found.items()
        if point.stress is not None and (expected := reference[k].stress) is not None
    }
    virial = [value * structures[k].get_volume() / len(structures[k]) for k, value in stress.items()]
    return Agreement(
        name,
        n_structures=len(found),
        energy=_largest(energy.values()),
        forces=_largest(forces.values()),
        stress=_largest(stress.values()) if stress else None,
        virial=_largest(virial) if virial else 0.0,
        worst=max(forces, key=lambda k: forces[k]),
    )


def _largest(values: Iterable[float]) -> float:
    """NaN if any is: `max` would lose it."""
    return float(np.max(list(values)))


def _same_edges(atoms: Atoms, cutoff: float) -> bool:
    _, positions, cell, pbc = structure_tensors(atoms)
    searches = [
        search(positions, cell, pbc, cutoff)
        for search in (vesin_neighbors, torch_neighbors, torch_cell_neighbors)
    ]
    i, j, shifts = ase_neighbor_list("ijS", atoms, cutoff)
    searches.append((torch.from_numpy(np.stack([i, j])), torch.from_numpy(shifts)))
    rows = [np.unique(torch.cat([edges.T, s], dim=1).numpy(), axis=0) for edges, s in searches]
    counts = {edges.shape[1] for edges, _ in searches}
    return len(counts) == 1 and all(np.array_equal(rows[0], other) for other in rows[1:])
