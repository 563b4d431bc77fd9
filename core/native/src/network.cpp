#include "network.h"

#include <cstring>
#include <thread>

#include "error.h"
#include "rows.h"

namespace mlffd {
namespace {

constexpr int NODE_BLOCK =
    48;  // rows; a multiple of every tile height, small enough for the second-level cache
constexpr int PAIR_BLOCK = 256;  // centres whose pairs stay in the cache while all chunks are done

void nothing(std::size_t) {}

int round_up(int n, int step) { return (n + step - 1) / step * step; }

// A place on the line of all chunks, one behind the other, each as long as it has centres.
struct Cut {
  int chunk, center;
};

Cut cut(int share, int n_shares, int n_chunks, int n_centers) {
  const std::int64_t place = static_cast<std::int64_t>(share) * n_chunks * n_centers / n_shares;
  return {static_cast<int>(place / n_centers), static_cast<int>(place % n_centers)};
}

}  // namespace

void Network::prepare(const ThreadPool& pool, const PairGraph& graph, int n_own, int n_all,
                      const std::int32_t* species, const Exchange* exchange) {
  graph_ = &graph, species_ = species, exchange_ = exchange;
  n_own_ = n_own, n_all_ = n_all;
  const int width = model_.kernels.width;
  n_padded_ = round_up(n_own_, model_.kernels.tile_rows);
  n_blocks_ = (n_padded_ + NODE_BLOCK - 1) / NODE_BLOCK;
  n_rows_ = std::max(n_all_, n_padded_) | 1;  // odd, so that an atom's chunks do not share a cache set
  s_stride_ = static_cast<std::size_t>(n_rows_) * S_PARTS * width;
  m_stride_ = static_cast<std::size_t>(n_rows_) * M_PARTS * width;

  const auto chunks = static_cast<std::size_t>(model_.n_chunks);
  const std::size_t F = chunks * static_cast<std::size_t>(width),
                    kept = static_cast<std::size_t>(n_blocks_) * NODE_BLOCK * F;
  S_.reserve(chunks * s_stride_);
  G_.reserve(chunks * s_stride_);
  gM_.reserve(chunks * m_stride_);
  energies_.reserve(static_cast<std::size_t>(n_padded_));
  layers_.resize(model_.updates.size());
  for (Layer& layer : layers_) {
    layer.M.reserve(chunks * m_stride_);
    layer.update.reserve(kept * UPDATE_KEPT);
    layer.phi.reserve(kept * PHI_KEPT);
  }
  scratch_.resize(static_cast<std::size_t>(pool.size()));
  if (has_begun_next_.size() != scratch_.size())
    has_begun_next_ = std::vector<std::atomic<bool>>(scratch_.size());
  for (Buffer<float>& scratch : scratch_) scratch.reserve(NODE_BLOCK * F * (SCRATCH + UPDATE_KEPT));
  pair_gradients_.reserve(chunks * graph_->n_pairs() * 4);
}

void Network::run(ThreadPool& pool) {
  const int n_layers = static_cast<int>(layers_.size());
  initial_forward(pool);
  for (int layer = 0; layer < n_layers; ++layer) {
    for_blocks(pool, &Network::forward_block, layer);
    fetch_ghosts(layers_[static_cast<std::size_t>(layer)].M.data(), M_PARTS);
    message_forward(pool, layer);
  }
  for_blocks(pool, &Network::final_block, -1);
  for (int layer = n_layers - 1; layer >= 0; --layer) {
    fetch_ghosts(G_.data(), S_PARTS);
    message_reverse(pool, layer);
    for_blocks(pool, &Network::reverse_block, layer);
  }
  fetch_ghosts(G_.data(), S_PARTS);
  initial_reverse(pool);
}

NodeBlock Network::node_block(int block, int layer, int thread) {
  const int first = block * NODE_BLOCK, width = model_.kernels.width;
  const std::size_t F = static_cast<std::size_t>(model_.n_chunks) * width,
                    row = static_cast<std::size_t>(first);
  float* const scratch = scratch_[static_cast<std::size_t>(thread)].data();
  NodeBlock nodes{};
  nodes.n_rows = std::min(NODE_BLOCK, n_padded_ - first);
  nodes.n_chunks = model_.n_chunks;
  nodes.s_stride = s_stride_, nodes.m_stride = m_stride_;
  nodes.S = S_.data() + row * S_PARTS * width;
  nodes.G = G_.data() + row * S_PARTS * width;
  nodes.gM = gM_.data() + row * M_PARTS * width;
  nodes.scratch = scratch;
  if (layer < 0) {  // the final update: what it keeps is used up at once
    nodes.update = scratch + NODE_BLOCK * F * SCRATCH;
  } else {
    Layer& kept = layers_[static_cast<std::size_t>(layer)];
    nodes.M = kept.M.data() + row * M_PARTS * width;
    nodes.update = kept.update.data() + row * F * UPDATE_KEPT;
    nodes.phi = kept.phi.data() + row * F * PHI_KEPT;
  }
  return nodes;
}

void Network::for_blocks(ThreadPool& pool, void (Network::*act)(int, int, int), int layer) {
  pool.run(n_blocks_, [&](int block, int thread) { (this->*act)(block, layer, thread); });
}

void Network::forward_block(int block, int layer, int thread) {
  const NodeBlock nodes = node_block(block, layer, thread);
  model_.kernels.update_forward(model_.updates[static_cast<std::size_t>(layer)], nodes);
  model_.kernels.phi_forward(model_.phis[static_cast<std::size_t>(layer)], nodes);
}

void Network::final_block(int block, int layer, int thread) {
  model_.kernels.final(model_.final_update, model_.readout, node_block(block, layer, thread),
                       energies_.data() + block * NODE_BLOCK);
}

void Network::reverse_block(int block, int layer, int thread) {
  const NodeBlock nodes = node_block(block, layer, thread);
  model_.kernels.phi_reverse(model_.phis[static_cast<std::size_t>(layer)], nodes);
  model_.kernels.update_reverse(model_.updates[static_cast<std::size_t>(layer)], nodes);
}

// Threads take equal stretches of the line of all chunks; chunks share no memory that is written. A chunk that a cut divides
// is begun by the share before the cut, as its first work, and ended by the share after it, as its last (McNaughton's rule),
// so that its centres come in the same order as on one thread. Shares wait only for one with a lower number, which has begun.
template <typename Begin, typename Act>
void Network::for_pairs(ThreadPool& pool, const Begin& begin, const Act& act) {
  if (n_own_ == 0) return;
  const int n_chunks = model_.n_chunks, n_shares = std::min(pool.size(), n_chunks);
  const auto range = [&](int first, int last) {
    return PairRange{first, last, graph_->centers(), graph_->pairs()};
  };
  for (std::atomic<bool>& begun : has_begun_next_) begun = false;
  pool.run(n_shares, [&](int share, int) {
    const Cut from = cut(share, n_shares, n_chunks, n_own_), to = cut(share + 1, n_shares, n_chunks, n_own_);
    if (to.center > 0) {
      begin(static_cast<std::size_t>(to.chunk));
      act(range(0, to.center), static_cast<std::size_t>(to.chunk));
      has_begun_next_[static_cast<std::size_t>(share)] = true;
    }
    const int first_whole = from.chunk + (from.center > 0);
    for (int chunk = first_whole; chunk < to.chunk; ++chunk) begin(static_cast<std::size_t>(chunk));
    for (int first = 0; first < n_own_; first += PAIR_BLOCK)
      for (int chunk = first_whole; chunk < to.chunk; ++chunk)
        act(range(first, std::min(n_own_, first + PAIR_BLOCK)), static_cast<std::size_t>(chunk));
    if (from.center > 0) {
      while (!has_begun_next_[static_cast<std::size_t>(share - 1)]) std::this_thread::yield();
      act(range(from.center, n_own_), static_cast<std::size_t>(from.chunk));
    }
  });
}

// The rows that pairs add to, and those that fill up the last tile: none of ghosts.
void Network::clear(float* chunk, int parts) const {
  std::memset(chunk, 0, static_cast<std::size_t>(n_padded_) * parts * model_.kernels.width * sizeof(float));
}

void Network::initial_forward(ThreadPool& pool) {
  const auto W = static_cast<std::size_t>(model_.kernels.width), n_species = model_.student.elements.size();
  const auto embed = [&](std::size_t chunk) {
    const float* const embedding = model_.embedding.data() + chunk * n_species * W;
    float* s = S_.data() + chunk * s_stride_;
    clear(s, S_PARTS);
    for (int i = 0; i < n_own_; ++i, s += S_PARTS * W)
      std::memcpy(s, embedding + static_cast<std::size_t>(species_[i]) * W, W * sizeof(float));
  };
  for_pairs(pool, embed, [&](const PairRange& range, std::size_t chunk) {
    model_.kernels.initial_forward(
        range, model_.initial_table.rows.data() + chunk * model_.initial_table.chunk_stride,
        model_.initial_phi.data() + chunk * n_species * 2 * W, species_, S_.data() + chunk * s_stride_);
  });
}

void Network::initial_reverse(ThreadPool& pool) {
  const auto W = static_cast<std::size_t>(model_.kernels.width), n_species = model_.student.elements.size();
  const bool accumulate = !layers_.empty();
  for_pairs(pool, nothing, [&](const PairRange& range, std::size_t chunk) {
    model_.kernels.initial_reverse(
        range, model_.initial_table.rows.data() + chunk * model_.initial_table.chunk_stride,
        model_.initial_phi.data() + chunk * n_species * 2 * W, species_, G_.data() + chunk * s_stride_,
        pair_gradients_.data() + chunk * graph_->n_pairs() * 4, accumulate);
  });
}

void Network::message_forward(ThreadPool& pool, int layer) {
  const FilterTable& table = model_.tables[static_cast<std::size_t>(layer)];
  const float* const M = layers_[static_cast<std::size_t>(layer)].M.data();
  for_pairs(pool, nothing, [&](const PairRange& range, std::size_t chunk) {
    model_.kernels.message_forward(range, table.rows.data() + chunk * table.chunk_stride,
                                   M + chunk * m_stride_, S_.data() + chunk * s_stride_);
  });
}

void Network::message_reverse(ThreadPool& pool, int layer) {
  const FilterTable& table = model_.tables[static_cast<std::size_t>(layer)];
  const float* const M = layers_[static_cast<std::size_t>(layer)].M.data();
  const bool accumulate = layer + 1 < static_cast<int>(layers_.size());
  const auto begin = [&](std::size_t chunk) { clear(gM_.data() + chunk * m_stride_, M_PARTS); };
  for_pairs(pool, begin, [&](const PairRange& range, std::size_t chunk) {
    model_.kernels.message_reverse(range, table.rows.data() + chunk * table.chunk_stride,
                                   M + chunk * m_stride_, G_.data() + chunk * s_stride_,
                                   gM_.data() + chunk * m_stride_,
                                   pair_gradients_.data() + chunk * graph_->n_pairs() * 4, accumulate);
  });
}

void Network::fetch_ghosts(float* array, int parts) {
  if (!exchange_) return;
  const auto fetch = [&](auto width) {
    constexpr int W = decltype(width)::value;
    const std::size_t chunk_stride = static_cast<std::size_t>(n_rows_) * parts * W;
    NodeRows<W> rows(array, chunk_stride, n_all_, parts, model_.student.n_features);
    call_exchange(*exchange_, rows);
  };
  switch (model_.kernels.width) {
    case 4: return fetch(std::integral_constant<int, 4>{});
    case 8: return fetch(std::integral_constant<int, 8>{});
    default: return fetch(std::integral_constant<int, 16>{});
  }
}

void Network::exchange_nothing(int n_all, const Exchange& exchange) {
  const int n_layers = static_cast<int>(model_.updates.size());
  for (int k = 0; k < 2 * n_layers + 1; ++k) {
    ZeroRows rows(n_all, (k < n_layers ? M_PARTS : S_PARTS) * model_.student.n_features);
    call_exchange(exchange, rows);
  }
}

void Network::call_exchange(const Exchange& exchange, mlffd_rows& rows) {
  if (const int status = exchange.call(exchange.context, &rows, rows.n_rows, rows.width))
    throw ExchangeError("the exchange of ghost rows between domains failed with status " +
                        std::to_string(status));
}

}  // namespace mlffd
