// The exact filters of a message layer: W(r) = (A b(r) + c) · envelope(r) · scale, as in model/radial.py.
#pragma once

#include <vector>

#include "student.h"

namespace mlffd {

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
