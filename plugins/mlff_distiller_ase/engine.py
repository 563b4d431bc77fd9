"""ASE as an engine for ``mlffd verify`` and ``mlffd nve``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ase import Atoms

from mlff_distiller.constant_energy import EnergyTrace, NVESettings, run_nve
from mlff_distiller.engines import SinglePoint
from mlff_distiller_ase.calculator import DistilledCalculator


class AseEngine:
    """`DistilledCalculator` with ASE's velocity Verlet."""

    def missing(self) -> str | None:
        """ASE is always there."""
        return None

    def single_points(
        self, structures: Mapping[str, Atoms], model: str, dtype: str = "float32"
    ) -> dict[str, SinglePoint]:
        """See `mlff_distiller.engines.Engine`."""
        calculator = DistilledCalculator(model, dtype=dtype)
        return {name: ase_single_point(calculator, atoms) for name, atoms in structures.items()}

    def nve(
        self, atoms: Atoms, model: str, settings: NVESettings, report: Callable[[int], None] | None = None
    ) -> EnergyTrace:
        """See `mlff_distiller.engines.Engine`."""
        atoms.calc = DistilledCalculator(model, dtype=settings.dtype)
        return run_nve(atoms, settings, report)


def ase_single_point(calculator: DistilledCalculator, atoms: Atoms) -> SinglePoint:
    """What a calculator says of one structure."""
    calculator.calculate(atoms)
    return SinglePoint(
        calculator.results["energy"], calculator.results["forces"], calculator.results.get("stress")
    )
