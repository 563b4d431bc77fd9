#include "radial.h"

#include <cmath>

namespace mlffd {

FilterSample Filter::at(double r) const {
  const double x = std::min(r / cutoff_, 1.0);
  const double envelope = scale_ * (1.0 - x * x * x * (10.0 - x * (15.0 - 6.0 * x)));
  const double envelope_slope = -scale_ * 30.0 * x * x * (1.0 - x) * (1.0 - x) / cutoff_;

  FilterSample sample{linear_.bias, std::vector<double>(linear_.n_out, 0.0)};
  const double prefactor = std::sqrt(2.0 / cutoff_);
  for (std::size_t n = 0; n < linear_.n_in; ++n) {
    const double frequency = static_cast<double>(n + 1) * M_PI / cutoff_;
    const double basis = prefactor * std::sin(frequency * r) / r;
    const double basis_slope = (prefactor * frequency * std::cos(frequency * r) - basis) / r;
    for (std::size_t o = 0; o < linear_.n_out; ++o) {
      const double weight = linear_.weight[o * linear_.n_in + n];
      sample.value[o] += weight * basis;
      sample.slope[o] += weight * basis_slope;
    }
  }
  for (std::size_t o = 0; o < linear_.n_out; ++o) {
    sample.slope[o] = sample.slope[o] * envelope + sample.value[o] * envelope_slope;
    sample.value[o] *= envelope;
  }
  return sample;
}

}  // namespace mlffd
