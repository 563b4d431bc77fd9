"""``atoms.calc = DistilledCalculator("tiny")``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, Parameters, all_changes
from numpy.typing import NDArray

from mlff_distiller.ase_bridge import PROPERTIES, ase_results
from mlff_distiller.dynamics import SKIN, StructurePotential, VerletPotential, load_for_dynamics
from mlff_distiller.errors import ConfigError
from mlff_distiller.export.torchscript import TorchScriptPotential
from mlff_distiller.native import NativePotential
from mlff_distiller_ase.batches import MAX_EDGES, evaluate_batches

MAX_SPREAD = 0.5  # eV/Å, some five times the typical force error of a small student


class SpreadWarning(UserWarning):
    """The members of a committee disagree: the structure is not like their training data."""


class DistilledCalculator(Calculator):
    """A distilled student as an ASE calculator, for dynamics, optimisers, phonons and NEB.

    Gives energy and free_energy (eV), forces (eV/Å), energies (eV per atom, reference energies included), and stress (eV/Å³,
    Voigt order xx yy zz yz xz xy) where the structure is periodic in three directions.

    Args:
        model: A shipped name, the path of an artifact, or a loaded potential. That keeps its own device, dtype and backend, and
            if it is native its skin and threads: those arguments do not count then.
        device: Any torch device.
        dtype: Of the network, ``float32`` or ``float64``; sums are float64 in both.
        skin: Å. The neighbour list is made for cutoff + skin and used until an atom has moved half of the skin, or cell, pbc,
            elements or the number of atoms have changed. It changes the speed, and no result.
        backend: ``native`` (C++, CPU and float32), ``torch`` (TorchScript), or ``auto``: native where it can.
        threads: Of the native engine.
        max_spread: eV/Å. A committee warns (`SpreadWarning`) when an atom's force_spread passes it, once until all are below
            it again; None never warns.
        **kwargs: For `ase.calculators.calculator.Calculator`: label, atoms, directory.

    Attributes:
        force_spread: (N,) eV/Å, how far the members of a committee disagree on the last structure; None of a single student.

    Raises:
        ArtifactError: There is no such student, or its file is damaged or of an unknown format.
        ConfigError: Unknown dtype or backend, a device that is not there, or a negative skin.
    """

    implemented_properties: ClassVar[list[str]] = list(PROPERTIES)

    def __init__(
        self,
        model: str | Path | TorchScriptPotential | NativePotential = "tiny",
        *,
        device: str | torch.device = "cpu",
        dtype: str = "float32",
        skin: float = SKIN,
        backend: str = "auto",
        threads: int = 1,
        max_spread: float | None = MAX_SPREAD,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        device = str(device)
        self.potential: StructurePotential
        if isinstance(model, TorchScriptPotential):
            self.potential = VerletPotential(model, skin)
        elif isinstance(model, NativePotential):
            self.potential = model
        else:
            self.potential = load_for_dynamics(model, device, dtype, skin, backend, threads)
        name = str(model) if isinstance(model, str | Path) else self.potential.metadata.name
        if isinstance(model, TorchScriptPotential):
            device, dtype, backend = str(model.device), model.dtype, "torch"
        elif isinstance(model, NativePotential):
            device, dtype, backend, skin = "cpu", "float32", "native", model.skin
        self.max_spread = max_spread
        self.force_spread: NDArray[np.float64] | None = None
        self._has_warned = False
        self.parameters = Parameters(model=name, device=device, dtype=dtype, skin=skin, backend=backend)

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Refused: the student was loaded with its options.

        Raises:
            ConfigError: Any option.
        """
        if kwargs:
            raise ConfigError(
                f"{', '.join(kwargs)} cannot be changed; make a new DistilledCalculator with these options"
            )
        return {}

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """All properties in one evaluation.

        Raises:
            StructureError: An element that the student does not know, positions that are not finite, atoms closer than 0.3 Å,
                or a singular periodic cell; names the atoms.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None  # set by the base class
        evaluation = self.potential.evaluate(
            self.atoms.numbers, self.atoms.positions, self.atoms.cell.array, self.atoms.pbc
        )
        self.results = ase_results(evaluation, self.atoms)
        self.force_spread = evaluation.force_spread
        if evaluation.force_spread is not None and self.max_spread is not None:
            self._warn_of_spread(evaluation.force_spread, self.max_spread)

    def _warn_of_spread(self, spread: NDArray[np.float64], limit: float) -> None:
        is_beyond = spread.size > 0 and float(spread.max()) > limit
        if is_beyond and not self._has_warned:
            worst = int(spread.argmax())
            warnings.warn(
                f"the members of the committee disagree on the force on atom {worst} by {spread[worst]:.2f} eV/Å "
                f"(limit {limit:g}): the structure has left what they were trained on. "
                "Relabel such frames with the teacher and train again",
                SpreadWarning,
                stacklevel=2,
            )
        self._has_warned = is_beyond

    def evaluate(self, structures: Iterable[Atoms], max_edges: int = MAX_EDGES) -> list[dict[str, Any]]:
        """Results of many structures, in batches; neither the structures nor this calculator's own results change.

        Of a committee these are the means, and ``force_spread`` (N,) in eV/Å says how far its members disagree; nothing warns.

        Args:
            structures: Of any sizes, elements and cells.
            max_edges: Bounds the memory: edges and atoms evaluated at once.

        Raises:
            StructureError: Names the structure by its index.
        """
        return list(evaluate_batches(self.potential.batched, structures, max_edges))
