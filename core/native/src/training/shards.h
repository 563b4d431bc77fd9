// A batch in shards: whole structures that one thread computes together, with what the reverse passes need of them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "../buffer.h"
#include "../repulsion.h"
#include "kernels/kernels.h"
#include "layout.h"

namespace mlffd::training {

// As torch has it: B structures, one after the other, N atoms and E directed edges.
struct BatchView {
  std::int64_t n_atoms, n_edges;
  const std::int64_t *species, *structures;  // (N) rows in the tables; numbers that do not decrease
  const std::int64_t *receivers, *senders;   // (E)
  const float* edge_vec;                     // (E, 3) Å, from receiver to sender
};

// Atoms [first, last) of a batch.
struct AtomRange {
  std::int64_t first, last;
};

// Some 96 atoms each, in a number of shards that n_threads divides as far as whole structures allow it.
std::vector<AtomRange> divide(const BatchView& batch, int n_threads);

// One edge of each pair of neighbours within the cutoff, by shard.
std::vector<std::vector<std::int64_t>> edges_of_shards(const BatchView& batch,
                                                       const std::vector<AtomRange>& shards, double cutoff);

class ShardMemory {
 public:
  // Sets all up for the passes over the atoms of a range and the pairs of these edges.
  void prepare(const BatchView& batch, AtomRange range, const std::vector<std::int64_t>& edges,
               const Sizes& sizes, double message_scale, const Layout& layout, int tile_rows);

  // After the energies and the pairs' gradients are there: (N) eV and (N, 3) eV/Å of the batch, with the repulsion.
  void write(const Repulsion& repulsion, float* energies, float* forces);

  // Sets `direction` for gradients (N) and (N, 3) of a loss with respect to these energies and forces.
  void point(const float* grad_energies, const float* grad_forces);

  const Shard& shard() const { return shard_; }
  const Direction& direction() const { return direction_; }

 private:
  void set_atoms(const BatchView& batch, const Sizes& sizes, int tile_rows);
  void set_pairs(const BatchView& batch, const std::vector<std::int64_t>& edges, const Sizes& sizes,
                 double message_scale, const Layout& layout, int tile_rows);
  void set_arrays(const Layout& layout);

  Shard shard_{};
  Direction direction_{};
  AtomRange range_{};
  std::vector<std::int32_t> species_;
  std::vector<Pair> pairs_;
  std::vector<double> lengths_;
  std::vector<LayerKept> layers_;
  Buffer<float> basis_, basis_slope_, arrays_, energies_, seeds_, pair_gradient_, pair_tangent_;
};

// What a thread needs for any shard of at most n_rows.
class WorkspaceMemory {
 public:
  void prepare(const Layout& layout, int n_rows);
  const Workspace& get() const { return workspace_; }

 private:
  Workspace workspace_{};
  std::vector<LayerTangents> layers_;
  Buffer<float> arrays_;
};

}  // namespace mlffd::training
