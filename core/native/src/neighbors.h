// Every pair of atoms within a range, once, periodic images included: a cell list that is linear in the
// number of atoms.
//
// Atoms are put into the order of their bins, so that neighbours in space are neighbours in memory; the rest
// of the engine works in this order. Any cell will do: bins beyond a periodic boundary are images of bins
// inside, and a cell smaller than the range simply meets its own images several times.
#pragma once

#include <cstdint>
#include <vector>

#include "lattice.h"

namespace mlffd {

struct Neighbor {
  std::int32_t atom;   // in sorted order
  std::int32_t image;  // index into `images`
};

struct NeighborList {
  std::vector<std::int32_t> order;  // (n) sorted → the caller's index
  std::vector<Vector> wrap;    // (n) what to add to the position of sorted atom k to bring it into the cell
  std::vector<Vector> images;  // translations, Å
  std::vector<std::int64_t> first;  // (n + 1) of each sorted atom in `neighbors`
  std::vector<Neighbor> neighbors;  // the vector to one is x_j + image - x_i with wrapped positions
};

// positions (n, 3) must be finite. Keeps the memory of the list.
void find_neighbors(NeighborList& list, std::int64_t n, const double* positions, const Lattice& lattice,
                    double range);

}  // namespace mlffd
