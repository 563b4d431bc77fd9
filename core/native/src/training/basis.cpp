#include "basis.h"

#include <cmath>

namespace mlffd::training {

void radial_basis(double r, int n_rbf, double cutoff, double scale, float* values, float* slopes) {
  constexpr double PI = 3.14159265358979323846;
  const double x = r / cutoff, wave = PI / cutoff, prefactor = std::sqrt(2.0 / cutoff);
  const double envelope = scale * (1.0 - x * x * x * (10.0 - x * (15.0 - 6.0 * x)));
  const double envelope_slope = scale * -30.0 * x * x * (1.0 - x) * (1.0 - x) / cutoff;
  // sin(nθ) and cos(nθ) from those of θ: a rotation at each step
  const double step_sin = std::sin(wave * r), step_cos = std::cos(wave * r);
  double sin_n = step_sin, cos_n = step_cos;
  for (int n = 1; n <= n_rbf; ++n) {
    const double value = prefactor * sin_n / r;
    const double slope = prefactor * n * wave * cos_n / r - value / r;
    values[n - 1] = static_cast<float>(value * envelope);
    slopes[n - 1] = static_cast<float>(slope * envelope + value * envelope_slope);
    const double sin_next = sin_n * step_cos + cos_n * step_sin;
    cos_n = cos_n * step_cos - sin_n * step_sin;
    sin_n = sin_next;
  }
  values[n_rbf] = static_cast<float>(envelope);
  slopes[n_rbf] = static_cast<float>(envelope_slope);
}

}  // namespace mlffd::training
