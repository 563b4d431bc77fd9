// Filters as piecewise polynomials of fourth degree. On interval k, with t in [0, 1] the position in it,
//
//     W(r) = a_0 + a_1 t + a_2 t² + a_3 t³ + a_4 t⁴,
//
// with the exact value and slope at both ends of the interval, and the exact value in its middle. Values and
// slopes are continuous, and both vanish at the cutoff, as the filter's do.
#pragma once

#include <vector>

#include "kernels/kernels.h"
#include "radial.h"

namespace mlffd {

constexpr double TABLE_START = 0.25;  // Å, below the shortest distance that is accepted (MIN_DISTANCE)

struct Quartics {
  int n_intervals = 0;
  std::size_t n_channels = 0;
  std::vector<double> coefficients;  // (n_intervals, N_COEFFICIENTS, n_channels)
};

Quartics tabulate(const Filter& filter, int n_intervals);

// The largest relative error of the table, in values or in derivatives: root mean squares over all channels
// and over distances weighted by r², as neighbours are in a liquid.
double table_error(const Filter& filter, const Quartics& table);

// A number of intervals, common to all filters and a multiple of 64, whose tables are accurate enough. Throws
// ArtifactError where there is none.
int choose_intervals(const std::vector<Filter>& filters);

}  // namespace mlffd
