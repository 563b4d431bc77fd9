// The students of an artifact, usually one, and the mean of what several say.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <vector>

#include "mlffd.h"
#include "model.h"

namespace mlffd {

// Members share elements and cutoff, and have filter tables of one size, so that a pair's geometry serves all.
class Committee {
 public:
  Committee(std::vector<Student> students, const Kernels& kernels);

  std::size_t size() const { return members_.size(); }
  const Model& operator[](std::size_t member) const { return members_[member]; }
  const Model& first() const { return members_.front(); }

 private:
  std::deque<Model> members_;
};

// Means over members, and the spread of their forces: sqrt(Σ_m |F_m - F̄|² / M) for each atom.
class Mean {
 public:
  using Evaluate = std::function<void(std::size_t member, const mlffd_results& results)>;

  // Takes the memory that `write` needs: it takes none itself.
  void prepare(std::size_t n_members, std::size_t n);
  // Calls `evaluate` for every member in turn, each with results of n atoms to write.
  void write(std::size_t n_members, std::size_t n, const mlffd_results& results, const Evaluate& evaluate);

 private:
  void write_spread(std::size_t n_members, std::size_t n, double* spread) const;

  std::vector<double> member_;  // what one member writes
  std::vector<double> sum_;
  std::vector<double> forces_;  // of all members, where the spread is wanted
};

}  // namespace mlffd
