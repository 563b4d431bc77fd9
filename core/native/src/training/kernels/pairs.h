// What happens between neighbours, in the four passes. Pairs come in blocks, whose filters are computed first.
// docs/native_training.md derives the formulas; names as in nodes.h.
//
// A pair i, j carries two messages through one filter, since r_ij = r_ji and u_ji = -u_ij.
#pragma once

#include "products.h"

namespace mlffd::training::MLFFD_ISA {

MLFFD_INLINE void add(float* p, V x) { store(p, load(p) + x); }

struct Vector {
  V x, y, z;
};
MLFFD_INLINE Vector load_vector(const float* p, std::size_t P) {
  return {load(p), load(p + P), load(p + 2 * P)};
}
MLFFD_INLINE void add_vector(float* p, std::size_t P, Vector v) {
  add(p, v.x), add(p + P, v.y), add(p + 2 * P, v.z);
}
MLFFD_INLINE Vector operator*(V a, Vector v) { return {a * v.x, a * v.y, a * v.z}; }
MLFFD_INLINE Vector operator+(Vector v, Vector w) { return {v.x + w.x, v.y + w.y, v.z + w.z}; }
MLFFD_INLINE Vector operator-(Vector v, Vector w) { return {v.x - w.x, v.y - w.y, v.z - w.z}; }
MLFFD_INLINE Vector along(V a, const float* u) { return {a * u[0], a * u[1], a * u[2]}; }
MLFFD_INLINE V dot(Vector v, const float* u) { return v.x * u[0] + v.y * u[1] + v.z * u[2]; }
MLFFD_INLINE V dot(Vector v, Vector w) { return v.x * w.x + v.y * w.y + v.z * w.z; }

// Consecutive pairs, whose filters are computed together.
struct PairBlock {
  int first, n;
};

// act(block) for all pairs
template <typename Act>
MLFFD_INLINE void each_block(const Shard& shard, Act act) {
  for (int first = 0; first < shard.n_pairs; first += PAIR_BLOCK)
    act(PairBlock{first, shard.n_pairs - first < PAIR_BLOCK ? shard.n_pairs - first : PAIR_BLOCK});
}

// Filters W of a block of pairs, [pair][part][P] in the workspace: the last ones that were asked for.
template <int PARTS>
class Filters {
 public:
  Filters(const Network& network, const Shard& shard, const std::size_t* blocks, float* scratch)
      : network_(network), shard_(shard), blocks_(blocks), P_(static_cast<std::size_t>(network.width)),
        scratch_(scratch) {}

  std::size_t width() const { return P_; }

  const float* values(PairBlock block) const { return evaluate(block, basis(shard_.basis, block), array(0)); }

  // dW/dr
  const float* slopes(PairBlock block) const {
    return evaluate(block, basis(shard_.basis_slope, block), array(1));
  }

  // dW/dr · dr, with the tangents of all pairs
  const float* tangents(PairBlock block, const float* pair_tangent) const {
    const float* const slope = basis(shard_.basis_slope, block);
    for (int p = 0; p < block.n; ++p)
      for (std::size_t k = 0; k < stride(); ++k)
        basis_tangents()[p * stride() + k] = slope[p * stride() + k] * pair_tangent[4 * (block.first + p)];
    return evaluate(block, basis_tangents(), array(1));
  }

  // Where a pass puts the bars of W, and the gradients, which are the bars of the tangents.
  float* bars() const { return array(2); }
  float* gradients() const { return array(3); }

  // The gradient of the filters' weights += what follows from both, after `tangents` of the same block.
  void weigh(PairBlock block, float* gradient) const {
    weigh_by(block, basis(shard_.basis, block), bars(), gradient);
    weigh_by(block, basis_tangents(), gradients(), gradient);
  }

 private:
  std::size_t stride() const { return static_cast<std::size_t>(network_.n_rows_of_filter); }  // of Φ
  const float* basis(const float* of_all, PairBlock block) const { return of_all + block.first * stride(); }
  float* array(int k) const { return scratch_ + static_cast<std::size_t>(k) * PAIR_BLOCK * PARTS * P_; }
  float* basis_tangents() const { return array(4); }

  const float* evaluate(PairBlock block, const float* basis, float* filters) const {
    const int n_rows = (block.n + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (int part = 0; part < PARTS; ++part)
      product<false>(n_rows, network_.n_basis, network_.width, basis, stride(),
                     network_.weights + blocks_[part], P_, filters + part * P_, PARTS * P_, Start::ZERO,
                     nullptr);
    return filters;
  }

  void weigh_by(PairBlock block, const float* basis, const float* bars, float* gradient) const {
    for (int part = 0; part < PARTS; ++part)
      product<true>(network_.n_rows_of_filter, block.n, network_.width, basis, stride(), bars + part * P_,
                    PARTS * P_, gradient + blocks_[part], P_, Start::RESULT, nullptr);
  }

  const Network& network_;
  const Shard& shard_;
  const std::size_t* const blocks_;
  const std::size_t P_;
  float* const scratch_;
};

// act(pair, offset of its filters, feature): one vector of each pair of a block
template <int PARTS, typename Act>
MLFFD_INLINE void each_vector(PairBlock block, std::size_t P, Act act) {
  for (int p = 0; p < block.n; ++p)
    for (std::size_t f = 0; f < P; f += W) act(block.first + p, p * PARTS * P + f, f);
}

MLFFD_INLINE void add_pair_gradient(const Shard& shard, int pair, V r, Vector u) {
  V4* const gradient = reinterpret_cast<V4*>(shard.pair_gradient + 4 * static_cast<std::size_t>(pair));
  *gradient += sums(r, u.x, u.y, u.z);
}

// A feature in an atom's row of a node array of so many parts.
template <int PARTS, typename Float>
MLFFD_INLINE Float* row(Float* array, int atom, std::size_t P, std::size_t f) {
  return array + static_cast<std::size_t>(atom) * PARTS * P + f;
}

static void message_forward(const Network& network, const Shard& shard, const MessageBlocks& w,
                            const float* sent, float* out, float* scratch) {
  const Filters<3> filters(network, shard, w.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float* const values = filters.values(block);
    each_vector<3>(block, P, [&](int p, std::size_t k, std::size_t f) __attribute__((always_inline)) {
      const Pair& pair = shard.pairs[p];
      const V W_s = load(values + k), W_vs = load(values + k + P), W_vv = load(values + k + 2 * P);
      const auto receive = [&](int to, int from, float sign) __attribute__((always_inline)) {
        const float* const m = row<SENT_PARTS>(sent, from, P, f);
        float* const x = row<FEATURE_PARTS>(out, to, P, f);
        add(x, W_s * load(m));
        add_vector(x + P, P, W_vv * load_vector(m + 2 * P, P) + along(sign * W_vs * load(m + P), pair.u));
      };
      receive(pair.i, pair.j, 1.0f);
      receive(pair.j, pair.i, -1.0f);
    });
  });
}

// g_sent += and the pairs' gradients += from the gradient g of the message's result
static void message_reverse(const Network& network, const Shard& shard, const MessageBlocks& w,
                            const float* sent, const float* g, float* g_sent, float* scratch) {
  const Filters<3> filters(network, shard, w.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float *const values = filters.values(block), *const slopes = filters.slopes(block);
    for (int p = 0; p < block.n; ++p) {
      const Pair& pair = shard.pairs[block.first + p];
      V g_r{};
      Vector g_u{};
      for (std::size_t f = 0; f < P; f += W) {
        const std::size_t k = p * 3 * P + f;
        const V W_s = load(values + k), W_vs = load(values + k + P), W_vv = load(values + k + 2 * P);
        const auto reverse = [&](int to, int from, float sign) __attribute__((always_inline)) {
          const float *const m = row<SENT_PARTS>(sent, from, P, f), *const g_to =
                                                                        row<FEATURE_PARTS>(g, to, P, f);
          float* const g_from = row<SENT_PARTS>(g_sent, from, P, f);
          const V g_s = load(g_to), phi_vs = sign * load(m + P);
          const Vector g_v = load_vector(g_to + P, P);
          const V along_u = dot(g_v, pair.u);
          g_r += load(slopes + k) * load(m) * g_s + load(slopes + k + P) * phi_vs * along_u +
                 load(slopes + k + 2 * P) * dot(load_vector(m + 2 * P, P), g_v);
          g_u = g_u + W_vs * phi_vs * g_v;
          add(g_from, W_s * g_s);
          add(g_from + P, sign * W_vs * along_u);
          add_vector(g_from + 2 * P, P, W_vv * g_v);
        };
        reverse(pair.i, pair.j, 1.0f);
        reverse(pair.j, pair.i, -1.0f);
      }
      add_pair_gradient(shard, block.first + p, g_r, g_u);
    }
  });
}

static void message_tangents(const Network& network, const Shard& shard, const MessageBlocks& w,
                             const float* sent, const float* t_sent, const float* pair_tangent, float* t_out,
                             float* scratch) {
  const Filters<3> filters(network, shard, w.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float *const values = filters.values(block), *const tangents =
                                                           filters.tangents(block, pair_tangent);
    each_vector<3>(block, P, [&](int p, std::size_t k, std::size_t f) __attribute__((always_inline)) {
      const Pair& pair = shard.pairs[p];
      const float* const t_u = pair_tangent + 4 * p + 1;
      const V W_s = load(values + k), W_vs = load(values + k + P), W_vv = load(values + k + 2 * P);
      const V t_s = load(tangents + k), t_vs = load(tangents + k + P), t_vv = load(tangents + k + 2 * P);
      const auto receive = [&](int to, int from, float sign) __attribute__((always_inline)) {
        const float *const m = row<SENT_PARTS>(sent, from, P, f), *const t_m =
                                                                      row<SENT_PARTS>(t_sent, from, P, f);
        float* const x = row<FEATURE_PARTS>(t_out, to, P, f);
        const V vs = sign * load(m + P), t_phi_vs = sign * load(t_m + P);
        add(x, t_s * load(m) + W_s * load(t_m));
        add_vector(x + P, P,
                   t_vv * load_vector(m + 2 * P, P) + W_vv * load_vector(t_m + 2 * P, P) +
                       along(t_vs * vs + W_vs * t_phi_vs, pair.u) + along(W_vs * vs, t_u));
      };
      receive(pair.i, pair.j, 1.0f);
      receive(pair.j, pair.i, -1.0f);
    });
  });
}

// b_sent += and gradients of the filters +=, from the bars b of the message's result
static void message_bars(const Network& network, const Shard& shard, const MessageBlocks& w,
                         const float* sent, const float* t_sent, const float* g, const float* b,
                         const float* pair_tangent, float* b_sent, float* gradient, float* scratch) {
  const Filters<3> filters(network, shard, w.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float *const values = filters.values(block), *const tangents =
                                                           filters.tangents(block, pair_tangent);
    float *const bars = filters.bars(), *const gradients = filters.gradients();
    each_vector<3>(block, P, [&](int p, std::size_t k, std::size_t f) __attribute__((always_inline)) {
      const Pair& pair = shard.pairs[p];
      const float* const t_u = pair_tangent + 4 * p + 1;
      const V W_s = load(values + k), W_vs = load(values + k + P), W_vv = load(values + k + 2 * P);
      const V t_s = load(tangents + k), t_vs = load(tangents + k + P), t_vv = load(tangents + k + 2 * P);
      V g_s{}, g_vs{}, g_vv{}, b_s{}, b_vs{}, b_vv{};  // of the filters
      const auto reverse = [&](int to, int from, float sign) __attribute__((always_inline)) {
        const float *const m = row<SENT_PARTS>(sent, from, P, f), *const t_m =
                                                                      row<SENT_PARTS>(t_sent, from, P, f);
        const float *const g_to = row<FEATURE_PARTS>(g, to, P, f), *const b_to =
                                                                       row<FEATURE_PARTS>(b, to, P, f);
        float* const b_from = row<SENT_PARTS>(b_sent, from, P, f);
        const V phi_s = load(m), phi_vs = load(m + P), g_x = load(g_to), b_x = load(b_to);
        const Vector v = load_vector(m + 2 * P, P), g_v = load_vector(g_to + P, P),
                     b_v = load_vector(b_to + P, P);
        const V g_u = sign * dot(g_v, pair.u), b_u = sign * (dot(b_v, pair.u) + dot(g_v, t_u));
        g_s += phi_s * g_x;
        g_vs += phi_vs * g_u;
        g_vv += dot(v, g_v);
        b_s += phi_s * b_x + load(t_m) * g_x;
        b_vs += phi_vs * b_u + load(t_m + P) * g_u;
        b_vv += dot(v, b_v) + dot(load_vector(t_m + 2 * P, P), g_v);
        add(b_from, W_s * b_x + t_s * g_x);
        add(b_from + P, W_vs * b_u + t_vs * g_u);
        add_vector(b_from + 2 * P, P, W_vv * b_v + t_vv * g_v);
      };
      reverse(pair.i, pair.j, 1.0f);
      reverse(pair.j, pair.i, -1.0f);
      store(gradients + k, g_s), store(gradients + k + P, g_vs), store(gradients + k + 2 * P, g_vv);
      store(bars + k, b_s), store(bars + k + P, b_vs), store(bars + k + 2 * P, b_vv);
    });
    filters.weigh(block, gradient);
  });
}

// The first message, where φ depends on the species only and there are no vectors yet.

MLFFD_INLINE const float* species_row(const Network& network, const Shard& shard, std::size_t block,
                                      int atom) {
  return network.weights + block + static_cast<std::size_t>(shard.species[atom]) * network.width;
}

struct InitialPhi {
  V s, vs;
};
MLFFD_INLINE InitialPhi initial_phi(const Network& network, const Shard& shard, int atom, std::size_t f) {
  const std::size_t* const phi = network.initial.phi;
  return {load(species_row(network, shard, phi[0], atom) + f),
          load(species_row(network, shard, phi[1], atom) + f)};
}

static void initial_forward(const Network& network, const Shard& shard, float* out, float* scratch) {
  const Filters<2> filters(network, shard, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float* const values = filters.values(block);
    each_vector<2>(block, P, [&](int p, std::size_t k, std::size_t f) __attribute__((always_inline)) {
      const Pair& pair = shard.pairs[p];
      const V W_s = load(values + k), W_vs = load(values + k + P);
      const auto receive = [&](int to, int from, float sign) __attribute__((always_inline)) {
        const InitialPhi phi = initial_phi(network, shard, from, f);
        float* const x = row<FEATURE_PARTS>(out, to, P, f);
        add(x, W_s * phi.s);
        add_vector(x + P, P, along(sign * W_vs * phi.vs, pair.u));
      };
      receive(pair.i, pair.j, 1.0f);
      receive(pair.j, pair.i, -1.0f);
    });
  });
}

static void initial_reverse(const Network& network, const Shard& shard, const float* g, float* scratch) {
  const Filters<2> filters(network, shard, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float *const values = filters.values(block), *const slopes = filters.slopes(block);
    for (int p = 0; p < block.n; ++p) {
      const Pair& pair = shard.pairs[block.first + p];
      V g_r{};
      Vector g_u{};
      for (std::size_t f = 0; f < P; f += W) {
        const std::size_t k = p * 2 * P + f;
        const V W_vs = load(values + k + P);
        const auto reverse = [&](int to, int from, float sign) __attribute__((always_inline)) {
          const InitialPhi phi = initial_phi(network, shard, from, f);
          const float* const g_to = row<FEATURE_PARTS>(g, to, P, f);
          const Vector g_v = load_vector(g_to + P, P);
          g_r +=
              load(slopes + k) * phi.s * load(g_to) + sign * load(slopes + k + P) * phi.vs * dot(g_v, pair.u);
          g_u = g_u + sign * W_vs * phi.vs * g_v;
        };
        reverse(pair.i, pair.j, 1.0f);
        reverse(pair.j, pair.i, -1.0f);
      }
      add_pair_gradient(shard, block.first + p, g_r, g_u);
    }
  });
}

static void initial_tangents(const Network& network, const Shard& shard, const float* pair_tangent,
                             float* t_out, float* scratch) {
  const Filters<2> filters(network, shard, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float *const values = filters.values(block), *const tangents =
                                                           filters.tangents(block, pair_tangent);
    each_vector<2>(block, P, [&](int p, std::size_t k, std::size_t f) __attribute__((always_inline)) {
      const Pair& pair = shard.pairs[p];
      const float* const t_u = pair_tangent + 4 * p + 1;
      const V W_vs = load(values + k + P), t_s = load(tangents + k), t_vs = load(tangents + k + P);
      const auto receive = [&](int to, int from, float sign) __attribute__((always_inline)) {
        const InitialPhi phi = initial_phi(network, shard, from, f);
        float* const x = row<FEATURE_PARTS>(t_out, to, P, f);
        add(x, t_s * phi.s);
        add_vector(x + P, P, along(sign * t_vs * phi.vs, pair.u) + along(sign * W_vs * phi.vs, t_u));
      };
      receive(pair.i, pair.j, 1.0f);
      receive(pair.j, pair.i, -1.0f);
    });
  });
}

static void initial_bars(const Network& network, const Shard& shard, const float* g, const float* b,
                         const float* pair_tangent, float* gradient, float* scratch) {
  const Filters<2> filters(network, shard, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  each_block(shard, [&](PairBlock block) {
    const float *const values = filters.values(block), *const tangents =
                                                           filters.tangents(block, pair_tangent);
    float *const bars = filters.bars(), *const gradients = filters.gradients();
    each_vector<2>(block, P, [&](int p, std::size_t k, std::size_t f) __attribute__((always_inline)) {
      const Pair& pair = shard.pairs[p];
      const float* const t_u = pair_tangent + 4 * p + 1;
      const V W_s = load(values + k), W_vs = load(values + k + P);
      const V t_s = load(tangents + k), t_vs = load(tangents + k + P);
      V g_s{}, g_vs{}, b_s{}, b_vs{};  // of the filters
      const auto reverse = [&](int to, int from, float sign) __attribute__((always_inline)) {
        const InitialPhi phi = initial_phi(network, shard, from, f);
        const float *const g_to = row<FEATURE_PARTS>(g, to, P, f), *const b_to =
                                                                       row<FEATURE_PARTS>(b, to, P, f);
        float* const of_species = gradient + static_cast<std::size_t>(shard.species[from]) * P + f;
        const V g_x = load(g_to), b_x = load(b_to);
        const Vector g_v = load_vector(g_to + P, P), b_v = load_vector(b_to + P, P);
        const V g_u = sign * dot(g_v, pair.u), b_u = sign * (dot(b_v, pair.u) + dot(g_v, t_u));
        g_s += phi.s * g_x;
        g_vs += phi.vs * g_u;
        b_s += phi.s * b_x;
        b_vs += phi.vs * b_u;
        add(of_species + network.initial.phi[0], W_s * b_x + t_s * g_x);
        add(of_species + network.initial.phi[1], W_vs * b_u + t_vs * g_u);
      };
      reverse(pair.i, pair.j, 1.0f);
      reverse(pair.j, pair.i, -1.0f);
      store(gradients + k, g_s), store(gradients + k + P, g_vs);
      store(bars + k, b_s), store(bars + k + P, b_vs);
    });
    filters.weigh(block, gradient);
  });
}

}  // namespace mlffd::training::MLFFD_ISA
