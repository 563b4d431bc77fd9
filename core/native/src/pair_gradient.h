// From the derivatives of a pair in distance and direction to that in its vector.
#pragma once

#include <array>
#include <cstddef>

namespace mlffd {

// With r = r u and ∂u/∂r = (1 - u uᵀ)/r: dE/dr = (dE/dr - u · dE/du / r) u + dE/du / r, eV/Å. `of_r` is the derivative at fixed u,
// `of_u` (3) that at fixed r.
template <typename Real>
std::array<double, 3> pair_gradient(double of_r, const Real* of_u, const float* u, double r) {
  const double inverse = 1.0 / r;
  const double along = of_r - inverse * (of_u[0] * u[0] + of_u[1] * u[1] + of_u[2] * u[2]);
  std::array<double, 3> gradient;
  for (std::size_t d = 0; d < 3; ++d) gradient[d] = along * u[d] + inverse * of_u[d];
  return gradient;
}

}  // namespace mlffd
