"""The student: PaiNN, repulsion and reference energies together, and the exact derivatives of their sum.

B structures, N atoms, E edges. E = Σ_i E0(species_i) + Σ_i e_i. The network's e_i are float32 (float64 after
``model.double()``); E0, all sums over atoms and all results are float64, since a total energy of -1000 eV has a float32
spacing of 0.06 meV that would drown any energy drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import Tensor, nn

from mlff_distiller.checks import check_distances, check_edges, check_species
from mlff_distiller.errors import ConfigError
from mlff_distiller.graph import checked_graph, sum_atoms, sum_edges
from mlff_distiller.model.painn import PaiNN
from mlff_distiller.model.repulsion import ZBLRepulsion
from mlff_distiller.units import virial_to_stress


class Prediction(NamedTuple):
    """What a potential says of a batch of B structures with N atoms. All float64."""

    energy: Tensor  # (B,) eV
    forces: Tensor  # (N, 3) eV/Å
    virial: Tensor  # (B, 3, 3) eV, -dE/dε
    stress: Tensor  # (B, 3, 3) eV/Å³, dE/dε / V; zero where there is no cell
    atomic_energies: Tensor  # (N,) eV, E0 included


class Evaluation(NamedTuple):
    """What a student or a committee says of one structure. All float64."""

    energy: float  # eV
    forces: NDArray[np.float64]  # (N, 3) eV/Å
    virial: NDArray[np.float64]  # (3, 3) eV, -dE/dε
    atomic_energies: NDArray[np.float64]  # (N,) eV, E0 included
    force_spread: NDArray[np.float64] | None = None  # (N,) eV/Å, of a committee: see `CommitteeForceField`


class Potential(Protocol):
    """What every backend offers, and all that an engine knows of one."""

    @property
    def cutoff(self) -> float:
        """Å; an engine brings all edges up to it."""
        ...

    def compute(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        """See `StudentForceField.compute`."""
        ...


class ReferenceEnergies(nn.Module):
    """E0 of each species in float64, whatever dtype the model is cast to."""

    if TYPE_CHECKING:
        e0: Tensor

    def __init__(self, n_species: int) -> None:
        super().__init__()
        self.register_buffer("e0", torch.zeros(n_species, dtype=torch.float64))  # (S,) eV

    def forward(self, species: Tensor) -> Tensor:
        """(N,) → (N,) eV, float64."""
        return self.e0[species]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ReferenceEnergies:
        exact = self.e0
        super()._apply(fn, recurse)
        self.e0 = exact.to(self.e0.device)  # follow the device; a cast to float32 would lose the digits
        return self


class ForceField(nn.Module):
    """From positions to energies with their derivatives, for a model that computes them from edges."""

    if TYPE_CHECKING:
        cutoff: float  # Å

        def compute(
            self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
        ) -> Prediction:
            """See `StudentForceField.compute`."""
            ...

    @torch.jit.export
    def predict(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor | None = None,
        cell: Tensor | None = None,
        pbc: Tensor | None = None,
    ) -> Prediction:
        """Energy, forces, virial, stress and per-atom energies in one call.

        Arguments and errors as for `StudentForceField.forward`.
        """
        graph = checked_graph(atomic_numbers, positions.detach(), batch, cell, pbc, self.cutoff)
        return self.compute(graph.atomic_numbers, graph.edge_index, graph.edge_vec, graph.batch, graph.cell)


class StudentForceField(ForceField):
    """A compact, energy-conserving potential.

    Calling it gives energies that can be differentiated; `predict` gives energies with forces, virial, stress and
    per-atom energies; `compute` does the same from edges that an engine brings.

    Args:
        n_features: Width F of the scalar and vector features.
        n_interactions: Message passes L; an atom feels others within L × cutoff.
        n_rbf: Radial basis functions.
        cutoff: Å.
        max_z: Largest atomic number that may occur.
        elements: Atomic numbers that the student knows; None means 1 … max_z.

    Raises:
        ConfigError: A size below one, a cutoff that is not positive, or an element beyond ``max_z``.
    """

    if TYPE_CHECKING:
        species_of: Tensor
        energy_scale: Tensor

    def __init__(
        self,
        n_features: int,
        n_interactions: int,
        n_rbf: int,
        cutoff: float = 5.0,
        max_z: int = 100,
        elements: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        known = sorted(set(range(1, max_z + 1) if elements is None else elements))
        if min(n_features, n_interactions, n_rbf) < 1 or n_features % 2 or cutoff <= 0:
            raise ConfigError(
                "expected an even n_features ≥ 2, n_interactions ≥ 1, n_rbf ≥ 1 and cutoff > 0, got "
                f"{n_features}, {n_interactions}, {n_rbf} and {cutoff}"
            )
        if not known or known[0] < 1 or known[-1] > max_z:
            raise ConfigError(f"expected elements within 1 … max_z = {max_z}, got {known}")
        self.n_features, self.n_interactions, self.n_rbf = n_features, n_interactions, n_rbf
        self.cutoff = float(cutoff)
        self.max_z = max_z
        self.elements = known
        self.element_names = " ".join(chemical_symbols[z] for z in known)

        species_of = torch.full((max_z + 1,), -1, dtype=torch.int64)
        species_of[known] = torch.arange(len(known))
        self.register_buffer("species_of", species_of)  # (max_z + 1,) row in the tables, or -1
        self.painn = PaiNN(len(known), n_features, n_interactions, n_rbf, self.cutoff)
        self.repulsion = ZBLRepulsion(known)
        self.reference = ReferenceEnergies(len(known))
        # the network's output in units of the teacher's root-mean-square force, so that its weights stay of order one
        self.register_buffer("energy_scale", torch.tensor(1.0))

    @torch.jit.unused
    def architecture(self) -> dict[str, Any]:
        """The constructor's arguments, for metadata and checkpoints."""
        return {
            "n_features": self.n_features,
            "n_interactions": self.n_interactions,
            "n_rbf": self.n_rbf,
            "cutoff": self.cutoff,
            "max_z": self.max_z,
            "elements": list(self.elements),
        }

    @torch.jit.unused
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @torch.jit.unused
    def set_scales(self, reference: Mapping[int, float], energy_scale: float, mean_neighbors: float) -> None:
        """Fix what is not trained.

        Args:
            reference: E0 in eV by atomic number, for every element of the student.
            energy_scale: eV; the force RMS of the training data times 1 Å.
            mean_neighbors: Mean number of edges per atom in the training data.

        Raises:
            ConfigError: An element without a reference energy, or a scale that is not positive.
        """
        missing = [chemical_symbols[z] for z in self.elements if z not in reference]
        if missing:
            raise ConfigError(
                f"no reference energy for {', '.join(missing)}; give E0 of every element of the student"
            )
        if not (energy_scale > 0 and mean_neighbors > 0):
            raise ConfigError(
                f"expected positive scales, got energy {energy_scale} and neighbours {mean_neighbors}"
            )
        self.reference.e0.copy_(torch.tensor([reference[z] for z in self.elements], dtype=torch.float64))
        self.energy_scale.fill_(energy_scale)
        self.painn.message_scale.fill_(mean_neighbors**-0.5)

    def interaction_energies(self, species: Tensor, edge_index: Tensor, edge_vec: Tensor) -> Tensor:
        """The network and the repulsion, without checks and without E0: what is trained and compiled.

        Args:
            species: (N,) rows in the student's tables.
            edge_index: (2, E).
            edge_vec: (E, 3) Å in the network's dtype.

        Returns:
            (N,) eV in the network's dtype.
        """
        learned = self.energy_scale * self.painn(species, edge_index, edge_vec)
        return learned + self.repulsion(species, edge_index, edge_vec)

    def forward(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor | None = None,
        cell: Tensor | None = None,
        pbc: Tensor | None = None,
    ) -> Tensor:
        """Energies of B structures, differentiable in positions and cell.

        Args:
            atomic_numbers: (N,) int64.
            positions: (N, 3) Å.
            batch: (N,) int64, sorted structure index of each atom; None means one structure.
            cell: (B, 3, 3) or (3, 3) Å, rows are lattice vectors; None means no cell.
            pbc: (B, 3) or (3,) bool; needed with a cell.

        Returns:
            (B,) eV, float64.

        Raises:
            StructureError: Anything that could only give a wrong number.
        """
        graph = checked_graph(atomic_numbers, positions, batch, cell, pbc, self.cutoff)
        species = self.species(graph.atomic_numbers)
        edge_vec = graph.edge_vec.to(self.energy_scale.dtype)
        e = self.interaction_energies(species, graph.edge_index, edge_vec).double() + self.reference(species)
        return sum_atoms(e, graph.batch, graph.cell.shape[0])

    @torch.jit.export
    def compute(
        self, atomic_numbers: Tensor, edge_index: Tensor, edge_vec: Tensor, batch: Tensor, cell: Tensor
    ) -> Prediction:
        """The seam for engines: edges in, energies and exact derivatives out.

        Args:
            atomic_numbers: (N,) int64.
            edge_index: (2, E) int64; row 0 receivers i, row 1 senders j, both directions of every pair.
            edge_vec: (E, 3) Å, from i to j. Edges beyond the cutoff are allowed and count for nothing.
            batch: (N,) int64.
            cell: (B, 3, 3) Å, zeros where a structure is not periodic.

        Raises:
            StructureError: Shapes that do not fit, an unknown element, or atoms on top of each other.
        """
        check_edges(atomic_numbers.shape[0], edge_index, edge_vec, batch)
        species = self.species(atomic_numbers)
        check_distances(edge_index, edge_vec)
        was_enabled = torch.is_grad_enabled()
        torch.set_grad_enabled(
            True
        )  # callers may be under no_grad; TorchScript has no `with torch.enable_grad()`
        edge_vec = edge_vec.detach().to(self.energy_scale.dtype).requires_grad_(True)
        e = self.interaction_energies(species, edge_index, edge_vec)
        gradient = edge_gradient(e, edge_vec)
        torch.set_grad_enabled(was_enabled)
        return self.assemble(e.detach(), gradient, species, edge_index, edge_vec.detach(), batch, cell)

    def assemble(
        self,
        e: Tensor,
        gradient: Tensor,
        species: Tensor,
        edge_index: Tensor,
        edge_vec: Tensor,
        batch: Tensor,
        cell: Tensor,
    ) -> Prediction:
        """Sums over atoms and edges in float64, from the interaction energies (N,) and their edge gradient (E, 3)."""
        n_structures = cell.shape[0]
        forces, virial = forces_and_virial(gradient, edge_vec, edge_index, batch, n_structures)
        atomic_energies = e.double() + self.reference(species)
        energy = sum_atoms(atomic_energies, batch, n_structures)
        return Prediction(energy, forces, virial, virial_to_stress(virial, cell), atomic_energies)

    @torch.jit.export
    def species(self, atomic_numbers: Tensor) -> Tensor:
        """Rows of the student's tables (N,), after checking that it knows every element."""
        inside = (atomic_numbers >= 0) & (atomic_numbers <= self.max_z)
        species = torch.where(inside, self.species_of[atomic_numbers.clamp(0, self.max_z)], -1)
        check_species(species, atomic_numbers, self.element_names)
        return species

    # The rest is `interaction_energies` in stages, for engines that divide space into domains and exchange features
    # between the stages: start, then for each layer update, exchange, message, and then finish.

    @torch.jit.export
    def domain_start(
        self, species: Tensor, edge_index: Tensor, edge_vec: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """species (N,), edges (2, E) and (E, 3) Å → s (N, F), v (N, 3, F), and the geometry for `domain_message`."""
        rbf, envelope, u = self.painn.geometry(edge_vec)
        s, v = self.painn.start(species, edge_index, rbf, envelope, u)
        return s, v, rbf, envelope, u

    @torch.jit.export
    def domain_update(self, layer: int, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The update before an exchange; s (N, F), v (N, 3, F), any rows."""
        for k, update in enumerate(self.painn.updates):  # TorchScript cannot index a ModuleList by a variable
            if k == layer:
                ds, dv = update(s, v)
                s, v = s + ds, v + dv
        return s, v

    @torch.jit.export
    def domain_message(
        self, layer: int, s: Tensor, v: Tensor, edge_index: Tensor, rbf: Tensor, envelope: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The message after an exchange: s (N, F) and v (N, 3, F) of all rows that the edges name."""
        for k, message in enumerate(self.painn.messages):
            if k == layer:
                ds, dv = message(s, v, edge_index, rbf, envelope, u)
                s, v = s + ds, v + dv
        return s, v

    @torch.jit.export
    def domain_finish(
        self, species: Tensor, s: Tensor, v: Tensor, edge_index: Tensor, edge_vec: Tensor
    ) -> Tensor:
        """Interaction energies (n,) eV of the first n rows, those of s and v; species and edges as at the start."""
        n_own = s.shape[0]
        return (
            self.energy_scale * self.painn.finish(s, v)
            + self.repulsion(species, edge_index, edge_vec)[:n_own]
        )


def edge_gradient(e: Tensor, edge_vec: Tensor) -> Tensor:
    """∂(Σe)/∂edge_vec, (E, 3) eV/Å. Not differentiable any further: training builds its own graph."""
    gradient = torch.autograd.grad([e.sum()], [edge_vec])[0]
    assert gradient is not None
    return gradient


def forces_and_virial(
    gradient: Tensor, edge_vec: Tensor, edge_index: Tensor, batch: Tensor, n_structures: int
) -> tuple[Tensor, Tensor]:
    """Forces and virial from the energy's gradient with respect to the edge vectors.

    edge_vec = x_j - x_i, so F_i = +g and F_j = -g, and a strain ε turns edge_vec into (1 + ε) edge_vec, so
    -dE/dε = -Σ edge_vec ⊗ g. Summed in float64: forces then add up to zero exactly.

    Args:
        gradient: (E, 3) eV/Å.
        edge_vec: (E, 3) Å.
        edge_index: (2, E).
        batch: (N,).
        n_structures: B.

    Returns:
        forces (N, 3) eV/Å and virial (B, 3, 3) eV, float64.
    """
    i, j = edge_index[0], edge_index[1]
    g = gradient.double()
    forces = sum_edges(g, i, batch.shape[0]) - sum_edges(g, j, batch.shape[0])
    outer = edge_vec.double().unsqueeze(2) * g.unsqueeze(1)  # (E, 3, 3)
    return forces, -sum_atoms(outer, batch[i], n_structures)
