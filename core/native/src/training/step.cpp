#include "step.h"

#include <algorithm>

#include "../error.h"
#include "../isa.h"

namespace mlffd::training {

Step::Step(const Sizes& sizes, int n_threads)
    : sizes_(sizes), kernels_(choose_training_kernels()),
      layout_(sizes, kernels_.vector_width, kernels_.tile_rows), repulsion_(sizes.repulsion), network_{},
      pool_(n_threads), weights_(layout_.n_floats()), transposed_(layout_.n_floats()),
      workspaces_(static_cast<std::size_t>(n_threads)) {
  for (int k = 0; k < n_threads; ++k) gradients_.emplace_back(layout_.n_floats());
  network_.width = layout_.width;
  network_.n_layers = static_cast<int>(layout_.updates.size());
  network_.n_basis = layout_.n_basis;
  network_.n_rows_of_filter = layout_.n_rows_of_filter;
  network_.weights = weights_.data();
  network_.transposed = transposed_.data();
  network_.initial = layout_.initial;
  network_.updates = layout_.updates.data();
  network_.messages = layout_.messages.data();
  network_.final_update = layout_.final_update;
  network_.readout = layout_.readout;
}

// act(thread): each once. A thread then takes every n-th shard, the same ones each time, so that sums do not depend on chance.
template <typename Act>
void Step::each_thread(const Act& act) {
  pool_.run(static_cast<int>(workspaces_.size()),
            [&](int index, int) { act(static_cast<std::size_t>(index)); });
}

void Step::forward(const float* const* parameters, Scales scales, const BatchView& batch, float* energies,
                   float* forces) {
  is_ready_ = false;
  network_.energy_scale = static_cast<float>(scales.energy);
  pool_.run(static_cast<int>(layout_.n_parts()), [&](int part, int) {
    layout_.pack(static_cast<std::size_t>(part), parameters, weights_.data(), transposed_.data());
  });
  const std::vector<AtomRange> ranges = divide(batch, static_cast<int>(workspaces_.size()));
  const std::vector<std::vector<std::int64_t>> edges = edges_of_shards(batch, ranges, sizes_.cutoff);
  n_shards_ = ranges.size();
  if (shards_.size() < n_shards_) shards_.resize(n_shards_);
  each_thread([&](std::size_t thread) {
    for (std::size_t k = thread; k < n_shards_; k += workspaces_.size()) {
      ShardMemory& memory = shards_[k];
      memory.prepare(batch, ranges[k], edges[k], sizes_, scales.message, layout_, kernels_.tile_rows);
      workspaces_[thread].prepare(layout_, memory.shard().n_rows);
      kernels_.energies_and_pair_gradients(network_, memory.shard(), workspaces_[thread].get());
      memory.write(repulsion_, energies, forces);
    }
  });
  is_ready_ = true;
}

void Step::backward(const float* grad_energies, const float* grad_forces, float* const* gradients) {
  require(is_ready_, "expected a forward pass before the backward pass");
  each_thread([&](std::size_t thread) {
    float* const gradient = gradients_[thread].data();
    std::fill(gradient, gradient + layout_.n_floats(), 0.0f);
    for (std::size_t k = thread; k < n_shards_; k += workspaces_.size()) {
      ShardMemory& memory = shards_[k];
      workspaces_[thread].prepare(layout_, memory.shard().n_rows);
      memory.point(grad_energies, grad_forces);
      kernels_.parameter_gradients(network_, memory.shard(), memory.direction(), workspaces_[thread].get(),
                                   gradient);
    }
  });
  const std::size_t n_used = std::min(gradients_.size(), n_shards_);
  pool_.run(static_cast<int>(layout_.n_parts()), [&](int part, int) {
    layout_.unpack(static_cast<std::size_t>(part), gradients_, n_used, gradients);
  });
}

}  // namespace mlffd::training
