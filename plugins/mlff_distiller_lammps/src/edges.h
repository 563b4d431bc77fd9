// The directed edges within the cutoff, and the sums over them.
#pragma once

#include "backend.h"

#include <cstdint>
#include <vector>

namespace mlffd_lammps {

struct Edges {
  std::vector<std::int64_t> receivers, senders;  // (E) rows
  std::vector<double> vectors;                   // (E, 3) Å, from receiver to sender

  std::size_t size() const { return receivers.size(); }

  void collect(const Domain &domain, double cutoff)
  {
    receivers.clear();
    senders.clear();
    vectors.clear();
    for (int row = 0; row < domain.n_own; row++) {
      const double *xi = domain.positions.data() + 3 * static_cast<std::size_t>(row);
      for (int k = domain.first[row]; k < domain.first[row + 1]; k++) {
        const int site = domain.neighbors[k];
        const double *xj = domain.positions.data() + 3 * static_cast<std::size_t>(site);
        const double d[3] = {xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]};
        if (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] >= cutoff * cutoff) continue;
        receivers.push_back(row);
        senders.push_back(domain.row_of_site(site));
        vectors.insert(vectors.end(), d, d + 3);
      }
    }
  }

  // From the gradient g of the energy with respect to the edge vectors (E, 3): F_i += g, F_j -= g, and -dE/dε = -Σ r ⊗ g.
  void add_gradient(const double *gradient, Sums &sums) const
  {
    for (std::size_t e = 0; e < size(); e++) {
      const double *g = gradient + 3 * e, *r = vectors.data() + 3 * e;
      for (int a = 0; a < 3; a++) {
        sums.forces[3 * receivers[e] + a] += g[a];
        sums.forces[3 * senders[e] + a] -= g[a];
        for (int b = 0; b < 3; b++) {
          sums.virial[3 * a + b] -= r[a] * g[b];
          if (!sums.want_atomic_virials) continue;
          sums.atomic_virials[9 * receivers[e] + 3 * a + b] -= 0.5 * r[a] * g[b];
          sums.atomic_virials[9 * senders[e] + 3 * a + b] -= 0.5 * r[a] * g[b];
        }
      }
    }
  }
};

}  // namespace mlffd_lammps
