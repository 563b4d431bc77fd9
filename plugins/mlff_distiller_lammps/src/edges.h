// The directed edges within the cutoff, from LAMMPS' neighbour lists.
#pragma once

#include "backend.h"

#include <cstdint>
#include <vector>

namespace mlffd {

struct Edges {
  std::vector<std::int64_t> receivers, senders;  // (E) rows
  std::vector<int> sender_atoms;                 // (E) indices into positions
  std::vector<double> vectors;                   // (E, 3) Å, from receiver to sender

  std::size_t size() const { return receivers.size(); }
  void collect(const Domain &domain, double cutoff);
};

inline void Edges::collect(const Domain &domain, double cutoff)
{
  receivers.clear();
  senders.clear();
  sender_atoms.clear();
  vectors.clear();
  const double cutoff2 = cutoff * cutoff;
  for (int row = 0; row < domain.n_own; row++) {
    const double *xi = domain.positions[domain.atom_of[row]];
    for (int k = domain.neighbors->first[row]; k < domain.neighbors->first[row + 1]; k++) {
      const int j = domain.neighbors->atoms[k];
      const double *xj = domain.positions[j];
      const double d[3] = {xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]};
      if (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] >= cutoff2) continue;
      receivers.push_back(row);
      senders.push_back(domain.row_of[j]);
      sender_atoms.push_back(j);
      vectors.insert(vectors.end(), d, d + 3);
    }
  }
}

// Forces and virials from the gradient g of the energy with respect to the edge vectors (E, 3): F_i += g, F_j -= g, and
// -dE/dε = -Σ r ⊗ g, half of each edge's share to each of its atoms.
inline void add_gradient(const Domain &domain, const Edges &edges, const double *gradient, Sums &sums)
{
  static constexpr int A[6] = {0, 1, 2, 0, 0, 1}, B[6] = {0, 1, 2, 1, 2, 2};
  for (std::size_t e = 0; e < edges.size(); e++) {
    const double *g = gradient + 3 * e, *r = edges.vectors.data() + 3 * e;
    const int i = domain.atom_of[edges.receivers[e]], j = edges.sender_atoms[e];
    for (int d = 0; d < 3; d++) {
      sums.forces[i][d] += sums.scale * g[d];
      sums.forces[j][d] -= sums.scale * g[d];
    }
    for (int k = 0; k < 6; k++) {
      const double w = -0.5 * (r[A[k]] * g[B[k]] + r[B[k]] * g[A[k]]);
      sums.virial[k] += w;
      if (sums.atom_virial) {
        sums.atom_virial[i][k] += 0.5 * sums.scale * w;
        sums.atom_virial[j][k] += 0.5 * sums.scale * w;
      }
    }
  }
}

}  // namespace mlffd
