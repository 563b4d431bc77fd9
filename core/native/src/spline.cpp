#include "spline.h"

#include <algorithm>
#include <cmath>

namespace mlffd {
namespace {

constexpr int MIN_INTERVALS = 128, MAX_INTERVALS = 4096;
// Puts the table's share of the force error below that of float32; docs/native_engine.md has the measurement.
constexpr double ACCEPTED_ERROR = 1e-6;
constexpr int N_SAMPLES = 499;  // a prime: the samples meet the intervals at all positions

}  // namespace

// Interpolates at the knots r_0 … r_{K-2} and takes the exact slope at r_0: with the three zero rows at the
// end that is one equation per row, tridiagonal, and solved from the top (Thomas' algorithm).
SplineTable tabulate(const Filter& filter, int n_intervals) {
  const auto K = static_cast<std::size_t>(n_intervals);
  const std::size_t C = filter.n_channels();
  const double h = (filter.cutoff() - TABLE_START) / n_intervals;
  SplineTable table{n_intervals, C, std::vector<double>((K + 3) * C, 0.0)};
  auto row = [&](std::size_t k) { return table.rows.data() + k * C; };

  // c_0 = c_2 - 2h W'(r_0) turns the first equation, c_0 + 4 c_1 + c_2 = 6 W(r_0), into 4 c_1 + 2 c_2 = 6 W +
  // 2h W'
  std::vector<double> above(K, 0.0);  // the eliminated upper diagonal
  const FilterSample first = filter.at(TABLE_START);
  above[1] = 0.5;
  for (std::size_t c = 0; c < C; ++c) row(1)[c] = (6.0 * first.value[c] + 2.0 * h * first.slope[c]) / 4.0;
  for (std::size_t k = 2; k < K; ++k) {  // c_{k-1} + 4 c_k + c_{k+1} = 6 W(r_{k-1})
    const FilterSample sample = filter.at(TABLE_START + static_cast<double>(k - 1) * h);
    const double pivot = 4.0 - above[k - 1];
    above[k] = 1.0 / pivot;
    for (std::size_t c = 0; c < C; ++c) row(k)[c] = (6.0 * sample.value[c] - row(k - 1)[c]) / pivot;
  }
  for (std::size_t k = K - 1; k-- > 1;)
    for (std::size_t c = 0; c < C; ++c) row(k)[c] -= above[k] * row(k + 1)[c];
  for (std::size_t c = 0; c < C; ++c) row(0)[c] = row(2)[c] - 2.0 * h * first.slope[c];
  return table;
}

double table_error(const Filter& filter, const SplineTable& table) {
  const double h = (filter.cutoff() - TABLE_START) / table.n_intervals;
  double value2 = 0.0, slope2 = 0.0, value_error2 = 0.0, slope_error2 = 0.0;
  for (int sample = 0; sample < N_SAMPLES; ++sample) {
    const double s = (sample + 0.5) / N_SAMPLES * table.n_intervals;
    const auto k = static_cast<std::size_t>(s);
    const double r = TABLE_START + s * h;
    const FilterSample exact = filter.at(r);
    const SplineWeights b = spline_weights(s - std::floor(s));
    for (std::size_t c = 0; c < table.n_channels; ++c) {
      double value = 0.0, slope = 0.0;
      for (std::size_t m = 0; m < 4; ++m) {
        const double coefficient = table.rows[(k + m) * table.n_channels + c];
        value += b.value[m] * coefficient;
        slope += b.slope[m] * coefficient / h;
      }
      value2 += r * r * exact.value[c] * exact.value[c];
      slope2 += r * r * exact.slope[c] * exact.slope[c];
      value_error2 += r * r * (value - exact.value[c]) * (value - exact.value[c]);
      slope_error2 += r * r * (slope - exact.slope[c]) * (slope - exact.slope[c]);
    }
  }
  const auto relative = [](double error2, double size2) {
    return size2 > 0.0 ? std::sqrt(error2 / size2) : 0.0;
  };
  return std::max(relative(value_error2, value2), relative(slope_error2, slope2));
}

int choose_intervals(const std::vector<Filter>& filters) {
  for (int n = MIN_INTERVALS; n < MAX_INTERVALS; n *= 2) {
    const auto accurate = [&](const Filter& filter) {
      return table_error(filter, tabulate(filter, n)) <= ACCEPTED_ERROR;
    };
    if (std::all_of(filters.begin(), filters.end(), accurate)) return n;
  }
  return MAX_INTERVALS;
}

}  // namespace mlffd
