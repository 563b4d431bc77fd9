"""Total charge and spin of a structure: one convention for every teacher.

They are those of the atoms' initial charges and initial magnetic moments, ASE's own place for them, where its
result cache looks. Networks of other packages read `atoms.info["charge"]` and `atoms.info["spin"]` (the
multiplicity).
"""

from __future__ import annotations

from ase import Atoms


def total_charge(atoms: Atoms) -> float:
    """The total charge in e."""
    return float(atoms.get_initial_charges().sum())


def spin_multiplicity(atoms: Atoms) -> int:
    """2 S + 1; without magnetic moments, the lowest that the number of electrons allows."""
    unpaired = round(abs(float(atoms.get_initial_magnetic_moments().sum())))
    electrons = round(int(atoms.numbers.sum()) - total_charge(atoms))
    return (unpaired or electrons % 2) + 1


def charge_problem(atoms: Atoms) -> str | None:
    """Why the charge or spin of a structure is not well defined, or None."""
    charge = total_charge(atoms)
    if abs(charge - round(charge)) > 1e-6:
        return f"the initial charges sum to {charge:g} e; expected a whole number"
    stated = {"charge": round(charge), "spin": spin_multiplicity(atoms)}
    for key, value in stated.items():
        if key in atoms.info and atoms.info[key] != value:
            return (
                f"atoms.info[{key!r}] is {atoms.info[key]}, but the initial charges and magnetic moments say "
                f"{value}; state the charge with atoms.set_initial_charges() and unpaired electrons with "
                "atoms.set_initial_magnetic_moments()"
            )
    return None
