"""A student as a teacher (progressive distillation), and the small ASE calculator that this takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlff_distiller.ase_bridge import PROPERTIES, ase_results, structure_tensors
from mlff_distiller.data.teachers.base import Teacher
from mlff_distiller.dynamics import single_evaluation
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.registry import load


class StudentCalculator(Calculator):
    """The least ASE calculator around a loaded student, for labelling; `mlff_distiller_ase` has the one for dynamics.

    Args:
        potential: From `mlff_distiller.load`.
    """

    implemented_properties: ClassVar[list[str]] = list(PROPERTIES)

    def __init__(self, potential: TorchScriptPotential, **kwargs: Any) -> None:
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
        numbers, positions, cell, pbc = structure_tensors(self.atoms)
        prediction = self.potential.predict(numbers, positions, cell=cell, pbc=pbc)
        self.results = ase_results(single_evaluation(prediction), self.atoms)


def student_teacher(source: str, device: str = "cpu", dtype: str = "float32") -> Teacher:
    """The teacher behind the name ``student:<source>``.

    Args:
        source: A shipped name or the path of an artifact.
        device: Any torch device.
        dtype: ``float32`` or ``float64``.

    Raises:
        ArtifactError: There is no such student, or its file is damaged.
    """
    potential = load(source, device, dtype)
    metadata = potential.metadata
    origin = metadata.provenance.teacher.get("teacher", "an unknown teacher")
    return Teacher(
        name=f"student:{source}",
        version=f"{metadata.name}, format {metadata.format_version}",
        method=f"PaiNN student with {metadata.n_parameters} parameters, distilled from {origin}",
        licence="MIT",
        calculator=StudentCalculator(potential),
        settings={"device": str(device), "dtype": dtype},
    )
