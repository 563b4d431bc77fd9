// The edge loops: messages forward, and their gradients back. docs/native_engine_design.md derives the formulas.
//
// A pair i, j carries two messages through one filter W(r), since r_ij = r_ji and u_ji = -u_ij. Where both
// atoms are ours, both messages are computed in one visit. Where j is a ghost, only i receives, but the
// pair's gradient is complete. A centre's sums are added to memory at its end, since an atom may neighbour
// its own image.
#pragma once

#include "gemm.h"

namespace mlffd::MLFFD_ISA {

// The polynomials of a pair's interval.
template <int FILTERS>
MLFFD_INLINE const float* polynomials(const float* table, const Pair& pair) {
  return table + static_cast<std::size_t>(pair.interval) * (FILTERS * N_COEFFICIENTS * W);
}

// A filter by Horner's rule.
template <int FILTERS>
MLFFD_INLINE V value(const float* polynomials, int filter, float t) {
  const auto a = [&](int m) { return load(polynomials + (m * FILTERS + filter) * W); };
  V value = a(N_COEFFICIENTS - 1);
  for (int m = N_COEFFICIENTS - 2; m >= 0; --m) value = value * t + a(m);
  return value;
}

// A filter and its derivative with respect to t, which is Horner's rule differentiated.
struct ValueAndSlope {
  V value, slope;
};
template <int FILTERS>
MLFFD_INLINE ValueAndSlope value_and_slope(const float* polynomials, int filter, float t) {
  const auto a = [&](int m) { return load(polynomials + (m * FILTERS + filter) * W); };
  V slope = a(N_COEFFICIENTS - 1), value = slope * t + a(N_COEFFICIENTS - 2);
  for (int m = N_COEFFICIENTS - 3; m >= 0; --m) {
    slope = slope * t + value;
    value = value * t + a(m);
  }
  return {value, slope};
}

MLFFD_INLINE const float* row(const float* array, int atom, int parts) {
  return array + static_cast<std::size_t>(atom) * (parts * W);
}
MLFFD_INLINE float* row(float* array, int atom, int parts) {
  return array + static_cast<std::size_t>(atom) * (parts * W);
}

MLFFD_INLINE void add(float* p, V x) { store(p, load(p) + x); }

MLFFD_INLINE void add_gradient(float* p, bool accumulate, V t, V u0, V u1, V u2) {
  V4* const gradient = reinterpret_cast<V4*>(p);
  const V4 sum = sums(t, u0, u1, u2);
  *gradient = accumulate ? *gradient + sum : sum;
}

// Calls act(pair index, bool both ways) for the pairs of a centre; the second argument is known at compile
// time.
struct Yes {
  static constexpr bool value = true;
};
struct No {
  static constexpr bool value = false;
};
template <typename Act>
MLFFD_INLINE void visit(const Center& center, Act act) {
  for (int p = center.begin; p < center.ghosts; ++p) act(p, Yes{});
  for (int p = center.ghosts; p < center.end; ++p) act(p, No{});
}

static void initial_forward(const PairRange& range, const float* table, const float* phi,
                            const std::int32_t* species, float* S) {
  for (int i = range.first; i < range.last; ++i) {
    const V phi_s = load(row(phi, species[i], 2)), phi_vs = load(row(phi, species[i], 2) + W);
    float* const own = row(S, i, S_PARTS);
    V s{}, v0{}, v1{}, v2{};
    visit(range.centers[i], [&](int p, auto both) __attribute__((always_inline)) {
      const Pair& pair = range.pairs[p];
      const float* const filters = polynomials<INITIAL_FILTERS>(table, pair);
      const float* const sent = row(phi, species[pair.atom], 2);
      const V W_s = value<INITIAL_FILTERS>(filters, 0, pair.t), W_vs = value<INITIAL_FILTERS>(filters, 1, pair.t);
      const V m = W_vs * load(sent + W);
      s += W_s * load(sent);
      v0 += m * pair.u[0];
      v1 += m * pair.u[1];
      v2 += m * pair.u[2];
      if constexpr (both.value) {
        float* const other = row(S, pair.atom, S_PARTS);
        const V n = W_vs * phi_vs;
        add(other, W_s * phi_s);
        add(other + W, -n * pair.u[0]);
        add(other + 2 * W, -n * pair.u[1]);
        add(other + 3 * W, -n * pair.u[2]);
      }
    });
    add(own, s);
    add(own + W, v0);
    add(own + 2 * W, v1);
    add(own + 3 * W, v2);
  }
}

static void initial_reverse(const PairRange& range, const float* table, const float* phi,
                            const std::int32_t* species, const float* G, float* pair_gradient,
                            bool accumulate) {
  for (int i = range.first; i < range.last; ++i) {
    const V phi_s = load(row(phi, species[i], 2)), phi_vs = load(row(phi, species[i], 2) + W);
    const float* const g = row(G, i, S_PARTS);
    const V g_s = load(g), g0 = load(g + W), g1 = load(g + 2 * W), g2 = load(g + 3 * W);
    for (int p = range.centers[i].begin; p < range.centers[i].end; ++p) {
      const Pair& pair = range.pairs[p];
      const float* const filters = polynomials<INITIAL_FILTERS>(table, pair);
      const float* const sent = row(phi, species[pair.atom], 2);
      const float* const h = row(G, pair.atom, S_PARTS);
      const V dW_s = value_and_slope<INITIAL_FILTERS>(filters, 0, pair.t).slope;
      const auto [W_vs, dW_vs] = value_and_slope<INITIAL_FILTERS>(filters, 1, pair.t);
      const V sent_vs = load(sent + W);
      const V k0 = sent_vs * g0 - phi_vs * load(h + W);
      const V k1 = sent_vs * g1 - phi_vs * load(h + 2 * W);
      const V k2 = sent_vs * g2 - phi_vs * load(h + 3 * W);
      const V dt = (load(sent) * g_s + phi_s * load(h)) * dW_s +
                   (k0 * pair.u[0] + k1 * pair.u[1] + k2 * pair.u[2]) * dW_vs;
      add_gradient(pair_gradient + 4 * static_cast<std::size_t>(p), accumulate, dt, W_vs * k0, W_vs * k1,
                   W_vs * k2);
    }
  }
}

static void message_forward(const PairRange& range, const float* table, const float* M, float* S) {
  for (int i = range.first; i < range.last; ++i) {
    const float* const m = row(M, i, M_PARTS);
    const V m_s = load(m), m_vs = load(m + W), m0 = load(m + 2 * W), m1 = load(m + 3 * W),
            m2 = load(m + 4 * W);
    float* const own = row(S, i, S_PARTS);
    V s{}, v0{}, v1{}, v2{};
    visit(range.centers[i], [&](int p, auto both) __attribute__((always_inline)) {
      const Pair& pair = range.pairs[p];
      const float* const filters = polynomials<MESSAGE_FILTERS>(table, pair);
      const float* const n = row(M, pair.atom, M_PARTS);
      const V W_s = value<MESSAGE_FILTERS>(filters, 0, pair.t);
      const V W_vs = value<MESSAGE_FILTERS>(filters, 1, pair.t);
      const V W_vv = value<MESSAGE_FILTERS>(filters, 2, pair.t);
      const V x = W_vs * load(n + W);
      s += W_s * load(n);
      v0 += x * pair.u[0] + W_vv * load(n + 2 * W);
      v1 += x * pair.u[1] + W_vv * load(n + 3 * W);
      v2 += x * pair.u[2] + W_vv * load(n + 4 * W);
      if constexpr (both.value) {
        float* const other = row(S, pair.atom, S_PARTS);
        const V y = W_vs * m_vs;
        add(other, W_s * m_s);
        add(other + W, W_vv * m0 - y * pair.u[0]);
        add(other + 2 * W, W_vv * m1 - y * pair.u[1]);
        add(other + 3 * W, W_vv * m2 - y * pair.u[2]);
      }
    });
    add(own, s);
    add(own + W, v0);
    add(own + 2 * W, v1);
    add(own + 3 * W, v2);
  }
}

static void message_reverse(const PairRange& range, const float* table, const float* M, const float* G,
                            float* gM, float* pair_gradient, bool accumulate) {
  for (int i = range.first; i < range.last; ++i) {
    const float* const m = row(M, i, M_PARTS);
    const V m_s = load(m), m_vs = load(m + W), m0 = load(m + 2 * W), m1 = load(m + 3 * W),
            m2 = load(m + 4 * W);
    const float* const g = row(G, i, S_PARTS);
    const V g_s = load(g), g0 = load(g + W), g1 = load(g + 2 * W), g2 = load(g + 3 * W);
    float* const own = row(gM, i, M_PARTS);
    V gm_s{}, gm_vs{}, gm0{}, gm1{}, gm2{};
    visit(range.centers[i], [&](int p, auto both) __attribute__((always_inline)) {
      const Pair& pair = range.pairs[p];
      const float* const filters = polynomials<MESSAGE_FILTERS>(table, pair);
      const float* const n = row(M, pair.atom, M_PARTS);
      const float* const h = row(G, pair.atom, S_PARTS);
      const V h_s = load(h), h0 = load(h + W), h1 = load(h + 2 * W), h2 = load(h + 3 * W);
      const V gu = g0 * pair.u[0] + g1 * pair.u[1] + g2 * pair.u[2];
      const V hu = h0 * pair.u[0] + h1 * pair.u[1] + h2 * pair.u[2];
      const auto [W_s, dW_s] = value_and_slope<MESSAGE_FILTERS>(filters, 0, pair.t);
      const auto [W_vs, dW_vs] = value_and_slope<MESSAGE_FILTERS>(filters, 1, pair.t);
      const auto [W_vv, dW_vv] = value_and_slope<MESSAGE_FILTERS>(filters, 2, pair.t);
      gm_s += W_s * h_s;
      gm_vs -= W_vs * hu;
      gm0 += W_vv * h0;
      gm1 += W_vv * h1;
      gm2 += W_vv * h2;
      if constexpr (both.value) {
        float* const other = row(gM, pair.atom, M_PARTS);
        add(other, W_s * g_s);
        add(other + W, W_vs * gu);
        add(other + 2 * W, W_vv * g0);
        add(other + 3 * W, W_vv * g1);
        add(other + 4 * W, W_vv * g2);
      }
      const V n_vs = load(n + W);
      const V d_vv =
          load(n + 2 * W) * g0 + load(n + 3 * W) * g1 + load(n + 4 * W) * g2 + m0 * h0 + m1 * h1 + m2 * h2;
      const V dt =
          (load(n) * g_s + m_s * h_s) * dW_s + (n_vs * gu - m_vs * hu) * dW_vs + d_vv * dW_vv;
      const V x = W_vs * n_vs, y = W_vs * m_vs;
      add_gradient(pair_gradient + 4 * static_cast<std::size_t>(p), accumulate, dt, x * g0 - y * h0,
                   x * g1 - y * h1, x * g2 - y * h2);
    });
    add(own, gm_s);
    add(own + W, gm_vs);
    add(own + 2 * W, gm0);
    add(own + 3 * W, gm1);
    add(own + 4 * W, gm2);
  }
}

}  // namespace mlffd::MLFFD_ISA
