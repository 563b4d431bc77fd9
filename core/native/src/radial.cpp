#include "radial.h"

namespace mlffd {

FilterSample Filter::at(double r) const {
  FilterSample sample{std::vector<double>(linear_.n_out, 0.0), std::vector<double>(linear_.n_out, 0.0)};
  const auto n_rbf = static_cast<int>(linear_.n_in);
  each_radial_function(r, n_rbf, cutoff_, scale_, [&](int n, double value, double slope) {
    for (std::size_t o = 0; o < linear_.n_out; ++o) {
      const double weight =
          n < n_rbf ? linear_.weight[o * linear_.n_in + static_cast<std::size_t>(n)] : linear_.bias[o];
      sample.value[o] += weight * value;
      sample.slope[o] += weight * slope;
    }
  });
  return sample;
}

}  // namespace mlffd
