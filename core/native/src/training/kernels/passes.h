// The order of the passes over a shard: forward and reverse for energies and forces; tangents and bars for the gradients of the
// parameters.
#pragma once

#include "nodes.h"
#include "pairs.h"

namespace mlffd::training::MLFFD_ISA {

MLFFD_INLINE void copy(std::size_t n, const float* from, float* to) {
  __builtin_memcpy(to, from, n * sizeof(float));
}
MLFFD_INLINE void clear(std::size_t n, float* p) { __builtin_memset(p, 0, n * sizeof(float)); }

// Of a layer, or of the final update that follows the last one.
MLFFD_INLINE float* features_of(const Network& network, const Shard& shard, int layer) {
  return layer < network.n_layers ? shard.layers[layer].in : shard.final.in;
}
MLFFD_INLINE float* gradients_of(const Network& network, const Shard& shard, int layer) {
  return layer < network.n_layers ? shard.layers[layer].g_in : shard.final.g_in;
}
MLFFD_INLINE float* tangents_of(const Network& network, const Workspace& own, int layer) {
  return layer < network.n_layers ? own.layers[layer].in : own.final.in;
}

static void forward(const Network& network, const Shard& shard, const Workspace& own) {
  const Nodes nodes(network, shard);
  const std::size_t P = nodes.P, n_features = FEATURE_PARTS * nodes.plane;
  float* const first = features_of(network, shard, 0);
  clear(n_features, first);
  for (int atom = 0; atom < shard.n_atoms; ++atom)
    copy(P, species_row(network, shard, network.initial.embedding, atom),
         first + static_cast<std::size_t>(atom) * FEATURE_PARTS * P);
  initial_forward(network, shard, first, own.pairs);
  for (int l = 0; l < network.n_layers; ++l) {
    const LayerKept& kept = shard.layers[l];
    float* const out = features_of(network, shard, l + 1);
    update_forward<false>(nodes, network.updates[l], kept.in, kept.update, kept.middle, own.nodes);
    phi_forward(nodes, network.messages[l].phi, kept, own.nodes);
    copy(n_features, kept.middle, out);
    message_forward(network, shard, network.messages[l], kept.sent, out, own.pairs);
  }
  update_forward<true>(nodes, network.final_update, shard.final.in, shard.final.update, shard.final.last,
                       own.nodes);
  readout(nodes, shard.final, shard.n_atoms, shard.energies, own.nodes);
}

static void reverse(const Network& network, const Shard& shard, const Workspace& own) {
  const Nodes nodes(network, shard);
  const std::size_t n_features = FEATURE_PARTS * nodes.plane;
  clear(4 * static_cast<std::size_t>(shard.n_pairs), shard.pair_gradient);
  update_reverse<true>(nodes, network.final_update, shard.final.update, shard.final.g_last, shard.final.g_in,
                       own.nodes);
  for (int l = network.n_layers - 1; l >= 0; --l) {
    const LayerKept& kept = shard.layers[l];
    const float* const g_out = gradients_of(network, shard, l + 1);
    clear(SENT_PARTS * nodes.plane, kept.g_sent);
    message_reverse(network, shard, network.messages[l], kept.sent, g_out, kept.g_sent, own.pairs);
    copy(n_features, g_out, kept.g_middle);
    phi_reverse(nodes, network.messages[l].phi, kept, own.nodes);
    update_reverse<false>(nodes, network.updates[l], kept.update, kept.g_middle, kept.g_in, own.nodes);
  }
  initial_reverse(network, shard, gradients_of(network, shard, 0), own.pairs);
}

static void tangents(const Network& network, const Shard& shard, const float* pair_tangent,
                     const Workspace& own) {
  const Nodes nodes(network, shard);
  const std::size_t n_features = FEATURE_PARTS * nodes.plane;
  float* const first = tangents_of(network, own, 0);
  clear(n_features, first);
  initial_tangents(network, shard, pair_tangent, first, own.pairs);
  for (int l = 0; l < network.n_layers; ++l) {
    const LayerKept& kept = shard.layers[l];
    const LayerTangents& t = own.layers[l];
    float* const out = tangents_of(network, own, l + 1);
    update_tangents<false>(nodes, network.updates[l], kept.update, t.in, t.update, t.middle, own.nodes);
    phi_tangents(nodes, network.messages[l].phi, kept, t, own.nodes);
    copy(n_features, t.middle, out);
    message_tangents(network, shard, network.messages[l], kept.sent, t.sent, pair_tangent, out, own.pairs);
  }
  update_tangents<true>(nodes, network.final_update, shard.final.update, own.final.in, own.final.update,
                        own.final.last, own.nodes);
}

static void bars(const Network& network, const Shard& shard, const Direction& direction, const Workspace& own,
                 float* gradient) {
  const Nodes nodes(network, shard);
  const FinalKept& last = shard.final;
  float* const b_last = own.sent_bars;  // not needed yet
  readout_bars(nodes, last, own.final, direction.seeds, b_last, gradient, own.nodes);
  update_bars<true>(nodes, network.final_update, last.in, last.update, last.g_last, own.final.in,
                    own.final.update, b_last, own.bars, gradient, own.nodes);
  for (int l = network.n_layers - 1; l >= 0; --l) {
    const LayerKept& kept = shard.layers[l];
    const LayerTangents& t = own.layers[l];
    const float* const g_out = gradients_of(network, shard, l + 1);
    clear(SENT_PARTS * nodes.plane, own.sent_bars);
    message_bars(network, shard, network.messages[l], kept.sent, t.sent, g_out, own.bars,
                 direction.pair_tangent, own.sent_bars, gradient, own.pairs);
    phi_bars(nodes, network.messages[l].phi, kept, t, own.sent_bars, own.bars, gradient, own.nodes);
    update_bars<false>(nodes, network.updates[l], kept.in, kept.update, kept.g_middle, t.in, t.update,
                       own.bars, own.bars, gradient, own.nodes);
  }
  initial_bars(network, shard, gradients_of(network, shard, 0), own.bars, direction.pair_tangent, gradient,
               own.pairs);
  for (int atom = 0; atom < shard.n_atoms; ++atom) {
    float* const row =
        gradient + network.initial.embedding + static_cast<std::size_t>(shard.species[atom]) * nodes.P;
    const float* const b = own.bars + static_cast<std::size_t>(atom) * FEATURE_PARTS * nodes.P;
    for (std::size_t f = 0; f < nodes.P; f += W) add(row + f, load(b + f));
  }
}

static void energies_and_pair_gradients(const Network& network, const Shard& shard, const Workspace& own) {
  forward(network, shard, own);
  reverse(network, shard, own);
}

static void parameter_gradients(const Network& network, const Shard& shard, const Direction& direction,
                                const Workspace& own, float* gradient) {
  tangents(network, shard, direction.pair_tangent, own);
  bars(network, shard, direction, own, gradient);
}

}  // namespace mlffd::training::MLFFD_ISA
