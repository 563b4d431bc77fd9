#include "quartics.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace mlffd {
namespace {

constexpr int STEP = 64, MAX_INTERVALS = 4096;
constexpr int ORDER = 4;  // of the error of a slope
// Puts the table's share of the force error below that of float32; docs/native_engine_design.md has the measurement.
constexpr double ACCEPTED_ERROR = 5e-7;
constexpr int N_SAMPLES = 499;  // a prime: the samples meet the intervals at all positions

}  // namespace

Quartics tabulate(const Filter& filter, int n_intervals) {
  const std::size_t C = filter.n_channels();
  const double h = (filter.cutoff() - TABLE_START) / n_intervals;
  Quartics table{n_intervals, C, {}};
  table.coefficients.reserve(static_cast<std::size_t>(n_intervals) * N_COEFFICIENTS * C);
  FilterSample first = filter.at(TABLE_START);
  for (int k = 0; k < n_intervals; ++k) {
    const FilterSample middle = filter.at(TABLE_START + (k + 0.5) * h);
    FilterSample last = filter.at(TABLE_START + (k + 1.0) * h);
    std::vector<double> a(N_COEFFICIENTS * C);
    for (std::size_t c = 0; c < C; ++c) {
      a[c] = first.value[c];
      a[C + c] = h * first.slope[c];
      const double at_end = last.value[c] - a[c] - a[C + c];             // a_2 + a_3 + a_4
      const double slope_at_end = h * last.slope[c] - a[C + c];          // 2 a_2 + 3 a_3 + 4 a_4
      const double at_middle = middle.value[c] - a[c] - 0.5 * a[C + c];  // a_2 / 4 + a_3 / 8 + a_4 / 16
      a[4 * C + c] = 16.0 * at_middle - 8.0 * at_end + 2.0 * slope_at_end;
      a[3 * C + c] = slope_at_end - 2.0 * at_end - 2.0 * a[4 * C + c];
      a[2 * C + c] = at_end - a[3 * C + c] - a[4 * C + c];
    }
    table.coefficients.insert(table.coefficients.end(), a.begin(), a.end());
    first = std::move(last);
  }
  return table;
}

double table_error(const Filter& filter, const Quartics& table) {
  const std::size_t C = table.n_channels;
  const double h = (filter.cutoff() - TABLE_START) / table.n_intervals;
  double value2 = 0.0, slope2 = 0.0, value_error2 = 0.0, slope_error2 = 0.0;
  for (int sample = 0; sample < N_SAMPLES; ++sample) {
    const double s = (sample + 0.5) / N_SAMPLES * table.n_intervals;
    const auto k = static_cast<std::size_t>(s);
    const double r = TABLE_START + s * h, t = s - std::floor(s);
    const FilterSample exact = filter.at(r);
    for (std::size_t c = 0; c < C; ++c) {
      double value = 0.0, slope = 0.0;
      for (std::size_t m = N_COEFFICIENTS; m-- > 0;) {  // Horner's rule, and its derivative
        slope = slope * t + value;
        value = value * t + table.coefficients[(k * N_COEFFICIENTS + m) * C + c];
      }
      const double value_error = value - exact.value[c], slope_error = slope / h - exact.slope[c];
      value2 += r * r * exact.value[c] * exact.value[c];
      slope2 += r * r * exact.slope[c] * exact.slope[c];
      value_error2 += r * r * value_error * value_error;
      slope_error2 += r * r * slope_error * slope_error;
    }
  }
  const auto relative = [](double error2, double size2) {
    return size2 > 0.0 ? std::sqrt(error2 / size2) : 0.0;
  };
  return std::max(relative(value_error2, value2), relative(slope_error2, slope2));
}

int choose_intervals(const std::vector<Filter>& filters) {
  for (int n = STEP;;) {
    double error = 0.0;
    for (const Filter& filter : filters) {
      const double found = table_error(filter, tabulate(filter, n));
      if (!std::isfinite(found))
        throw ArtifactError("the weights of its radial filters are too large to compute with; train it again");
      error = std::max(error, found);
    }
    if (error <= ACCEPTED_ERROR) return n;
    if (n == MAX_INTERVALS)
      throw ArtifactError(
          "its radial filters are too sharp for the tables of the native engine; use the TorchScript backend");
    const double wanted = n * std::pow(error / ACCEPTED_ERROR, 1.0 / ORDER);
    const int next = static_cast<int>(std::min<double>(wanted, MAX_INTERVALS)) / STEP * STEP + STEP;
    n = std::clamp(next, n + STEP, MAX_INTERVALS);
  }
}

}  // namespace mlffd
