// Filters as uniform cubic B-splines. On interval k, with t in [0, 1) the position in it,
//
//     W(r) = Σ_m B_m(t) c[k + m],   m = 0 … 3,
//
// so one lookup reads four consecutive rows for the value and for its exact derivative. The last three rows
// are zero: the spline vanishes at the cutoff with two derivatives, as the filter does.
#pragma once

#include <vector>

#include "radial.h"

namespace mlffd {

constexpr double TABLE_START = 0.25;  // Å, below the shortest distance that is accepted (MIN_DISTANCE)

struct SplineTable {
  int n_intervals = 0;
  std::size_t n_channels = 0;
  std::vector<double> rows;  // (n_intervals + 3, n_channels)
};

// Weights of the four rows, and their derivatives with respect to t.
struct SplineWeights {
  double value[4], slope[4];
};

inline SplineWeights spline_weights(double t) {
  const double s = 1.0 - t, t2 = t * t;
  return {{s * s * s / 6.0, (4.0 - t2 * (6.0 - 3.0 * t)) / 6.0, (1.0 + 3.0 * t * (1.0 + t - t2)) / 6.0,
           t2 * t / 6.0},
          {-s * s / 2.0, t * (1.5 * t - 2.0), 0.5 + t * (1.0 - 1.5 * t), t2 / 2.0}};
}

SplineTable tabulate(const Filter& filter, int n_intervals);

// The largest relative error of the table, in values or in derivatives: root mean squares over all channels
// and over distances weighted by r², as neighbours are in a liquid.
double table_error(const Filter& filter, const SplineTable& table);

// The smallest power of two of intervals, common to all filters, whose tables are accurate enough.
int choose_intervals(const std::vector<Filter>& filters);

}  // namespace mlffd
