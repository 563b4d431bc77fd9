// Where the candidates of PairGraph::build come from.
#pragma once

#include <cmath>
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
      const Vector &xj = positions[neighbor.atom],
                   &image = list.images[static_cast<std::size_t>(neighbor.image)];
      add(neighbor.atom, xj[0] + image[0] - xi[0], xj[1] + image[1] - xi[1], xj[2] + image[2] - xi[2]);
    }
  }
  template <typename Add>
  void ghosts(int, const Add&) const {}
};

// One of a vector and its opposite, by which an atom meets its own images in pairs. The two were rounded apart, so a
// component that ought to be zero may have any sign in either; images are never as close as what counts as zero here.
inline bool is_positive(double x, double y, double z) {
  constexpr double ZERO = 1e-6;  // Å
  return std::abs(x) > ZERO ? x > 0.0 : std::abs(y) > ZERO ? y > 0.0 : z > 0.0;
}

// Of the two directions of a pair, the one that is taken.
inline bool is_taken(std::int64_t i, std::int64_t j, double x, double y, double z) {
  return i != j ? i < j : is_positive(x, y, z);
}

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

// A full list of a domain's own atoms: pairs of two own atoms, or of their periodic images, are in it twice. Images share
// the row of the atom that they are images of, be it an own atom or a ghost.
struct DomainSource {
  const mlffd_neighbor_list& list;
  const double* positions;
  std::int64_t n_own, n_all;

  template <typename Add>
  void both(int i, const Add& add) const {
    each(i, [this, i, &add](std::int32_t j, double x, double y, double z) {
      const std::int32_t row = row_of(j);
      if (row < n_own && is_taken(i, row, x, y, z)) add(row, x, y, z);
    });
  }
  template <typename Add>
  void ghosts(int i, const Add& add) const {
    each(i, [this, &add](std::int32_t j, double x, double y, double z) {
      const std::int32_t row = row_of(j);
      if (row >= n_own) add(row, x, y, z);
    });
  }

 private:
  std::int32_t row_of(std::int32_t j) const { return j < n_all ? j : list.image_of[j - n_all]; }

  template <typename Visit>
  void each(int i, const Visit& visit) const {
    const double* const xi = positions + 3 * static_cast<std::ptrdiff_t>(i);
    for (std::int32_t k = 0; k < list.n_neighbors[i]; ++k) {
      const std::int32_t j = list.neighbors[i][k] & list.index_mask;
      const double* const xj = positions + 3 * static_cast<std::ptrdiff_t>(j);
      visit(j, xj[0] - xi[0], xj[1] - xi[1], xj[2] - xi[2]);
    }
  }
};

}  // namespace mlffd
