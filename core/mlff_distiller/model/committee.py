"""Several students as one potential: the mean of their energies, and the spread of their forces as an uncertainty.

M members, N atoms, B structures. The members differ in their weights only. The mean of energies is an energy, and the mean of
the forces is its exact gradient, so a committee conserves energy like a single student. Spread of atom i, eV/Å:

    σ_i = sqrt(Σ_m |F_im - F̄_i|² / M)

as in query by committee (Schran, Brezina, Marsalek, J. Chem. Phys. 153, 104105, 2020). It says where the members were not told
what to do, not how wrong they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mlff_distiller.errors import ConfigError
from mlff_distiller.model.potential import ForceField, Prediction, StudentForceField
from mlff_distiller.units import virial_to_stress


class CommitteeForceField(ForceField):
    """Students of the same sizes and elements, evaluated together.

    Args:
        members: At least two.

    Raises:
        ConfigError: Fewer than two members, or members of different sizes, cutoffs or elements.
    """

    if TYPE_CHECKING:
        members: Any  # a ModuleList of students

    def __init__(self, members: Sequence[StudentForceField]) -> None:
        super().__init__()
        if len(members) < 2:
            raise ConfigError(f"expected at least two members of a committee, got {len(members)}")
        first = members[0].architecture()
        for k, member in enumerate(members):
            different = sorted(key for key, value in member.architecture().items() if value != first[key])
            if different:
                raise ConfigError(
                    f"member {k} of the committee differs from the first in {', '.join(different)}; "
                    "expected students of one preset, cutoff and set of elements"
                )
        self.members = nn.ModuleList(members)
        self.cutoff = members[0].cutoff
        self.elements = list(members[0].elements)

    @torch.jit.unused
    def student_members(self) -> list[StudentForceField]:
        """The members, with their type."""
        return [member for member in self.members if isinstance(member, StudentForceField)]

    def forward(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor | None = None,
        cell: Tensor | None = None,
        pbc: Tensor | None = None,
    ) -> Tensor:
        """Mean energies (B,) eV; arguments and errors as for `StudentForceField.forward`."""
        energies = [member(atomic_numbers, positions, batch, cell, pbc) for member in self.members]
        return torch.stack(energies).mean(0)

    @torch.jit.export
    def compute(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        """The mean; arguments and errors as for `StudentForceField.compute`."""
        members = self.compute_members(atomic_numbers, edge_index, edge_vec, batch, cell)
        return mean_prediction(members[0], members[1], members[2], members[3], cell)

    @torch.jit.export
    def compute_members(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What each member says; arguments and errors as for `compute`.

        Returns:
            energy (M, B) eV, forces (M, N, 3) eV/Å, virial (M, B, 3, 3) eV and atomic energies (M, N) eV, float64.
        """
        energy: list[Tensor] = []
        forces: list[Tensor] = []
        virial: list[Tensor] = []
        atomic_energies: list[Tensor] = []
        for member in self.members:
            found = member.compute(atomic_numbers, edge_index, edge_vec, batch, cell)
            energy.append(found.energy)
            forces.append(found.forces)
            virial.append(found.virial)
            atomic_energies.append(found.atomic_energies)
        return torch.stack(energy), torch.stack(forces), torch.stack(virial), torch.stack(atomic_energies)


def mean_prediction(
    energy: Tensor, forces: Tensor, virial: Tensor, atomic_energies: Tensor, cell: Tensor
) -> Prediction:
    """The mean over members, from what `compute_members` returns."""
    mean_virial = virial.mean(0)
    return Prediction(
        energy.mean(0),
        forces.mean(0),
        mean_virial,
        virial_to_stress(mean_virial, cell),
        atomic_energies.mean(0),
    )


def force_spread(forces: Tensor) -> Tensor:
    """(M, N, 3) eV/Å → (N,) eV/Å, see the head of this file."""
    return (forces - forces.mean(0)).square().sum(2).mean(0).sqrt()


LiveModel = StudentForceField | CommitteeForceField


def members_of(model: LiveModel) -> list[StudentForceField]:
    """The students of a committee, or the one student."""
    return model.student_members() if isinstance(model, CommitteeForceField) else [model]
