// Where the candidates of PairGraph::build come from.
#pragma once

#include <cstdint>
#include <vector>

#include "mlffd.h"
#include "neighbors.h"

namespace mlffd {

// The library's own list; positions are wrapped and in its order.
struct ListSource {
  const NeighborList& list;
  const Vector* positions;

  template <typename Add>
  void both(int i, const Add& add) const {
    const auto k = static_cast<std::size_t>(i);
    const Vector& xi = positions[k];
    for (std::int64_t n = list.first[k]; n < list.first[k + 1]; ++n) {
      const Neighbor& neighbor = list.neighbors[static_cast<std::size_t>(n)];
      const Vector &xj = positions[neighbor.atom], &image = list.images[static_cast<std::size_t>(neighbor.image)];
      add(neighbor.atom, xj[0] + image[0] - xi[0], xj[1] + image[1] - xi[1], xj[2] + image[2] - xi[2]);
    }
  }
  template <typename Add>
  void ghosts(int, const Add&) const {}
};

// A caller's directed edges, of which one direction of each pair is taken.
struct EdgeSource {
  std::vector<std::int64_t> first;  // (n + 1)
  std::vector<std::int64_t> edges;  // indices, by receiver
  const std::int64_t* senders;
  const double* edge_vec;

  template <typename Add>
  void both(int i, const Add& add) const {
    const auto k = static_cast<std::size_t>(i);
    for (std::int64_t n = first[k]; n < first[k + 1]; ++n) {
      const std::int64_t edge = edges[static_cast<std::size_t>(n)];
      const double* const v = edge_vec + 3 * edge;
      add(senders[edge], v[0], v[1], v[2]);
    }
  }
  template <typename Add>
  void ghosts(int, const Add&) const {}
};

// A full list of a domain's own atoms: pairs of two own atoms are in it twice.
struct DomainSource {
  const mlffd_neighbor_list& list;
  const double* positions;
  std::int64_t n_own;

  template <typename Add>
  void both(int i, const Add& add) const {
    each(i, add, [this, i](std::int32_t j) { return j > i && j < n_own; });
  }
  template <typename Add>
  void ghosts(int i, const Add& add) const {
    each(i, add, [this](std::int32_t j) { return j >= n_own; });
  }

 private:
  template <typename Add, typename Wanted>
  void each(int i, const Add& add, const Wanted& wanted) const {
    const double* const xi = positions + 3 * static_cast<std::ptrdiff_t>(i);
    for (std::int32_t k = 0; k < list.n_neighbors[i]; ++k) {
      const std::int32_t j = list.neighbors[i][k] & list.index_mask;
      if (!wanted(j)) continue;
      const double* const xj = positions + 3 * static_cast<std::ptrdiff_t>(j);
      add(j, xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]);
    }
  }
};

}  // namespace mlffd
