// The mean of what the members of a committee say, and the spread of their forces.
#pragma once

#include "backend.h"

#include <cmath>
#include <vector>

namespace mlffd_lammps {

inline void add_share(const std::vector<double> &from, double share, std::vector<double> &to)
{
  for (std::size_t k = 0; k < to.size(); k++) to[k] += share * from[k];
}

// The force on an owned atom is complete only with what other ranks hold of it: an exchange for each member.
inline void write_mean(const Domain &domain, Exchange &exchange, std::vector<Sums> &members, Sums &mean)
{
  const double share = 1.0 / static_cast<double>(members.size());
  const auto n_own = static_cast<std::size_t>(domain.n_own);
  for (Sums &member : members) {
    mean.energy += share * member.energy;
    for (int k = 0; k < 9; k++) mean.virial[k] += share * member.virial[k];
    add_share(member.atomic_energies, share, mean.atomic_energies);
    add_share(member.atomic_virials, share, mean.atomic_virials);
    exchange.reverse(member.forces.data(), 3);
    for (std::size_t k = 0; k < 3 * n_own; k++) mean.forces[k] += share * member.forces[k];
  }
  for (const Sums &member : members)
    for (std::size_t k = 0; k < 3 * n_own; k++)
      mean.force_spread[k / 3] += share * (member.forces[k] - mean.forces[k]) * (member.forces[k] - mean.forces[k]);
  for (double &spread : mean.force_spread) spread = std::sqrt(spread);
}

}  // namespace mlffd_lammps
