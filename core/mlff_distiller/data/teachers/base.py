"""What a teacher is: an ASE calculator with a name, a provenance, and labels that are checked.

N: atoms of one structure.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError, all_changes
from ase.calculators.singlepoint import SinglePointCalculator

from mlff_distiller.data.teachers.charge import charge_problem
from mlff_distiller.data.validation import dependent_vectors
from mlff_distiller.errors import TeacherError

# What calculators raise for structures that they cannot treat. Any other exception is a defect and passes.
FAILURES = (CalculatorError, RuntimeError, ValueError, ArithmeticError, LookupError)


def supports_all(atoms: Atoms) -> str | None:
    """The `Teacher.refusal` of a teacher that leaves it to its calculator to refuse a structure."""
    return None


def unknown_teacher(name: str, known: Iterable[str]) -> TeacherError:
    """The error for a name that is none of `known`; it names them and the closest one."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return TeacherError(f"Unknown teacher {name!r}.{hint} Known: {', '.join(known)}.")


@dataclass(frozen=True)
class Teacher:
    """A source of energies and forces, with what a dataset must record about it.

    Not meant to be sent between processes: load it by name in each of them.

    Attributes:
        name: The name that it was loaded by; `load_teacher(name, **options)` gives it again.
        version: Version of the method and of the package that computes it.
        method: One line on what it is.
        licence: Licence of the package and, where there are any, of the weights, as far as known.
        calculator: The calculator; also for dynamics and relaxations.
        energy_property: The ASE property whose negative gradient the forces are: "energy" or "free_energy".
        settings: The settings that the labels depend on.
        refusal: Says in words why the teacher cannot label a structure, or None if it can. For what the
            calculator itself would take without complaint and get wrong.
    """

    name: str
    version: str
    method: str
    licence: str
    calculator: Calculator
    energy_property: str = "energy"
    settings: Mapping[str, object] = field(default_factory=dict)
    refusal: Callable[[Atoms], str | None] = supports_all

    def label(self, atoms: Atoms) -> Atoms:
        """A copy of a structure with this teacher's labels.

        Each label is computed from scratch, so it does not depend on what was labelled before.

        Args:
            atoms: N atoms; neither they nor their own calculator are touched. Constraints are left out of the
                copy, because ASE would apply them to the labels.

        Returns:
            The copy, `info` included, with a `SinglePointCalculator` that holds energy (eV), forces (N, 3)
            eV/Å and, if the structure is periodic in all three directions and the calculator gives it, stress
            (6,) eV/Å^3 in the order xx yy zz yz xz xy.

        Raises:
            TeacherError: The structure is not one that the teacher can treat, the calculation failed
                (say, did not converge), or a result is not finite.
        """
        labelled = atoms.copy()
        labelled.set_constraint()
        problem = _malformed(labelled) or self.refusal(labelled)
        if problem is not None:
            raise self._error(labelled, problem)
        try:
            results = self._results(labelled)
        except FAILURES as error:
            raise self._error(labelled, f"{type(error).__name__}: {error}") from error
        self._check(labelled, results)
        labelled.calc = SinglePointCalculator(labelled, **results | {"energy": float(results["energy"])})
        return labelled

    def metadata(self) -> dict[str, str]:
        """What a dataset file records about its teacher; the settings as JSON."""
        return {
            "teacher": self.name,
            "teacher_version": self.version,
            "teacher_method": self.method,
            "teacher_licence": self.licence,
            "teacher_settings": json.dumps(dict(self.settings), sort_keys=True, default=str),
        }

    def _results(self, atoms: Atoms) -> dict[str, np.ndarray]:
        """Energy (), forces (N, 3) and perhaps stress (6,), in one calculation that uses no cached result."""
        properties = {"energy": self.energy_property, "forces": "forces"}
        if atoms.pbc.all() and "stress" in self.calculator.implemented_properties:
            properties["stress"] = "stress"
        self.calculator.reset()
        self.calculator.calculate(atoms, list(properties.values()), all_changes)
        results = self.calculator.results
        return {key: np.array(results[name], dtype=np.float64) for key, name in properties.items()}

    def _check(self, atoms: Atoms, results: dict[str, np.ndarray]) -> None:
        """Raise TeacherError unless every result has its shape and is finite."""
        shapes = {"energy": (), "forces": (len(atoms), 3), "stress": (6,)}
        for name, value in results.items():
            if value.shape != shapes[name]:
                raise self._error(atoms, f"{name} has the shape {value.shape}; expected {shapes[name]}")
            if not np.isfinite(value).all():
                raise self._error(atoms, f"{name} is not finite")

    def _error(self, atoms: Atoms, problem: str) -> TeacherError:
        return TeacherError(
            f"Teacher {self.name!r} cannot label {atoms.get_chemical_formula() or 'no atoms'}: {problem}."
        )


def _malformed(atoms: Atoms) -> str | None:
    """Why no teacher can label these atoms, or None."""
    if len(atoms) == 0:
        return "the structure is empty"
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return "a position or cell vector is not finite"
    if dependent_vectors(atoms.cell.array[None], atoms.pbc[None])[0]:
        return "the cell is singular along its periodic directions"
    return charge_problem(atoms)
