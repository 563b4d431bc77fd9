"""Both forces as engines of `mlffd verify` and `mlffd nve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ase import Atoms

from mlff_distiller.constant_energy import EnergyTrace, NVESettings
from mlff_distiller.engines import SinglePoint
from mlff_distiller.errors import MissingDependencyError, require
from mlff_distiller_openmm.dynamics import run_openmm_nve
from mlff_distiller_openmm.openmm_torch import load_openmm_torch
from mlff_distiller_openmm.single_point import openmm_results


class PythonForceEngine:
    """Plain OpenMM."""

    backend = "pythonforce"

    def missing(self) -> str | None:
        """See `mlff_distiller.engines.Engine`."""
        try:
            self.import_packages()
        except MissingDependencyError as error:
            return str(error)
        return None

    def import_packages(self) -> None:
        """Import what the force needs.

        Raises:
            MissingDependencyError: It is not there.
        """
        require("openmm", "openmm")

    def single_points(
        self, structures: Mapping[str, Atoms], model: str, dtype: str = "float32"
    ) -> dict[str, SinglePoint]:
        """See `mlff_distiller.engines.Engine`; structures that are periodic along some directions only are left out."""
        return {
            name: SinglePoint(*openmm_results(atoms, model, self.backend, dtype))
            for name, atoms in structures.items()
            if atoms.pbc.all() or not atoms.pbc.any()
        }

    def nve(
        self, atoms: Atoms, model: str, settings: NVESettings, report: Callable[[int], None] | None = None
    ) -> EnergyTrace:
        """See `mlff_distiller.engines.Engine`."""
        return run_openmm_nve(atoms, model, settings, backend=self.backend, report=report)


class TorchForceEngine(PythonForceEngine):
    """OpenMM with openmm-torch."""

    backend = "torchforce"

    def import_packages(self) -> None:
        """See `PythonForceEngine`."""
        load_openmm_torch()
