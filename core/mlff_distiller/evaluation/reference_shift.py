"""Does a student's zero of energy fit the labels that it shall be fine-tuned on?

Each teacher has energies E0 of free atoms of its own: those of GFN1-xTB and GFN2-xTB differ by electronvolts for each atom, and
those of a DFT code from both by hundreds. A student that starts from other E0 spends its training on that difference: its energy
loss is a hundred times too large, and the clipped gradient follows it instead of the forces. So E0 is moved before the training.

S structures.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from ase.data import chemical_symbols

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.statistics import fit_reference_energies
from mlff_distiller.evaluation.metrics import predict_dataset
from mlff_distiller.model.potential import Potential, StudentForceField

logger = logging.getLogger(__name__)

TOLERANCE = (
    0.1  # eV/atom; the shipped students have RMS errors of 0.01 to 0.02 on molecules of their own teacher
)
N_STRUCTURES = 200  # evenly spread over the labels: enough for a handful of unknowns


@dataclass(frozen=True)
class ReferenceShift:
    """What must be added to E0 for a student's energies to fit the labels.

    Attributes:
        by_element: eV by atomic number, of the elements in the labels. Where their compositions do not determine single values
            (one molecule only), just the sums over structures of those compositions mean something.
        before: RMS error of the energy per atom, eV.
        after: What is left of it once E0 is shifted, eV.
    """

    by_element: dict[int, float]
    before: float
    after: float

    @property
    def needed(self) -> bool:
        """The energies are further off than a student's error explains."""
        return self.before > TOLERANCE

    def energies(self, dataset: Dataset) -> np.ndarray:
        """(S,) eV, what the shift adds to each structure."""
        return _energies_of(self.by_element, dataset)

    def describe(self) -> str:
        """One sentence with all numbers."""
        shifts = ", ".join(f"{chemical_symbols[z]} {value:+.3f}" for z, value in self.by_element.items())
        return (
            f"the energies of the labels differ from the student's by {self.before:.3f} eV/atom (RMS); its reference energies "
            f"were shifted by (eV) {shifts}, which leaves {self.after:.3f} eV/atom"
        )


def measure_reference_shift(potential: Potential, dataset: Dataset) -> ReferenceShift:
    """Least squares of the energy errors on the compositions.

    Args:
        potential: The student.
        dataset: S labelled structures; at most 200 of them are looked at.

    Raises:
        DatasetError: No structures.
        StructureError: The student does not know an element.
    """
    chosen = dataset.select(np.unique(np.linspace(0, len(dataset) - 1, N_STRUCTURES).astype(int)))
    energy, _ = predict_dataset(potential, chosen)
    errors = replace(chosen, energy=chosen.energy - energy)
    shift = fit_reference_energies(errors)
    return ReferenceShift(
        by_element=shift,
        before=_rms(errors.energy / errors.n_atoms),
        after=_rms((errors.energy - _energies_of(shift, errors)) / errors.n_atoms),
    )


def align_references(student: StudentForceField, dataset: Dataset) -> ReferenceShift:
    """Shift the student's E0 to the labels where they do not fit, and warn.

    Forces do not change. Elements that the labels do not hold keep their E0, so the energies of structures that mix them with
    others no longer mean anything.

    Args:
        student: Changed in place.
        dataset: What it is to be trained on.
    """
    shift = measure_reference_shift(student, dataset)
    if shift.needed:
        with torch.no_grad():
            for z, value in shift.by_element.items():
                student.reference.e0[student.elements.index(z)] += value
        logger.warning("%s", shift.describe())
    return shift


def _energies_of(by_element: Mapping[int, float], dataset: Dataset) -> np.ndarray:
    by_atom = [by_element[z] for z in dataset.atomic_numbers.tolist()]
    return np.bincount(dataset.batch, weights=by_atom, minlength=len(dataset))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
