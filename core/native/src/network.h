// The network on a graph: node arrays, the order of the passes, and the exchange with other domains.
#pragma once

#include <atomic>
#include <vector>

#include "buffer.h"
#include "graph.h"
#include "mlffd.h"
#include "model.h"
#include "threads.h"

namespace mlffd {

// How ghost rows get their owners' values.
struct Exchange {
  mlffd_exchange_fn call;
  void* context;
};

class Network {
 public:
  explicit Network(const Model& model) : model_(model) {}

  // Allocates all that `run` needs, so that nothing but an exchange can fail once the exchanges have begun.
  // Atoms n_own … n_all - 1 are ghosts; `exchange` may be null where there are none.
  void prepare(const ThreadPool& pool, const PairGraph& graph, int n_own, int n_all,
               const std::int32_t* species, const Exchange* exchange);

  // Energies of atoms 0 … n_own - 1 and the gradient of their domain-wide sum with respect to every pair of
  // the graph.
  void run(ThreadPool& pool);

  // Takes part in the exchanges of a step without any atoms of its own that could be computed.
  void exchange_nothing(int n_all, const Exchange& exchange);

  float energy(int atom) const { return energies_[static_cast<std::size_t>(atom)]; }

  // Sum over the chunks of dE/dt at fixed u and dE/du at fixed t, in a fixed order; t is the position in an interval.
  void pair_gradient(std::size_t pair, double gradient[4]) const {
    for (int d = 0; d < 4; ++d) gradient[d] = 0.0;
    for (std::size_t chunk = 0; chunk < static_cast<std::size_t>(model_.n_chunks); ++chunk) {
      const float* const part = pair_gradients_.data() + (chunk * graph_->n_pairs() + pair) * 4;
      for (int d = 0; d < 4; ++d) gradient[d] += static_cast<double>(part[d]);
    }
  }

 private:
  struct Layer {
    Buffer<float> M;            // node array of M_PARTS
    Buffer<float> update, phi;  // kept for the reverse pass, block after block
  };

  NodeBlock node_block(int block, int layer, int thread);
  void for_blocks(ThreadPool& pool, void (Network::*act)(int block, int layer, int thread), int layer);
  void forward_block(int block, int layer, int thread);
  void final_block(int block, int layer, int thread);
  void reverse_block(int block, int layer, int thread);
  template <typename Begin, typename Act>
  void for_pairs(ThreadPool& pool, const Begin& begin, const Act& act);
  void clear(float* chunk, int parts) const;
  void initial_forward(ThreadPool& pool);
  void initial_reverse(ThreadPool& pool);
  void message_forward(ThreadPool& pool, int layer);
  void message_reverse(ThreadPool& pool, int layer);
  void fetch_ghosts(float* array, int parts);  // rows of a node array, from their owners
  static void call_exchange(const Exchange& exchange, mlffd_rows& rows);

  const Model& model_;
  const PairGraph* graph_ = nullptr;
  const std::int32_t* species_ = nullptr;
  const Exchange* exchange_ = nullptr;
  int n_own_ = 0, n_all_ = 0, n_padded_ = 0, n_rows_ = 0, n_blocks_ = 0;
  std::size_t s_stride_ = 0, m_stride_ = 0;
  Buffer<float> S_, G_, gM_, energies_;
  std::vector<Layer> layers_;                      // L - 1
  std::vector<Buffer<float>> scratch_;             // by thread
  Buffer<float> pair_gradients_;                   // [chunk][pair][dt, du_x, du_y, du_z]
  std::vector<std::atomic<bool>> has_begun_next_;  // by share of an edge loop
};

}  // namespace mlffd
