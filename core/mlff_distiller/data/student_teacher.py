"""A student as a teacher (progressive distillation), and the small ASE calculator that this takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlff_distiller.ase_bridge import PROPERTIES, ase_results
from mlff_distiller.data.teachers.base import Teacher
from mlff_distiller.dynamics import StructurePotential, load_for_dynamics
from mlff_distiller.export.identity import artifact_identity
from mlff_distiller.registry import artifact_path


class StudentCalculator(Calculator):
    """The least ASE calculator around a loaded student, for labelling; `mlff_distiller_ase` has the one for dynamics.

    Args:
        potential: From `mlff_distiller.dynamics.load_for_dynamics`.
    """

    implemented_properties: ClassVar[list[str]] = list(PROPERTIES)

    def __init__(self, potential: StructurePotential, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = potential

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """All properties in one evaluation; stress only where the structure is periodic in three directions.

        Raises:
            StructureError: The student cannot evaluate the structure.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None  # set by the base class
        evaluation = self.potential.evaluate(
            self.atoms.numbers, self.atoms.positions, self.atoms.cell.array, self.atoms.pbc
        )
        self.results = ase_results(evaluation, self.atoms)


def student_teacher(
    source: str, device: str = "cpu", dtype: str = "float32", backend: str = "auto"
) -> Teacher:
    """The teacher behind the name ``student:<source>``.

    Args:
        source: A shipped name or the path of an artifact.
        device: Any torch device.
        dtype: ``float32`` or ``float64``.
        backend: ``native``, ``torch`` or ``auto``, see `mlff_distiller.dynamics.load_for_dynamics`.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
        ConfigError: Unknown backend, dtype or device, or one that the backend has not.
    """
    potential = load_for_dynamics(source, device, dtype, backend=backend)
    metadata, sha256 = potential.metadata, artifact_identity(artifact_path(source))["sha256"]
    origin = metadata.provenance.teacher.get("teacher", "an unknown teacher")
    return Teacher(
        name=f"student:{source}",
        version=f"{metadata.name}, format {metadata.format_version}, SHA-256 {sha256[:16]}",
        method=f"PaiNN student with {metadata.n_parameters} parameters, distilled from {origin}",
        licence=metadata.provenance.teacher.get("teacher_licence", "unknown"),
        calculator=StudentCalculator(potential),
        settings={"device": str(device), "dtype": dtype, "backend": backend},
    )
