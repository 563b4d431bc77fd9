// A calculation: checks of the input, the neighbour list, the network, and the sums that the caller wants.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <vector>

#include "committee.h"
#include "graph.h"
#include "mlffd.h"
#include "neighbors.h"
#include "network.h"
#include "sums.h"
#include "threads.h"

namespace mlffd {

constexpr std::int64_t MAX_ATOMS = std::numeric_limits<std::int32_t>::max() / 16;  // so that products fit

class System {
 public:
  System(std::shared_ptr<const Committee> committee, int n_threads);

  // See mlffd.h.
  void compute(std::int64_t n, const std::int32_t* atomic_numbers, const double* positions,
               const double* cell, const std::int32_t* pbc, double skin, const mlffd_results& results);
  void compute_edges(std::int64_t n, const std::int32_t* atomic_numbers, std::int64_t n_edges,
                     const std::int64_t* receivers, const std::int64_t* senders, const double* edge_vec,
                     const mlffd_results& results);
  void compute_domain(std::int64_t n_own, std::int64_t n_all, const std::int32_t* atomic_numbers,
                      const double* positions, const mlffd_neighbor_list& list, const Exchange* exchange,
                      const mlffd_results& results);
  std::int64_t n_neighbor_searches() const { return n_searches_; }

 private:
  // What the neighbour list was made for.
  struct Made {
    std::vector<std::int32_t> atomic_numbers;
    std::vector<double> positions;  // (n, 3)
    std::array<double, 9> cell{};
    std::array<std::int32_t, 3> pbc{};
    double skin = -1.0;  // no list yet
  };

  bool list_serves(const Made& asked, std::int64_t n, const std::int32_t* atomic_numbers,
                   const double* positions) const;
  void search_neighbors(Made& asked, std::int64_t n, const std::int32_t* atomic_numbers,
                        const double* positions);
  void set_species(std::int64_t n, const std::int32_t* atomic_numbers, const std::int32_t* order);
  void check_pairs(const std::int32_t* order) const;
  void prepare(int n_own, int n_all, const Exchange* exchange);
  void run(int n_own, const std::int32_t* order, const mlffd_results& results);

  const std::shared_ptr<const Committee> committee_;
  const Model& model_;  // the first member: its elements and cutoff are those of all
  ThreadPool pool_;
  PairGraph graph_;
  std::deque<Network> networks_;  // one for each member
  Sums sums_;
  Mean mean_;
  std::vector<std::int32_t> species_;

  Made made_;
  NeighborList list_;
  std::vector<Vector> wrapped_;  // positions in the list's order
  std::int64_t n_searches_ = 0;
};

}  // namespace mlffd
