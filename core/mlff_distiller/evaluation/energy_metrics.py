"""Errors of energies per atom: as they are, after one fitted offset per element, and within each molecule.

S structures, K elements. Everything in eV.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from ase.data import chemical_symbols

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.data.statistics import compositions, fit_reference_energies
from mlff_distiller.evaluation.metrics import (
    EnergyErrors,
    energy_error_per_atom,
    energy_errors,
    within_molecules,
)


@dataclass(frozen=True)
class EnergyMetrics(EnergyErrors):
    """Errors of energies over some structures, eV per atom.

    Attributes:
        rmse_shifted: As ``mae_shifted``, with each molecule's mean error taken out; None where that is.
        mae_fitted: After one offset per element, fitted over the whole dataset, is taken out; None where the fit is void.
        rmse_fitted: Likewise.
    """

    rmse_shifted: float | None
    mae_fitted: float | None
    rmse_fitted: float | None


def fit_element_offsets(dataset: Dataset, energy: np.ndarray) -> dict[str, float]:
    """The constant δ of each element that explains most of the error.

    Minimises Σ_s [(Ê_s - E_s - Σ_Z n_sZ δ_Z) / n_s]², as `fit_reference_energies` does for the energies themselves. What it
    takes out changes no force: two teachers that differ by atomic reference energies are the same to a trajectory.

    Args:
        dataset: S structures with labels.
        energy: Ê, (S,) eV.

    Returns:
        δ in eV by symbol; empty where the compositions do not determine every δ, and where there are no more different ones than
        elements, since the fit would be exact for any error.
    """
    elements, counts = compositions(dataset)
    different = np.unique(counts, axis=0)
    if len(different) <= len(elements) or np.linalg.matrix_rank(different) < len(elements):
        return {}
    offsets = fit_reference_energies(replace(dataset, energy=energy - dataset.energy))
    return {chemical_symbols[z]: offset for z, offset in offsets.items()}


def energy_metrics(
    dataset: Dataset, energy: np.ndarray, offsets: dict[str, float], chosen: np.ndarray
) -> EnergyMetrics:
    """All metrics over the structures ``chosen`` (S,) bool, of which there must be one at least.

    Args:
        dataset: S structures with labels.
        energy: (S,) eV.
        offsets: From `fit_element_offsets`, over the whole dataset.
        chosen: (S,) bool.
    """
    errors = energy_error_per_atom(dataset, energy)
    error, shifted = errors[chosen], within_molecules(dataset, errors, chosen)
    fitted = (error - _offset_per_atom(dataset, offsets)[chosen]) if offsets else None
    return EnergyMetrics(
        **asdict(energy_errors(dataset, energy, chosen)),
        rmse_shifted=_rms(shifted) if len(shifted) else None,
        mae_fitted=None if fitted is None else float(np.abs(fitted).mean()),
        rmse_fitted=None if fitted is None else _rms(fitted),
    )


def _offset_per_atom(dataset: Dataset, offsets: dict[str, float]) -> np.ndarray:
    """Σ_Z n_sZ δ_Z / n_s, (S,) eV."""
    of_number = np.zeros(len(chemical_symbols))
    for symbol, offset in offsets.items():
        of_number[chemical_symbols.index(symbol)] = offset
    return np.bincount(dataset.batch, weights=of_number[dataset.atomic_numbers]) / dataset.n_atoms


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
