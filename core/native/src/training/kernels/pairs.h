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

// The filters of a block of pairs, [pair][part][P], in the workspace.
template <int PARTS>
class Filters {
 public:
  Filters(const Network& network, const std::size_t* blocks, float* scratch)
      : network_(network), blocks_(blocks), P_(static_cast<std::size_t>(network.width)), scratch_(scratch) {}

  // Memory for the k-th array of filters of a block.
  float* array(int k) const { return scratch_ + static_cast<std::size_t>(k) * PAIR_BLOCK * PARTS * P_; }

  // Φ · A of n pairs; `basis` are rows of Φ or of its derivative.
  void evaluate(int n, const float* basis, float* filters) const {
    const int n_rows = (n + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (int part = 0; part < PARTS; ++part)
      product<false>(n_rows, network_.n_basis, network_.width, basis, stride(),
                     network_.weights + blocks_[part], P_, filters + part * P_, PARTS * P_, Start::ZERO,
                     nullptr);
  }

  // gradient of A += Φᵀ · bars
  void weigh(int n, const float* basis, const float* bars, float* gradient) const {
    for (int part = 0; part < PARTS; ++part)
      product<true>(network_.n_rows_of_filter, n, network_.width, basis, stride(), bars + part * P_,
                    PARTS * P_, gradient + blocks_[part], P_, Start::RESULT, nullptr);
  }

  // dΦ/dt = dΦ/dr · dr of each pair, behind the arrays of filters
  const float* basis_tangents(int n, const float* slope, const float* pair_tangents) const {
    float* const tangents = array(4);
    for (int p = 0; p < n; ++p)
      for (std::size_t k = 0; k < stride(); ++k)
        tangents[p * stride() + k] = slope[p * stride() + k] * pair_tangents[4 * p];
    return tangents;
  }

  std::size_t width() const { return P_; }
  std::size_t stride() const { return static_cast<std::size_t>(network_.n_rows_of_filter); }  // of Φ

 private:
  const Network& network_;
  const std::size_t* const blocks_;
  const std::size_t P_;
  float* const scratch_;
};

// act(first pair, number of pairs) for each block of pairs
template <typename Act>
MLFFD_INLINE void blocks_of_pairs(const Shard& shard, Act act) {
  for (int first = 0; first < shard.n_pairs; first += PAIR_BLOCK)
    act(first, shard.n_pairs - first < PAIR_BLOCK ? shard.n_pairs - first : PAIR_BLOCK);
}

MLFFD_INLINE void add_pair_gradient(float* p, V r, Vector u) {
  V4* const gradient = reinterpret_cast<V4*>(p);
  *gradient += sums(r, u.x, u.y, u.z);
}

// The rows of a pair's atoms in node arrays.
struct Ends {
  Ends(const Pair& pair, std::size_t P)
      : i(static_cast<std::size_t>(pair.i) * P), j(static_cast<std::size_t>(pair.j) * P) {}
  const std::size_t i, j;  // of arrays of one part
};

static void message_forward(const Network& network, const Shard& shard, const MessageBlocks& w,
                            const float* sent, float* out, float* scratch) {
  const Filters<3> filters(network, w.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    float* const values = filters.array(0);
    filters.evaluate(n, shard.basis + first * filters.stride(), values);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      for (std::size_t f = 0; f < P; f += W) {
        const float* const w_p = values + p * 3 * P + f;
        const float *const m_i = sent + SENT_PARTS * row.i + f, *const m_j = sent + SENT_PARTS * row.j + f;
        float *const x_i = out + FEATURE_PARTS * row.i + f, *const x_j = out + FEATURE_PARTS * row.j + f;
        const V W_s = load(w_p), W_vs = load(w_p + P), W_vv = load(w_p + 2 * P);
        add(x_i, W_s * load(m_j));
        add_vector(x_i + P, P, W_vv * load_vector(m_j + 2 * P, P) + along(W_vs * load(m_j + P), pair.u));
        add(x_j, W_s * load(m_i));
        add_vector(x_j + P, P, W_vv * load_vector(m_i + 2 * P, P) - along(W_vs * load(m_i + P), pair.u));
      }
    }
  });
}

// g_sent += and the pairs' gradients += from the gradient g of the message's result
static void message_reverse(const Network& network, const Shard& shard, const MessageBlocks& w,
                            const float* sent, const float* g, float* g_sent, float* scratch) {
  const Filters<3> filters(network, w.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    float *const values = filters.array(0), *const slopes = filters.array(1);
    filters.evaluate(n, shard.basis + first * filters.stride(), values);
    filters.evaluate(n, shard.basis_slope + first * filters.stride(), slopes);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      V g_r{};
      Vector g_u{};
      for (std::size_t f = 0; f < P; f += W) {
        const float *const w_p = values + p * 3 * P + f, *const slope = slopes + p * 3 * P + f;
        const float *const m_i = sent + SENT_PARTS * row.i + f, *const m_j = sent + SENT_PARTS * row.j + f;
        const float *const g_i = g + FEATURE_PARTS * row.i + f, *const g_j = g + FEATURE_PARTS * row.j + f;
        float *const to_i = g_sent + SENT_PARTS * row.i + f, *const to_j = g_sent + SENT_PARTS * row.j + f;
        const V W_s = load(w_p), W_vs = load(w_p + P), W_vv = load(w_p + 2 * P);
        const V s_i = load(g_i), s_j = load(g_j), vs_i = load(m_i + P), vs_j = load(m_j + P);
        const Vector v_i = load_vector(g_i + P, P), v_j = load_vector(g_j + P, P);
        const V v_i_u = dot(v_i, pair.u), v_j_u = dot(v_j, pair.u);
        g_r += load(slope) * (load(m_j) * s_i + load(m_i) * s_j) +
               load(slope + P) * (vs_j * v_i_u - vs_i * v_j_u) +
               load(slope + 2 * P) *
                   (dot(load_vector(m_j + 2 * P, P), v_i) + dot(load_vector(m_i + 2 * P, P), v_j));
        g_u = g_u + W_vs * (vs_j * v_i - vs_i * v_j);
        add(to_j, W_s * s_i);
        add(to_j + P, W_vs * v_i_u);
        add_vector(to_j + 2 * P, P, W_vv * v_i);
        add(to_i, W_s * s_j);
        add(to_i + P, -W_vs * v_j_u);
        add_vector(to_i + 2 * P, P, W_vv * v_j);
      }
      add_pair_gradient(shard.pair_gradient + 4 * static_cast<std::size_t>(first + p), g_r, g_u);
    }
  });
}

static void message_tangents(const Network& network, const Shard& shard, const MessageBlocks& w,
                             const float* sent, const float* t_sent, const float* pair_tangent, float* t_out,
                             float* scratch) {
  const Filters<3> filters(network, w.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    const std::size_t start = first * filters.stride();
    const float* const t_pairs = pair_tangent + 4 * static_cast<std::size_t>(first);
    float *const values = filters.array(0), *const tangents = filters.array(1);
    filters.evaluate(n, shard.basis + start, values);
    filters.evaluate(n, filters.basis_tangents(n, shard.basis_slope + start, t_pairs), tangents);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      const float* const t_u = t_pairs + 4 * p + 1;
      for (std::size_t f = 0; f < P; f += W) {
        const float *const w_p = values + p * 3 * P + f, *const t_w = tangents + p * 3 * P + f;
        const V W_s = load(w_p), W_vs = load(w_p + P), W_vv = load(w_p + 2 * P);
        const V t_s = load(t_w), t_vs = load(t_w + P), t_vv = load(t_w + 2 * P);
        const auto receive = [&](std::size_t to, std::size_t from,
                                 float sign) __attribute__((always_inline)) {
          const float *const m = sent + SENT_PARTS * from + f, *const t_m = t_sent + SENT_PARTS * from + f;
          float* const x = t_out + FEATURE_PARTS * to + f;
          const V vs = sign * load(m + P), t_phi_vs = sign * load(t_m + P);
          add(x, t_s * load(m) + W_s * load(t_m));
          add_vector(x + P, P,
                     t_vv * load_vector(m + 2 * P, P) + W_vv * load_vector(t_m + 2 * P, P) +
                         along(t_vs * vs + W_vs * t_phi_vs, pair.u) + along(W_vs * vs, t_u));
        };
        receive(row.i, row.j, 1.0f);
        receive(row.j, row.i, -1.0f);
      }
    }
  });
}

// b_sent += and gradients of the filters +=, from the bars b of the message's result
static void message_bars(const Network& network, const Shard& shard, const MessageBlocks& w,
                         const float* sent, const float* t_sent, const float* g, const float* b,
                         const float* pair_tangent, float* b_sent, float* gradient, float* scratch) {
  const Filters<3> filters(network, w.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    const std::size_t start = first * filters.stride();
    const float* const t_pairs = pair_tangent + 4 * static_cast<std::size_t>(first);
    const float* const basis_tangents = filters.basis_tangents(n, shard.basis_slope + start, t_pairs);
    float *const values = filters.array(0), *const tangents = filters.array(1);
    float *const bars = filters.array(2), *const gradients = filters.array(3);
    filters.evaluate(n, shard.basis + start, values);
    filters.evaluate(n, basis_tangents, tangents);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      const float* const t_u = t_pairs + 4 * p + 1;
      for (std::size_t f = 0; f < P; f += W) {
        const std::size_t k = p * 3 * P + f;
        const V W_s = load(values + k), W_vs = load(values + k + P), W_vv = load(values + k + 2 * P);
        const V t_s = load(tangents + k), t_vs = load(tangents + k + P), t_vv = load(tangents + k + 2 * P);
        V g_s{}, g_vs{}, g_vv{}, b_s{}, b_vs{}, b_vv{};  // of the filters
        const auto reverse = [&](std::size_t to, std::size_t from,
                                 float sign) __attribute__((always_inline)) {
          const float *const m = sent + SENT_PARTS * from + f, *const t_m = t_sent + SENT_PARTS * from + f;
          const float *const g_to = g + FEATURE_PARTS * to + f, *const b_to = b + FEATURE_PARTS * to + f;
          float* const b_from = b_sent + SENT_PARTS * from + f;
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
        reverse(row.i, row.j, 1.0f);
        reverse(row.j, row.i, -1.0f);
        store(gradients + k, g_s), store(gradients + k + P, g_vs), store(gradients + k + 2 * P, g_vv);
        store(bars + k, b_s), store(bars + k + P, b_vs), store(bars + k + 2 * P, b_vv);
      }
    }
    filters.weigh(n, shard.basis + start, bars, gradient);
    filters.weigh(n, basis_tangents, gradients, gradient);
  });
}

// The first message, where φ depends on the species only and there are no vectors yet.

MLFFD_INLINE const float* species_row(const Network& network, const Shard& shard, std::size_t block,
                                      int atom) {
  return network.weights + block + static_cast<std::size_t>(shard.species[atom]) * network.width;
}

static void initial_forward(const Network& network, const Shard& shard, float* out, float* scratch) {
  const Filters<2> filters(network, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    float* const values = filters.array(0);
    filters.evaluate(n, shard.basis + first * filters.stride(), values);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      for (std::size_t f = 0; f < P; f += W) {
        const V W_s = load(values + p * 2 * P + f), W_vs = load(values + p * 2 * P + P + f);
        const auto receive = [&](std::size_t to, int from, float sign) __attribute__((always_inline)) {
          float* const x = out + FEATURE_PARTS * to + f;
          add(x, W_s * load(species_row(network, shard, network.initial.phi[0], from) + f));
          add_vector(x + P, P,
                     along(sign * W_vs * load(species_row(network, shard, network.initial.phi[1], from) + f),
                           pair.u));
        };
        receive(row.i, pair.j, 1.0f);
        receive(row.j, pair.i, -1.0f);
      }
    }
  });
}

static void initial_reverse(const Network& network, const Shard& shard, const float* g, float* scratch) {
  const Filters<2> filters(network, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    float *const values = filters.array(0), *const slopes = filters.array(1);
    filters.evaluate(n, shard.basis + first * filters.stride(), values);
    filters.evaluate(n, shard.basis_slope + first * filters.stride(), slopes);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      V g_r{};
      Vector g_u{};
      for (std::size_t f = 0; f < P; f += W) {
        const V W_vs = load(values + p * 2 * P + P + f);
        const V slope_s = load(slopes + p * 2 * P + f), slope_vs = load(slopes + p * 2 * P + P + f);
        const auto reverse = [&](std::size_t to, int from, float sign) __attribute__((always_inline)) {
          const float* const g_to = g + FEATURE_PARTS * to + f;
          const V phi_s = load(species_row(network, shard, network.initial.phi[0], from) + f);
          const V phi_vs = sign * load(species_row(network, shard, network.initial.phi[1], from) + f);
          const Vector g_v = load_vector(g_to + P, P);
          g_r += slope_s * phi_s * load(g_to) + slope_vs * phi_vs * dot(g_v, pair.u);
          g_u = g_u + W_vs * phi_vs * g_v;
        };
        reverse(row.i, pair.j, 1.0f);
        reverse(row.j, pair.i, -1.0f);
      }
      add_pair_gradient(shard.pair_gradient + 4 * static_cast<std::size_t>(first + p), g_r, g_u);
    }
  });
}

static void initial_tangents(const Network& network, const Shard& shard, const float* pair_tangent,
                             float* t_out, float* scratch) {
  const Filters<2> filters(network, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    const std::size_t start = first * filters.stride();
    const float* const t_pairs = pair_tangent + 4 * static_cast<std::size_t>(first);
    float *const values = filters.array(0), *const tangents = filters.array(1);
    filters.evaluate(n, shard.basis + start, values);
    filters.evaluate(n, filters.basis_tangents(n, shard.basis_slope + start, t_pairs), tangents);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      const float* const t_u = t_pairs + 4 * p + 1;
      for (std::size_t f = 0; f < P; f += W) {
        const std::size_t k = p * 2 * P + f;
        const V W_vs = load(values + k + P), t_s = load(tangents + k), t_vs = load(tangents + k + P);
        const auto receive = [&](std::size_t to, int from, float sign) __attribute__((always_inline)) {
          float* const x = t_out + FEATURE_PARTS * to + f;
          const V phi_vs = sign * load(species_row(network, shard, network.initial.phi[1], from) + f);
          add(x, t_s * load(species_row(network, shard, network.initial.phi[0], from) + f));
          add_vector(x + P, P, along(t_vs * phi_vs, pair.u) + along(W_vs * phi_vs, t_u));
        };
        receive(row.i, pair.j, 1.0f);
        receive(row.j, pair.i, -1.0f);
      }
    }
  });
}

static void initial_bars(const Network& network, const Shard& shard, const float* g, const float* b,
                         const float* pair_tangent, float* gradient, float* scratch) {
  const Filters<2> filters(network, network.initial.filter, scratch);
  const std::size_t P = filters.width();
  blocks_of_pairs(shard, [&](int first, int n) {
    const std::size_t start = first * filters.stride();
    const float* const t_pairs = pair_tangent + 4 * static_cast<std::size_t>(first);
    const float* const basis_tangents = filters.basis_tangents(n, shard.basis_slope + start, t_pairs);
    float *const values = filters.array(0), *const tangents = filters.array(1);
    float *const bars = filters.array(2), *const gradients = filters.array(3);
    filters.evaluate(n, shard.basis + start, values);
    filters.evaluate(n, basis_tangents, tangents);
    for (int p = 0; p < n; ++p) {
      const Pair& pair = shard.pairs[first + p];
      const Ends row(pair, P);
      const float* const t_u = t_pairs + 4 * p + 1;
      for (std::size_t f = 0; f < P; f += W) {
        const std::size_t k = p * 2 * P + f;
        const V W_s = load(values + k), W_vs = load(values + k + P);
        const V t_s = load(tangents + k), t_vs = load(tangents + k + P);
        V g_s{}, g_vs{}, b_s{}, b_vs{};  // of the filters
        const auto reverse = [&](std::size_t to, int from, float sign) __attribute__((always_inline)) {
          const std::size_t species = static_cast<std::size_t>(shard.species[from]) * P + f;
          const std::size_t s = network.initial.phi[0] + species, vs = network.initial.phi[1] + species;
          const float *const g_to = g + FEATURE_PARTS * to + f, *const b_to = b + FEATURE_PARTS * to + f;
          const V phi_s = load(network.weights + s), phi_vs = load(network.weights + vs);
          const V g_x = load(g_to), b_x = load(b_to);
          const Vector g_v = load_vector(g_to + P, P), b_v = load_vector(b_to + P, P);
          const V g_u = sign * dot(g_v, pair.u), b_u = sign * (dot(b_v, pair.u) + dot(g_v, t_u));
          g_s += phi_s * g_x;
          g_vs += phi_vs * g_u;
          b_s += phi_s * b_x;
          b_vs += phi_vs * b_u;
          add(gradient + s, W_s * b_x + t_s * g_x);
          add(gradient + vs, W_vs * b_u + t_vs * g_u);
        };
        reverse(row.i, pair.j, 1.0f);
        reverse(row.j, pair.i, -1.0f);
        store(gradients + k, g_s), store(gradients + k + P, g_vs);
        store(bars + k, b_s), store(bars + k + P, b_vs);
      }
    }
    filters.weigh(n, shard.basis + start, bars, gradient);
    filters.weigh(n, basis_tangents, gradients, gradient);
  });
}

}  // namespace mlffd::training::MLFFD_ISA
