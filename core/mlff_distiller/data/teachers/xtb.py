"""The GFN-xTB teachers, computed by tblite: always at hand, no weights to fetch.

GFN1-xTB: Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 13, 1989 (2017). GFN2-xTB: Bannwarth, Ehlert,
Grimme, J. Chem. Theory Comput. 15, 1652 (2019).
"""

from __future__ import annotations

from importlib.metadata import version

from ase import Atoms

from mlff_distiller.data.teachers.base import Teacher
from mlff_distiller.errors import ConfigError, require

_METHODS = {"gfn1-xtb": "GFN1-xTB", "gfn2-xtb": "GFN2-xTB"}

NAMES = tuple(_METHODS)


def xtb_teacher(
    name: str,
    *,
    accuracy: float = 0.1,
    electronic_temperature: float = 300.0,
    max_iterations: int = 250,
) -> Teacher:
    """A GFN-xTB teacher.

    `Teacher.label` starts every calculation from the atomic guess. Dynamics with the calculator goes on from
    the wavefunction of the step before, which saves a fifth of the time and leaves a trace of some 1e-5 eV/Å;
    call `calculator.reset()` before a trajectory that must not depend on the one before it.

    tblite takes its number of threads from OMP_NUM_THREADS when it is first imported. One thread per process
    is fastest below some fifty atoms, so parallelise over structures.

    Periodic structures are sampled at the Gamma point only: use cells of 10 Å or more (doubling a 5.7 Å cell
    of CO2 changed forces by 0.01 eV/Å).

    Args:
        name: "gfn1-xtb" or "gfn2-xtb".
        accuracy: tblite's factor on its convergence thresholds. At 1.0, its own default, forces are converged
            to some 5e-4 eV/Å; at 0.1 to some 4e-5, for less than a fifth more time.
        electronic_temperature: Of the Fermi smearing, K. The energy is the electronic free energy.
        max_iterations: SCF iterations before the calculation counts as failed.

    Raises:
        ConfigError: An option is not positive.
        MissingDependencyError: tblite is not installed.
    """
    tblite_ase = require("tblite.ase", extra="xtb")
    settings = {
        "accuracy": accuracy,
        "electronic_temperature": electronic_temperature,
        "max_iterations": max_iterations,
    }
    for key, value in settings.items():
        if not value > 0:
            raise ConfigError(f"Teacher {name!r}: {key} must be positive, got {value}.")
    method = _METHODS[name]
    return Teacher(
        name=name,
        version=f"{method}, tblite {version('tblite')}",
        method=f"{method} semi-empirical tight binding",
        licence="LGPL-3.0-or-later (tblite)",
        calculator=tblite_ase.TBLite(method=method, verbosity=0, **settings),
        settings=settings,
        refusal=_partly_periodic,
    )


def _partly_periodic(atoms: Atoms) -> str | None:
    """tblite takes a structure with any periodic direction as periodic in all three, without a word."""
    if atoms.pbc.any() and not atoms.pbc.all():
        return (
            f"tblite treats molecules and three-dimensional crystals, not pbc = {atoms.pbc.tolist()}; "
            "make the cell periodic in all directions with vacuum, or in none"
        )
    return None
