// The radial functions of model/radial.py, and the exact filters of a message layer: W(r) = (A b(r) + c) · envelope(r) · scale.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "student.h"

namespace mlffd {

// act(n, value, slope) for the functions scale · envelope(r) · {sqrt(2/r_c) sin((n + 1)πr/r_c)/r, …, 1} at r Å, n = 0 … n_rbf; the
// last one carries a filter's bias.
template <typename Act>
void each_radial_function(double r, int n_rbf, double cutoff, double scale, const Act& act) {
  const double x = std::min(r / cutoff, 1.0), wave = M_PI / cutoff, prefactor = std::sqrt(2.0 / cutoff);
  const double envelope = scale * (1.0 - x * x * x * (10.0 - x * (15.0 - 6.0 * x)));
  const double envelope_slope = -scale * 30.0 * x * x * (1.0 - x) * (1.0 - x) / cutoff;
  // sin(nθ) and cos(nθ) from those of θ, by a rotation at each step
  const double step_sin = std::sin(wave * r), step_cos = std::cos(wave * r);
  double sin_n = step_sin, cos_n = step_cos;
  for (int n = 0; n < n_rbf; ++n) {
    const double value = prefactor * sin_n / r;
    const double slope = (prefactor * (n + 1) * wave * cos_n - value) / r;
    act(n, value * envelope, slope * envelope + value * envelope_slope);
    const double sin_next = sin_n * step_cos + cos_n * step_sin;
    cos_n = cos_n * step_cos - sin_n * step_sin;
    sin_n = sin_next;
  }
  act(n_rbf, envelope, envelope_slope);
}

// Values and derivatives of all channels of a filter at one distance.
struct FilterSample {
  std::vector<double> value, slope;
};

class Filter {
 public:
  Filter(const Linear& linear, double scale, double cutoff)
      : linear_(linear), scale_(scale), cutoff_(cutoff) {}

  std::size_t n_channels() const { return linear_.n_out; }
  double cutoff() const { return cutoff_; }
  FilterSample at(double r) const;

 private:
  const Linear& linear_;
  const double scale_, cutoff_;
};

}  // namespace mlffd
