// A student in the layout of the chosen kernels: features padded to whole vectors, matrices packed, filters
// tabulated.
#pragma once

#include <deque>

#include "buffer.h"
#include "kernels/kernels.h"
#include "student.h"

namespace mlffd {

// A filter table in float32, and the distance between its chunks.
struct FilterTable {
  Buffer<float> rows;        // [chunk][interval][coefficient][filter][width]
  std::size_t chunk_stride;  // floats
};

// Intervals with which the filter tables of a student are accurate enough.
int needed_intervals(const Student& student);

// Immutable after construction.
class Model {
 public:
  // n_intervals: of the filter tables, at least `needed_intervals`.
  Model(Student student, const Kernels& kernels, int n_intervals);
  Model(const Model&) = delete;

  const Student student;
  const Kernels& kernels;
  const int n_chunks;  // of F

  const int n_intervals;  // of the filter tables
  FilterTable initial_table;
  std::vector<FilterTable> tables;   // of the L - 1 message layers
  Buffer<float> embedding;           // [chunk][species][width]
  Buffer<float> initial_phi;         // [chunk][species][φ_s, φ_vs][width]
  std::vector<PhiLayer> phis;        // L - 1
  std::vector<UpdateLayer> updates;  // L - 1
  UpdateLayer final_update;
  ReadoutLayer readout;

  int species_of(std::int32_t atomic_number) const;  // -1 where the student does not know the element
  std::string known_elements() const;

 private:
  class Packer;
  void tabulate_filters();

  std::vector<int> species_by_number_;
  std::deque<Buffer<float>> memory_;  // of the layers above
};

}  // namespace mlffd
