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

// begin(thread), and then act(shard, thread): a thread takes the same shards each time, so that sums do not depend on chance.
template <typename Begin, typename Act>
void Step::each_shard(const Begin& begin, const Act& act) {
  const std::size_t n_threads = workspaces_.size();
  pool_.run(static_cast<int>(n_threads), [&](int index, int) {
    const auto own = static_cast<std::size_t>(index);
    begin(own);
    for (std::size_t shard = own; shard < n_shards_; shard += n_threads) act(shard, own);
  });
}

void Step::forward(const float* const* parameters, Scales scales, const BatchView& batch, float* energies,
                   float* forces) {
  is_ready_ = false;
  network_.energy_scale = static_cast<float>(scales.energy);
  pool_.run(static_cast<int>(layout_.n_parts()), [&](int part, int) {
    layout_.pack(static_cast<std::size_t>(part), parameters, weights_.data(), transposed_.data());
  });
  const std::vector<AtomRange> ranges = divide(batch, static_cast<int>(workspaces_.size()));
  const PairLists pairs(batch, ranges, sizes_.cutoff);
  n_shards_ = ranges.size();
  if (shards_.size() < n_shards_) shards_.resize(n_shards_);
  const auto nothing = [](std::size_t) {};
  each_shard(nothing, [&](std::size_t k, std::size_t thread) {
    ShardMemory& memory = shards_[k];
    memory.prepare(batch, ranges[k], pairs.of(k), sizes_, scales.message, layout_, kernels_.tile_rows);
    workspaces_[thread].prepare(layout_, memory.shard().n_rows);
    kernels_.energies_and_pair_gradients(network_, memory.shard(), workspaces_[thread].get());
    memory.write(repulsion_, energies, forces);
  });
  is_ready_ = true;
}

void Step::backward(const float* grad_energies, const float* grad_forces, float* const* gradients) {
  require(is_ready_, "expected a forward pass before the backward pass");
  const auto clear = [&](std::size_t thread) {
    float* const gradient = gradients_[thread].data();
    std::fill(gradient, gradient + layout_.n_floats(), 0.0f);
  };
  each_shard(clear, [&](std::size_t k, std::size_t thread) {
    ShardMemory& memory = shards_[k];
    workspaces_[thread].prepare(layout_, memory.shard().n_rows);
    memory.point(grad_energies, grad_forces);
    kernels_.parameter_gradients(network_, memory.shard(), memory.direction(), workspaces_[thread].get(),
                                 gradients_[thread].data());
  });
  const std::size_t n_used = std::min(gradients_.size(), n_shards_);
  pool_.run(static_cast<int>(layout_.n_parts()), [&](int part, int) {
    layout_.unpack(static_cast<std::size_t>(part), gradients_, n_used, gradients);
  });
}

}  // namespace mlffd::training
