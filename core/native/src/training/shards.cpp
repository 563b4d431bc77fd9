#include "shards.h"

#include <algorithm>
#include <cmath>

#include "../error.h"
#include "../pair_gradient.h"
#include "../radial.h"
#include "../sources.h"

namespace mlffd::training {
namespace {

constexpr std::int64_t SHARD_ATOMS = 96;  // what fits a cache, and makes long enough matrix products

double length(const float* v) {
  const double x = v[0], y = v[1], z = v[2];
  return std::sqrt(x * x + y * y + z * z);
}

// Hands out arrays of whole planes, one after the other; without memory it counts them.
class Arrays {
 public:
  Arrays(std::size_t plane, float* memory) : plane_(plane), memory_(memory) {}
  void take(float*& array, std::size_t n_planes) {
    if (memory_) array = memory_ + n_floats_;
    n_floats_ += n_planes * plane_;
  }
  std::size_t n_floats() const { return n_floats_; }

 private:
  const std::size_t plane_;
  float* const memory_;
  std::size_t n_floats_ = 0;
};

template <typename Update>
void take_final_update(Arrays& arrays, Update& update) {  // which has no a_vv
  arrays.take(update.mixed, MIXED_PARTS);
  for (float** array : {&update.norm, &update.hidden, &update.sv}) arrays.take(*array, 1);
}

template <typename Update>
void take_update(Arrays& arrays, Update& update) {
  take_final_update(arrays, update);
  arrays.take(update.vv, 1);
}

void take(Arrays& arrays, std::vector<LayerKept>& layers, FinalKept& last) {
  for (LayerKept& layer : layers) {
    for (float** array : {&layer.in, &layer.middle, &layer.g_in, &layer.g_middle})
      arrays.take(*array, FEATURE_PARTS);
    for (float** array : {&layer.sent, &layer.g_sent}) arrays.take(*array, SENT_PARTS);
    take_update(arrays, layer.update);
    for (float** array : {&layer.update.g_norm, &layer.update.g_activated, &layer.phi_hidden, &layer.phi_vv,
                          &layer.g_phi_activated})
      arrays.take(*array, 1);
  }
  for (float** array : {&last.in, &last.g_in}) arrays.take(*array, FEATURE_PARTS);
  take_final_update(arrays, last.update);
  for (float** array :
       {&last.update.g_norm, &last.update.g_activated, &last.last, &last.hidden, &last.g_last})
    arrays.take(*array, 1);
}

void take(Arrays& arrays, std::vector<LayerTangents>& layers, FinalTangents& last) {
  for (LayerTangents& layer : layers) {
    for (float** array : {&layer.in, &layer.middle}) arrays.take(*array, FEATURE_PARTS);
    arrays.take(layer.sent, SENT_PARTS);
    take_update(arrays, layer.update);
    for (float** array : {&layer.phi_hidden, &layer.phi_vv}) arrays.take(*array, 1);
  }
  arrays.take(last.in, FEATURE_PARTS);
  take_final_update(arrays, last.update);
  for (float** array : {&last.last, &last.hidden}) arrays.take(*array, 1);
}

}  // namespace

std::vector<AtomRange> divide(const BatchView& batch, int n_threads) {
  const std::int64_t n = batch.n_atoms;
  std::int64_t n_shards = std::max<std::int64_t>(1, (n + SHARD_ATOMS - 1) / SHARD_ATOMS);
  n_shards = (n_shards + n_threads - 1) / n_threads * n_threads;
  std::vector<AtomRange> shards;
  std::int64_t first = 0;
  for (std::int64_t atom = 1; atom <= n; ++atom) {
    require(atom == n || batch.structures[atom] >= batch.structures[atom - 1],
            "expected the atoms of one structure after those of the other");
    const bool is_boundary = atom == n || batch.structures[atom] != batch.structures[atom - 1];
    const auto target = static_cast<std::int64_t>(shards.size() + 1) * n / n_shards;
    if (is_boundary && (atom >= target || atom == n)) {
      shards.push_back({first, atom});
      first = atom;
    }
  }
  return shards;
}

std::vector<std::vector<std::int64_t>> edges_of_shards(const BatchView& batch,
                                                       const std::vector<AtomRange>& shards, double cutoff) {
  std::vector<std::size_t> shard_of(static_cast<std::size_t>(batch.n_atoms));
  for (std::size_t s = 0; s < shards.size(); ++s)
    std::fill(shard_of.begin() + shards[s].first, shard_of.begin() + shards[s].last, s);
  std::vector<std::vector<std::int64_t>> edges(shards.size());
  for (std::int64_t edge = 0; edge < batch.n_edges; ++edge) {
    const std::int64_t i = batch.receivers[edge], j = batch.senders[edge];
    require(i >= 0 && j >= 0 && i < batch.n_atoms && j < batch.n_atoms,
            "expected edges between atoms of the batch");
    const float* const v = batch.edge_vec + 3 * edge;
    if (!is_taken(i, j, v[0], v[1], v[2])) continue;
    if (length(v) >= cutoff) continue;  // and not "unless below it": what is not a number shall be seen
    require(batch.structures[i] == batch.structures[j], "expected edges within a structure");
    edges[shard_of[static_cast<std::size_t>(i)]].push_back(edge);
  }
  return edges;
}

void ShardMemory::prepare(const BatchView& batch, AtomRange range, const std::vector<std::int64_t>& edges,
                          const Sizes& sizes, double message_scale, const Layout& layout, int tile_rows) {
  range_ = range;
  set_atoms(batch, sizes, tile_rows);
  set_pairs(batch, edges, sizes, message_scale, layout, tile_rows);
  set_arrays(layout);
}

void ShardMemory::set_atoms(const BatchView& batch, const Sizes& sizes, int tile_rows) {
  const auto n = static_cast<std::size_t>(range_.last - range_.first);
  shard_.n_atoms = static_cast<int>(n);
  shard_.n_rows = (shard_.n_atoms + tile_rows - 1) / tile_rows * tile_rows;
  species_.resize(n);
  for (std::size_t k = 0; k < n; ++k) {
    const std::int64_t species = batch.species[range_.first + static_cast<std::int64_t>(k)];
    require(species >= 0 && species < sizes.n_species, "expected species that the student knows");
    species_[k] = static_cast<std::int32_t>(species);
  }
  shard_.species = species_.data();
  seeds_.reserve(static_cast<std::size_t>(shard_.n_rows));
  energies_.reserve(n);
  shard_.energies = energies_.data();
}

void ShardMemory::set_pairs(const BatchView& batch, const std::vector<std::int64_t>& edges,
                            const Sizes& sizes, double message_scale, const Layout& layout, int tile_rows) {
  shard_.n_pairs = static_cast<int>(edges.size());
  pairs_.resize(edges.size());
  lengths_.resize(edges.size());
  const auto stride = static_cast<std::size_t>(layout.n_rows_of_filter);
  const std::size_t n_padded = edges.size() + static_cast<std::size_t>(tile_rows);
  basis_.reserve(n_padded * stride);
  basis_slope_.reserve(n_padded * stride);
  for (std::size_t p = 0; p < edges.size(); ++p) {
    const std::int64_t edge = edges[p];
    const float* const v = batch.edge_vec + 3 * edge;
    const double r = lengths_[p] = length(v);
    Pair& pair = pairs_[p];
    pair.i = static_cast<std::int32_t>(batch.receivers[edge] - range_.first);
    pair.j = static_cast<std::int32_t>(batch.senders[edge] - range_.first);
    for (int d = 0; d < 3; ++d) pair.u[d] = static_cast<float>(v[d] / r);
    float *const values = &basis_[p * stride], *const slopes = &basis_slope_[p * stride];
    each_radial_function(r, sizes.n_rbf, sizes.cutoff, message_scale, [&](int n, double value, double slope) {
      values[n] = static_cast<float>(value);
      slopes[n] = static_cast<float>(slope);
    });
  }
  pair_tangent_.reserve(4 * edges.size());
  pair_gradient_.reserve(4 * edges.size());
  shard_.pairs = pairs_.data();
  shard_.basis = basis_.data();
  shard_.basis_slope = basis_slope_.data();
  shard_.pair_gradient = pair_gradient_.data();
}

void ShardMemory::set_arrays(const Layout& layout) {
  layers_.resize(layout.updates.size());
  const std::size_t plane = static_cast<std::size_t>(shard_.n_rows) * static_cast<std::size_t>(layout.width);
  Arrays counted(plane, nullptr);
  take(counted, layers_, shard_.final);
  arrays_.reserve(counted.n_floats());
  Arrays arrays(plane, arrays_.data());
  take(arrays, layers_, shard_.final);
  shard_.layers = layers_.data();
}

void ShardMemory::write(const Repulsion& repulsion, float* energies, float* forces) {
  const std::size_t n = species_.size();
  std::vector<double> e(shard_.energies, shard_.energies + n), f(3 * n, 0.0);
  for (std::size_t p = 0; p < pairs_.size(); ++p) {
    const Pair& pair = pairs_[p];
    const auto i = static_cast<std::size_t>(pair.i), j = static_cast<std::size_t>(pair.j);
    const float* const gradient = shard_.pair_gradient + 4 * p;
    double g_r = gradient[0];
    if (lengths_[p] < repulsion.reach(species_[i], species_[j])) {
      const PairEnergy pushed = repulsion.at(lengths_[p], species_[i], species_[j]);
      g_r += pushed.slope;
      e[i] += 0.5 * pushed.energy;
      e[j] += 0.5 * pushed.energy;
    }
    const std::array<double, 3> g = mlffd::pair_gradient(g_r, gradient + 1, pair.u, lengths_[p]);
    for (std::size_t d = 0; d < 3; ++d) {
      f[3 * i + d] += g[d];
      f[3 * j + d] -= g[d];
    }
  }
  std::copy(e.begin(), e.end(), energies + range_.first);
  std::copy(f.begin(), f.end(), forces + 3 * range_.first);
}

void ShardMemory::point(const float* grad_energies, const float* grad_forces) {
  const auto n = static_cast<std::size_t>(shard_.n_atoms), n_rows = static_cast<std::size_t>(shard_.n_rows);
  std::copy(grad_energies + range_.first, grad_energies + range_.last, seeds_.data());
  std::fill(seeds_.data() + n, seeds_.data() + n_rows, 0.0f);
  direction_ = {seeds_.data(), pair_tangent_.data()};
  const float* const grad = grad_forces + 3 * range_.first;
  for (std::size_t p = 0; p < pairs_.size(); ++p) {
    const Pair& pair = pairs_[p];
    double tangent[3], dr = 0.0;  // a pair's gradient acts on i, and the other way on j
    for (int d = 0; d < 3; ++d) {
      tangent[d] = static_cast<double>(grad[3 * pair.i + d]) - grad[3 * pair.j + d];
      dr += tangent[d] * pair.u[d];
    }
    float* const out = pair_tangent_.data() + 4 * p;
    out[0] = static_cast<float>(dr);
    for (int d = 0; d < 3; ++d) out[1 + d] = static_cast<float>((tangent[d] - dr * pair.u[d]) / lengths_[p]);
  }
}

void WorkspaceMemory::prepare(const Layout& layout, int n_rows) {
  const auto P = static_cast<std::size_t>(layout.width);
  const std::size_t plane = static_cast<std::size_t>(n_rows) * P;
  const std::size_t n_pairs =
      PAIR_BLOCK * (PAIR_SCRATCH * P + static_cast<std::size_t>(layout.n_rows_of_filter));
  layers_.resize(layout.updates.size());
  const auto take_all = [&](Arrays& arrays) {
    take(arrays, layers_, workspace_.final);
    arrays.take(workspace_.nodes, NODE_SCRATCH);
    arrays.take(workspace_.bars, FEATURE_PARTS);
    arrays.take(workspace_.sent_bars, SENT_PARTS);
  };
  Arrays counted(plane, nullptr);
  take_all(counted);
  arrays_.reserve(counted.n_floats() + n_pairs);
  Arrays arrays(plane, arrays_.data());
  take_all(arrays);
  workspace_.pairs = arrays_.data() + counted.n_floats();
  workspace_.layers = layers_.data();
}

}  // namespace mlffd::training
