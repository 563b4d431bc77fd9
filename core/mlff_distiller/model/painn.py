"""PaiNN: equivariant message passing with scalar and vector features.

Schütt, Unke, Gastegger, ICML 2021 (arXiv:2102.03150); the names follow its figure 2. N atoms, E edges, F features,
R radial functions, S species.

Two layers are the paper's with the terms left out that can have no effect:
- `InitialMessage`: the vectors v are zero, so the term W_vv∘φ_vv∘v_j vanishes; the scalars s_j depend on the species only,
  so φ(s_j) is a table with a row per species.
- `FinalUpdate`: the readout takes scalars only, so the new vectors are not formed.
What this saves is spent on width.

Equivariance: no layer that acts on a vector has a bias, and vectors meet scalars only through norms and dot products.
Smoothness: the cutoff multiplies the filter after its linear layer, so that a message goes to zero at the cutoff together
with its first two derivatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mlff_distiller.graph import sum_edges
from mlff_distiller.model.radial import BesselBasis, PolynomialCutoff

NORM_EPSILON = (
    1e-3  # |v| is sqrt(|v|² + ε): smooth where v passes through zero, which happens often in dynamics
)


class Filter(nn.Module):
    """Rotation-invariant filters W(r) of a message: a linear map of the radial basis, cut off smoothly."""

    def __init__(self, n_rbf: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_rbf, n_out)

    def forward(self, rbf: Tensor, envelope: Tensor) -> Tensor:
        """(E, R) and (E, 1) → (E, n_out)."""
        return self.linear(rbf) * envelope


class InitialMessage(nn.Module):
    """The message of the first layer, where s_j is known from the species and v_j is zero."""

    def __init__(self, n_species: int, n_features: int, n_rbf: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.phi = nn.Embedding(n_species, 2 * n_features)
        self.filter = Filter(n_rbf, 2 * n_features)

    def forward(
        self, species: Tensor, edge_index: Tensor, rbf: Tensor, envelope: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns Δs (N, F) and v (N, 3, F)."""
        i, j = edge_index[0], edge_index[1]
        x = self.phi(species)[j] * self.filter(rbf, envelope)  # (E, 2F)
        m_s, m_vs = torch.split(x, self.n_features, dim=1)
        m_v = m_vs.unsqueeze(1) * u.unsqueeze(2)  # (E, 3, F)
        n_atoms = species.shape[0]
        return sum_edges(m_s, i, n_atoms), sum_edges(m_v, i, n_atoms)


class Message(nn.Module):
    """Figure 2b: Δs_i = Σ_j φ_s(s_j)∘W_s,  Δv_i = Σ_j v_j∘φ_vv(s_j)∘W_vv + φ_vs(s_j)∘W_vs u_ij."""

    def __init__(self, n_features: int, n_rbf: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.phi = nn.Sequential(
            nn.Linear(n_features, n_features), nn.SiLU(), nn.Linear(n_features, 3 * n_features)
        )
        self.filter = Filter(n_rbf, 3 * n_features)

    def forward(
        self, s: Tensor, v: Tensor, edge_index: Tensor, rbf: Tensor, envelope: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        """s (N, F), v (N, 3, F), u (E, 3) → Δs (N, F), Δv (N, 3, F)."""
        i, j = edge_index[0], edge_index[1]
        x = self.phi(s)[j] * self.filter(rbf, envelope)  # (E, 3F)
        m_s, m_vs, m_vv = torch.split(x, self.n_features, dim=1)
        m_v = v[j] * m_vv.unsqueeze(1) + m_vs.unsqueeze(1) * u.unsqueeze(2)  # (E, 3, F)
        n_atoms = s.shape[0]
        return sum_edges(m_s, i, n_atoms), sum_edges(m_v, i, n_atoms)


class Update(nn.Module):
    """Figure 2c: Δs = a_ss + a_sv <Uv, Vv>,  Δv = a_vv∘Uv, with a = MLP(s, |Vv|)."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.mix = nn.Linear(
            n_features, 2 * n_features, bias=False
        )  # U and V; a bias on vectors breaks equivariance
        self.a = nn.Sequential(
            nn.Linear(2 * n_features, n_features), nn.SiLU(), nn.Linear(n_features, 3 * n_features)
        )

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """s (N, F), v (N, 3, F) → Δs (N, F), Δv (N, 3, F)."""
        Uv, Vv = torch.split(self.mix(v), self.n_features, dim=2)  # (N, 3, F) each
        a_ss, a_sv, a_vv = torch.split(self.a(torch.cat([s, _norm(Vv)], dim=1)), self.n_features, dim=1)
        return a_ss + a_sv * (Uv * Vv).sum(1), a_vv.unsqueeze(1) * Uv


class FinalUpdate(nn.Module):
    """The scalar half of `Update`, for the last layer."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.mix = nn.Linear(n_features, 2 * n_features, bias=False)
        self.a = nn.Sequential(
            nn.Linear(2 * n_features, n_features), nn.SiLU(), nn.Linear(n_features, 2 * n_features)
        )

    def forward(self, s: Tensor, v: Tensor) -> Tensor:
        """s (N, F), v (N, 3, F) → Δs (N, F)."""
        Uv, Vv = torch.split(self.mix(v), self.n_features, dim=2)
        a_ss, a_sv = torch.split(self.a(torch.cat([s, _norm(Vv)], dim=1)), self.n_features, dim=1)
        return a_ss + a_sv * (Uv * Vv).sum(1)


class PaiNN(nn.Module):
    """Species and edges to one number per atom.

    Args:
        n_species: Rows of the embedding table, S.
        n_features: Width F of the scalar and the vector features.
        n_interactions: Message passes L ≥ 1; an atom feels others within L × cutoff.
        n_rbf: Radial functions R.
        cutoff: Å.
    """

    if TYPE_CHECKING:
        message_scale: Tensor

    def __init__(
        self, n_species: int, n_features: int, n_interactions: int, n_rbf: int, cutoff: float
    ) -> None:
        super().__init__()
        self.basis = BesselBasis(n_rbf, cutoff)
        self.envelope = PolynomialCutoff(cutoff)
        self.embedding = nn.Embedding(n_species, n_features)
        self.initial_message = InitialMessage(n_species, n_features, n_rbf)
        self.updates = nn.ModuleList(Update(n_features) for _ in range(n_interactions - 1))
        self.messages = nn.ModuleList(Message(n_features, n_rbf) for _ in range(n_interactions - 1))
        self.final_update = FinalUpdate(n_features)
        self.readout = nn.Sequential(
            nn.Linear(n_features, n_features // 2), nn.SiLU(), nn.Linear(n_features // 2, 1)
        )
        # keeps the sums of messages of order one whatever the density: 1/sqrt(mean number of neighbours)
        self.register_buffer("message_scale", torch.tensor(1.0))

    def forward(self, species: Tensor, edge_index: Tensor, edge_vec: Tensor) -> Tensor:
        """species (N,), edge_index (2, E), edge_vec (E, 3) Å → (N,)."""
        rbf, envelope, u = self.geometry(edge_vec)
        s, v = self.start(species, edge_index, rbf, envelope, u)
        for update, message in zip(self.updates, self.messages):  # noqa: B905 (TorchScript knows no strict=)
            ds, dv = update(s, v)
            s, v = s + ds, v + dv
            ds, dv = message(s, v, edge_index, rbf, envelope, u)
            s, v = s + ds, v + dv
        return self.finish(s, v)

    def geometry(self, edge_vec: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(E, 3) Å → radial basis (E, R), envelope (E, 1) and unit vectors (E, 3)."""
        r = torch.linalg.vector_norm(edge_vec, dim=1, keepdim=True)  # (E, 1)
        return self.basis(r), self.envelope(r) * self.message_scale, edge_vec / r

    def start(
        self, species: Tensor, edge_index: Tensor, rbf: Tensor, envelope: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Embedding and first message: s (N, F) and v (N, 3, F)."""
        ds, v = self.initial_message(species, edge_index, rbf, envelope, u)
        return self.embedding(species) + ds, v

    def finish(self, s: Tensor, v: Tensor) -> Tensor:
        """Last update and readout: (N, F) and (N, 3, F) → (N,)."""
        return self.readout(s + self.final_update(s, v)).squeeze(1)


def _norm(v: Tensor, epsilon: float = NORM_EPSILON) -> Tensor:  # TorchScript sees constants as defaults only
    """(N, 3, F) → (N, F), smooth at zero."""
    return torch.sqrt((v * v).sum(1) + epsilon)
