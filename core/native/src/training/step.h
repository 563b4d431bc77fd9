// Energies and forces of a batch, and the gradients of a loss of both with respect to the parameters.
#pragma once

#include <vector>

#include "../threads.h"
#include "shards.h"

namespace mlffd::training {

// What is fixed before a training, and multiplies messages and energies.
struct Scales {
  double message, energy;  // 1 and eV
};

class Step {
 public:
  Step(const Sizes& sizes, int n_threads);

  std::size_t n_parameters() const { return layout_.n_tensors(); }

  // Interaction energies (N) eV and forces (N, 3) eV/Å. Keeps what `backward` needs, until the next call.
  void forward(const float* const* parameters, Scales scales, const BatchView& batch, float* energies,
               float* forces);

  // Gradients with respect to the parameters of the last `forward`, in the shapes of torch, from those with respect to its
  // energies (N) and forces (N, 3). The same numbers on every call with so many threads.
  void backward(const float* grad_energies, const float* grad_forces, float* const* gradients);

 private:
  template <typename Act>
  void each_thread(const Act& act);

  const Sizes sizes_;
  const Kernels& kernels_;
  const Layout layout_;
  const Repulsion repulsion_;
  Network network_;
  ThreadPool pool_;
  Buffer<float> weights_, transposed_;
  std::size_t n_shards_ = 0;
  bool is_ready_ = false;            // for `backward`
  std::vector<ShardMemory> shards_;  // no fewer than n_shards_
  std::vector<WorkspaceMemory> workspaces_;
  std::vector<Buffer<float>> gradients_;  // of each thread
};

}  // namespace mlffd::training
