// From the network's energies and pair gradients to energy, forces and virials, in float64 and in a fixed
// order.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "graph.h"
#include "mlffd.h"
#include "network.h"
#include "threads.h"

namespace mlffd {

class Sums {
 public:
  // Takes the memory that `write` needs: it takes none itself.
  void prepare(const PairGraph& graph, int n_own);
  // `order` gives the caller's index of each atom, or is null where it is the same. Atoms from n_own on are
  // ghosts: they get nothing, and a pair with one counts half, for its other half is the neighbouring
  // domain's.
  void write(ThreadPool& pool, const Model& model, const PairGraph& graph, const Network& network, int n_own,
             const std::int32_t* species, const std::int32_t* order, const mlffd_results& results);
  // The first own atom whose energy or force was not finite since `prepare`, as the caller counts them, or -1.
  std::int64_t not_finite() const { return not_finite_; }

 private:
  using Vector = std::array<double, 3>;
  using Matrix = std::array<double, 9>;

  void differentiate(ThreadPool& pool, const PairGraph& graph, const Network& network);
  void sum_energies(const Model& model, const PairGraph& graph, const Network& network, int n_own,
                    const std::int32_t* species);
  void sum_forces(const PairGraph& graph, int n_own);
  void sum_virial(ThreadPool& pool, const PairGraph& graph, double* virial);
  void sum_atomic_virials(const PairGraph& graph, int n_own, const std::int32_t* order,
                          double* virials) const;

  void look_at(double value, std::size_t atom) {
    if (not_finite_ < 0 && !std::isfinite(value)) not_finite_ = static_cast<std::int64_t>(atom);
  }

  Buffer<Vector> gradients_;  // of each pair: dE/d(x_j - x_i)
  Buffer<Vector> forces_;
  Buffer<double> energies_;
  std::vector<Matrix> block_virials_;
  std::int64_t not_finite_ = -1;
};

}  // namespace mlffd
