"""A student as a teacher (progressive distillation), and the small ASE calculator that this takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlff_distiller.data.teachers.base import Teacher
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.registry import load
from mlff_distiller.units import full_to_voigt


class StudentCalculator(Calculator):
    """An ASE calculator around a loaded student; finds all neighbours anew at every call.

    Args:
        potential: From `mlff_distiller.load`.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "energies"]

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
        prediction = self.potential.predict(
            torch.from_numpy(self.atoms.numbers).long(),
            torch.from_numpy(self.atoms.positions),
            cell=torch.from_numpy(np.array(self.atoms.cell)),
            pbc=torch.from_numpy(self.atoms.pbc),
        )
        energy = prediction.energy.item()
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": prediction.forces.cpu().numpy(),
            "energies": prediction.atomic_energies.cpu().numpy(),
        }
        if self.atoms.pbc.all():
            self.results["stress"] = full_to_voigt(prediction.stress[0].cpu().numpy())


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
