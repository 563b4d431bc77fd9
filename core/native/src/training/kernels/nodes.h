// What happens at the atoms, in the four passes: forward, reverse, tangents, and the reverse of these ("bars").
// docs/native_training.md derives the formulas. g_x is the energy's gradient with respect to x, t_x the tangent of x, b_x the
// gradient of S with respect to x.
#pragma once

#include "products.h"

namespace mlffd::training::MLFFD_ISA {

// σ(x) = x / (1 + e^-x) with its derivatives.
struct Activation {
  V value, slope, curvature;
};
MLFFD_INLINE Activation silu_with_curvature(V x) {
  const V p = 1.0f / (1.0f + exp(-x)), q = p * (1.0f - p);
  return {x * p, p + x * q, q * (2.0f + x * (1.0f - 2.0f * p))};
}

// The rows of a shard, with the products that nodes need.
class Nodes {
 public:
  Nodes(const Network& network, const Shard& shard)
      : network(network), n_rows(shard.n_rows), P(static_cast<std::size_t>(network.width)),
        plane(n_rows * P) {}

  In part(const float* p, int parts, int part) const { return {p + part * P, parts * P}; }
  Out part(float* p, int parts, int part) const { return {p + part * P, parts * P}; }
  In plain(const float* p) const { return {p, P}; }
  Out plain(float* p) const { return {p, P}; }

  const float* weight(std::size_t block) const { return network.weights + block; }

  void forward(std::size_t block, In x, Out y) const { run(weight(block), x, y, Start::ZERO, nullptr); }
  void forward(std::size_t block, In x, Out y, std::size_t bias) const {
    run(weight(block), x, y, Start::BIAS, weight(bias));
  }
  void add_forward(std::size_t block, In x, Out y) const { run(weight(block), x, y, Start::RESULT, nullptr); }
  void reverse(std::size_t block, In x, Out y) const {
    run(network.transposed + block, x, y, Start::ZERO, nullptr);
  }
  void add_reverse(std::size_t block, In x, Out y) const {
    run(network.transposed + block, x, y, Start::RESULT, nullptr);
  }

  // gradient of a block += xᵀ · b + t_xᵀ · g
  void weigh(float* gradient, std::size_t block, In x, In b, In t_x, In g) const {
    outer(x, b, gradient + block);
    outer(t_x, g, gradient + block);
  }
  void weigh_bias(float* gradient, std::size_t block, In b) const {
    for (std::size_t f = 0; f < P; f += W) {
      V sum = load(gradient + block + f);
      for (std::size_t r = 0; r < n_rows; ++r) sum += load(b.data + r * b.stride + f);
      store(gradient + block + f, sum);
    }
  }

  // act(row, feature): one vector of each row
  template <typename Act>
  void each(Act act) const {
    for (std::size_t r = 0; r < n_rows; ++r)
      for (std::size_t f = 0; f < P; f += W) act(r, f);
  }

  const Network& network;
  const std::size_t n_rows, P, plane;

 private:
  void run(const float* block, In x, Out y, Start start, const float* bias) const {
    const int width = network.width;
    product<false>(static_cast<int>(n_rows), width, width, x.data, x.stride, block, P, y.data, y.stride,
                   start, bias);
  }
  void outer(In x, In y, float* block) const {
    const int width = network.width;
    product<true>(width, static_cast<int>(n_rows), width, x.data, x.stride, y.data, y.stride, block, P,
                  Start::RESULT, nullptr);
  }
};

// The activation of a perceptron in the four passes; `hidden` is what goes into it. All arrays are planes.

static void activate(const Nodes& nodes, const float* hidden, float* activated) {
  for (std::size_t k = 0; k < nodes.plane; k += W) store(activated + k, silu(load(hidden + k)).value);
}

static void activation_reverse(const Nodes& nodes, const float* hidden, const float* g_activated,
                               float* g_hidden) {
  for (std::size_t k = 0; k < nodes.plane; k += W)
    store(g_hidden + k, load(g_activated + k) * silu(load(hidden + k)).slope);
}

static void activation_tangents(const Nodes& nodes, const float* hidden, const float* t_hidden,
                                float* t_activated) {
  for (std::size_t k = 0; k < nodes.plane; k += W)
    store(t_activated + k, silu(load(hidden + k)).slope * load(t_hidden + k));
}

// bars: those of the activated, and then those of the hidden layer
static void activation_bars(const Nodes& nodes, const float* hidden, const float* t_hidden,
                            const float* g_activated, float* bars, float* g_hidden) {
  for (std::size_t k = 0; k < nodes.plane; k += W) {
    const Activation a = silu_with_curvature(load(hidden + k));
    const V g = load(g_activated + k);
    store(bars + k, load(bars + k) * a.slope + g * a.curvature * load(t_hidden + k));
    store(g_hidden + k, g * a.slope);
  }
}

// FINAL: the last update forms no new vectors, and what leaves it are scalars alone.
template <bool FINAL>
constexpr int OUT_PARTS = FINAL ? 1 : FEATURE_PARTS;

template <bool FINAL>
static void update_forward(const Nodes& nodes, const UpdateBlocks& w, const float* in, const UpdateKept& kept,
                           float* out, float* scratch) {
  const std::size_t P = nodes.P;
  float* const activated = scratch;
  float* const ss = activated + nodes.plane;
  for (int d = 0; d < 3; ++d) {
    nodes.forward(w.U, nodes.part(in, FEATURE_PARTS, 1 + d), nodes.part(kept.mixed, MIXED_PARTS, 2 * d));
    nodes.forward(w.V, nodes.part(in, FEATURE_PARTS, 1 + d), nodes.part(kept.mixed, MIXED_PARTS, 2 * d + 1));
  }
  nodes.each([&](std::size_t r, std::size_t f) {
    const float* const Vv = kept.mixed + r * MIXED_PARTS * P + P + f;
    V sum = broadcast(NORM_EPSILON);
    for (int d = 0; d < 3; ++d) sum += load(Vv + 2 * d * P) * load(Vv + 2 * d * P);
    store(kept.norm + r * P + f, sqrt(sum));
  });
  nodes.forward(w.hidden_s, nodes.part(in, FEATURE_PARTS, 0), nodes.plain(kept.hidden), w.hidden_bias);
  nodes.add_forward(w.hidden_n, nodes.plain(kept.norm), nodes.plain(kept.hidden));
  activate(nodes, kept.hidden, activated);
  nodes.forward(w.ss, nodes.plain(activated), nodes.plain(ss), w.ss_bias);
  nodes.forward(w.sv, nodes.plain(activated), nodes.plain(kept.sv), w.sv_bias);
  if constexpr (!FINAL) nodes.forward(w.vv, nodes.plain(activated), nodes.plain(kept.vv), w.vv_bias);
  nodes.each([&](std::size_t r, std::size_t f) {
    const float* const x = in + r * FEATURE_PARTS * P + f;
    const float* const mixed = kept.mixed + r * MIXED_PARTS * P + f;
    float* const y = out + r * OUT_PARTS<FINAL> * P + f;
    V dot{};
    for (int d = 0; d < 3; ++d) dot += load(mixed + 2 * d * P) * load(mixed + (2 * d + 1) * P);
    store(y, load(x) + load(ss + r * P + f) + load(kept.sv + r * P + f) * dot);
    if constexpr (!FINAL) {
      const V vv = load(kept.vv + r * P + f);
      for (int d = 0; d < 3; ++d)
        store(y + (1 + d) * P, load(x + (1 + d) * P) + vv * load(mixed + 2 * d * P));
    }
  });
}

template <bool FINAL>
static void update_reverse(const Nodes& nodes, const UpdateBlocks& w, const UpdateKept& kept,
                           const float* g_out, float* g_in, float* scratch) {
  const std::size_t P = nodes.P;
  float* const g_sv = scratch;
  float* const g_vv = g_sv + nodes.plane;
  float* const g_hidden = g_vv + nodes.plane;
  float* const g_mixed = g_hidden + nodes.plane;
  nodes.each([&](std::size_t r, std::size_t f) {
    const float* const mixed = kept.mixed + r * MIXED_PARTS * P + f;
    const float* const g = g_out + r * OUT_PARTS<FINAL> * P + f;
    V dot{}, vv{};
    for (int d = 0; d < 3; ++d) {
      const V Uv = load(mixed + 2 * d * P);
      dot += Uv * load(mixed + (2 * d + 1) * P);
      if constexpr (!FINAL) vv += Uv * load(g + (1 + d) * P);
    }
    store(g_sv + r * P + f, load(g) * dot);
    if constexpr (!FINAL) store(g_vv + r * P + f, vv);
  });
  nodes.reverse(w.ss, nodes.part(g_out, OUT_PARTS<FINAL>, 0), nodes.plain(kept.g_activated));
  nodes.add_reverse(w.sv, nodes.plain(g_sv), nodes.plain(kept.g_activated));
  if constexpr (!FINAL) nodes.add_reverse(w.vv, nodes.plain(g_vv), nodes.plain(kept.g_activated));
  activation_reverse(nodes, kept.hidden, kept.g_activated, g_hidden);
  nodes.reverse(w.hidden_n, nodes.plain(g_hidden), nodes.plain(kept.g_norm));
  nodes.each([&](std::size_t r, std::size_t f) {
    const float* const mixed = kept.mixed + r * MIXED_PARTS * P + f;
    const float* const g = g_out + r * OUT_PARTS<FINAL> * P + f;
    float* const x = g_in + r * FEATURE_PARTS * P + f;
    float* const m = g_mixed + r * MIXED_PARTS * P + f;
    const std::size_t k = r * P + f;
    const V g_dot = load(g) * load(kept.sv + k), g_square = load(kept.g_norm + k) / load(kept.norm + k);
    store(x, load(g));
    for (int d = 0; d < 3; ++d) {
      const V Uv = load(mixed + 2 * d * P), Vv = load(mixed + (2 * d + 1) * P);
      V g_Uv = g_dot * Vv, g_v{};
      if constexpr (!FINAL) {
        g_v = load(g + (1 + d) * P);
        g_Uv += load(kept.vv + k) * g_v;
      }
      store(m + 2 * d * P, g_Uv);
      store(m + (2 * d + 1) * P, g_dot * Uv + g_square * Vv);
      store(x + (1 + d) * P, g_v);
    }
  });
  nodes.add_reverse(w.hidden_s, nodes.plain(g_hidden), nodes.part(g_in, FEATURE_PARTS, 0));
  for (int d = 0; d < 3; ++d) {
    nodes.add_reverse(w.U, nodes.part(g_mixed, MIXED_PARTS, 2 * d), nodes.part(g_in, FEATURE_PARTS, 1 + d));
    nodes.add_reverse(w.V, nodes.part(g_mixed, MIXED_PARTS, 2 * d + 1),
                      nodes.part(g_in, FEATURE_PARTS, 1 + d));
  }
}

template <bool FINAL>
static void update_tangents(const Nodes& nodes, const UpdateBlocks& w, const UpdateKept& kept,
                            const float* t_in, const UpdateTangents& t, float* t_out, float* scratch) {
  const std::size_t P = nodes.P;
  float* const t_activated = scratch;
  float* const t_ss = t_activated + nodes.plane;
  for (int d = 0; d < 3; ++d) {
    nodes.forward(w.U, nodes.part(t_in, FEATURE_PARTS, 1 + d), nodes.part(t.mixed, MIXED_PARTS, 2 * d));
    nodes.forward(w.V, nodes.part(t_in, FEATURE_PARTS, 1 + d), nodes.part(t.mixed, MIXED_PARTS, 2 * d + 1));
  }
  nodes.each([&](std::size_t r, std::size_t f) {
    const std::size_t m = r * MIXED_PARTS * P + P + f, k = r * P + f;
    V sum{};
    for (int d = 0; d < 3; ++d) sum += load(kept.mixed + m + 2 * d * P) * load(t.mixed + m + 2 * d * P);
    store(t.norm + k, sum / load(kept.norm + k));
  });
  nodes.forward(w.hidden_s, nodes.part(t_in, FEATURE_PARTS, 0), nodes.plain(t.hidden));
  nodes.add_forward(w.hidden_n, nodes.plain(t.norm), nodes.plain(t.hidden));
  activation_tangents(nodes, kept.hidden, t.hidden, t_activated);
  nodes.forward(w.ss, nodes.plain(t_activated), nodes.plain(t_ss));
  nodes.forward(w.sv, nodes.plain(t_activated), nodes.plain(t.sv));
  if constexpr (!FINAL) nodes.forward(w.vv, nodes.plain(t_activated), nodes.plain(t.vv));
  nodes.each([&](std::size_t r, std::size_t f) {
    const std::size_t m = r * MIXED_PARTS * P + f, k = r * P + f;
    const float *const mixed = kept.mixed + m, *const t_mixed = t.mixed + m;
    const float* const x = t_in + r * FEATURE_PARTS * P + f;
    float* const y = t_out + r * OUT_PARTS<FINAL> * P + f;
    V dot{}, t_dot{};
    for (int d = 0; d < 3; ++d) {
      const V Uv = load(mixed + 2 * d * P), Vv = load(mixed + (2 * d + 1) * P);
      dot += Uv * Vv;
      t_dot += load(t_mixed + 2 * d * P) * Vv + Uv * load(t_mixed + (2 * d + 1) * P);
    }
    store(y, load(x) + load(t_ss + k) + load(t.sv + k) * dot + load(kept.sv + k) * t_dot);
    if constexpr (!FINAL)
      for (int d = 0; d < 3; ++d)
        store(y + (1 + d) * P, load(x + (1 + d) * P) + load(t.vv + k) * load(mixed + 2 * d * P) +
                                   load(kept.vv + k) * load(t_mixed + 2 * d * P));
  });
}

// b_out → b_in, which may be the same array where both have the same parts.
template <bool FINAL>
static void update_bars(const Nodes& nodes, const UpdateBlocks& w, const float* in, const UpdateKept& kept,
                        const float* g_out, const float* t_in, const UpdateTangents& t, const float* b_out,
                        float* b_in, float* gradient, float* scratch) {
  const std::size_t P = nodes.P, plane = nodes.plane;
  float* const activated = scratch;
  float* const t_activated = activated + plane;
  float* const g_sv = t_activated + plane;
  float* const g_vv = g_sv + plane;
  float* const b_sv = g_vv + plane;
  float* const b_vv = b_sv + plane;
  float* const g_hidden = b_vv + plane;
  float* const b_hidden = g_hidden + plane;
  nodes.each([&](std::size_t r, std::size_t f) {
    const std::size_t m = r * MIXED_PARTS * P + f, k = r * P + f;
    const float *const mixed = kept.mixed + m, *const t_mixed = t.mixed + m;
    const float* const g = g_out + r * OUT_PARTS<FINAL> * P + f;
    const float* const b = b_out + r * OUT_PARTS<FINAL> * P + f;
    V dot{}, t_dot{}, g_sum{}, b_sum{};
    for (int d = 0; d < 3; ++d) {
      const V Uv = load(mixed + 2 * d * P), Vv = load(mixed + (2 * d + 1) * P),
              t_Uv = load(t_mixed + 2 * d * P);
      dot += Uv * Vv;
      t_dot += t_Uv * Vv + Uv * load(t_mixed + (2 * d + 1) * P);
      if constexpr (!FINAL) {
        const V g_v = load(g + (1 + d) * P);
        g_sum += g_v * Uv;
        b_sum += load(b + (1 + d) * P) * Uv + g_v * t_Uv;
      }
    }
    store(g_sv + k, load(g) * dot);
    store(b_sv + k, load(b) * dot + load(g) * t_dot);
    if constexpr (!FINAL) {
      store(g_vv + k, g_sum);
      store(b_vv + k, b_sum);
    }
  });
  activate(nodes, kept.hidden, activated);
  activation_tangents(nodes, kept.hidden, t.hidden, t_activated);
  const In x = nodes.plain(activated), t_x = nodes.plain(t_activated);
  const In b_s = nodes.part(b_out, OUT_PARTS<FINAL>, 0), g_s = nodes.part(g_out, OUT_PARTS<FINAL>, 0);
  nodes.weigh(gradient, w.ss, x, b_s, t_x, g_s);
  nodes.weigh(gradient, w.sv, x, nodes.plain(b_sv), t_x, nodes.plain(g_sv));
  nodes.weigh_bias(gradient, w.ss_bias, b_s);
  nodes.weigh_bias(gradient, w.sv_bias, nodes.plain(b_sv));
  nodes.reverse(w.ss, b_s, nodes.plain(b_hidden));
  nodes.add_reverse(w.sv, nodes.plain(b_sv), nodes.plain(b_hidden));
  if constexpr (!FINAL) {
    nodes.weigh(gradient, w.vv, x, nodes.plain(b_vv), t_x, nodes.plain(g_vv));
    nodes.weigh_bias(gradient, w.vv_bias, nodes.plain(b_vv));
    nodes.add_reverse(w.vv, nodes.plain(b_vv), nodes.plain(b_hidden));
  }
  activation_bars(nodes, kept.hidden, t.hidden, kept.g_activated, b_hidden, g_hidden);
  const In b_h = nodes.plain(b_hidden), g_h = nodes.plain(g_hidden);
  nodes.weigh(gradient, w.hidden_s, nodes.part(in, FEATURE_PARTS, 0), b_h, nodes.part(t_in, FEATURE_PARTS, 0),
              g_h);
  nodes.weigh(gradient, w.hidden_n, nodes.plain(kept.norm), b_h, nodes.plain(t.norm), g_h);
  nodes.weigh_bias(gradient, w.hidden_bias, b_h);

  float* const b_norm = scratch;  // what the products above needed is no longer wanted
  float* const g_mixed = b_hidden + plane;
  float* const b_mixed = g_mixed + MIXED_PARTS * plane;
  nodes.reverse(w.hidden_n, b_h, nodes.plain(b_norm));
  nodes.each([&](std::size_t r, std::size_t f) {
    const std::size_t m = r * MIXED_PARTS * P + f, k = r * P + f;
    const float* const g = g_out + r * OUT_PARTS<FINAL> * P + f;
    const float* const b = b_out + r * OUT_PARTS<FINAL> * P + f;
    float* const y = b_in + r * FEATURE_PARTS * P + f;
    const V norm = load(kept.norm + k), sv = load(kept.sv + k), g_s = load(g), b_s = load(b);
    const V g_dot = g_s * sv, b_dot = b_s * sv + g_s * load(t.sv + k);
    const V g_square = load(kept.g_norm + k) / norm;
    const V b_square = (load(b_norm + k) - g_square * load(t.norm + k)) / norm;
    store(y, b_s);
    for (int d = 0; d < 3; ++d) {
      const V Uv = load(kept.mixed + m + 2 * d * P), Vv = load(kept.mixed + m + (2 * d + 1) * P);
      const V t_Uv = load(t.mixed + m + 2 * d * P), t_Vv = load(t.mixed + m + (2 * d + 1) * P);
      V g_Uv = g_dot * Vv, b_Uv = b_dot * Vv + g_dot * t_Vv, b_v{};
      if constexpr (!FINAL) {
        const V vv = load(kept.vv + k), g_v = load(g + (1 + d) * P);
        b_v = load(b + (1 + d) * P);
        g_Uv += vv * g_v;
        b_Uv += vv * b_v + load(t.vv + k) * g_v;
      }
      store(g_mixed + m + 2 * d * P, g_Uv);
      store(g_mixed + m + (2 * d + 1) * P, g_dot * Uv + g_square * Vv);
      store(b_mixed + m + 2 * d * P, b_Uv);
      store(b_mixed + m + (2 * d + 1) * P, b_dot * Uv + g_dot * t_Uv + b_square * Vv + g_square * t_Vv);
      store(y + (1 + d) * P, b_v);
    }
  });
  nodes.add_reverse(w.hidden_s, b_h, nodes.part(b_in, FEATURE_PARTS, 0));
  const auto mixed_part = [&](const float* p, int part) { return nodes.part(p, MIXED_PARTS, part); };
  for (int d = 0; d < 3; ++d) {
    const In v = nodes.part(in, FEATURE_PARTS, 1 + d), t_v = nodes.part(t_in, FEATURE_PARTS, 1 + d);
    const Out b_v = nodes.part(b_in, FEATURE_PARTS, 1 + d);
    nodes.weigh(gradient, w.U, v, mixed_part(b_mixed, 2 * d), t_v, mixed_part(g_mixed, 2 * d));
    nodes.weigh(gradient, w.V, v, mixed_part(b_mixed, 2 * d + 1), t_v, mixed_part(g_mixed, 2 * d + 1));
    nodes.add_reverse(w.U, mixed_part(b_mixed, 2 * d), b_v);
    nodes.add_reverse(w.V, mixed_part(b_mixed, 2 * d + 1), b_v);
  }
}

static void phi_forward(const Nodes& nodes, const PhiBlocks& w, const LayerKept& kept, float* scratch) {
  const std::size_t P = nodes.P;
  float* const activated = scratch;
  nodes.forward(w.hidden, nodes.part(kept.middle, FEATURE_PARTS, 0), nodes.plain(kept.phi_hidden),
                w.hidden_bias);
  activate(nodes, kept.phi_hidden, activated);
  const In x = nodes.plain(activated);
  nodes.forward(w.out[0], x, nodes.part(kept.sent, SENT_PARTS, 0), w.out_bias[0]);
  nodes.forward(w.out[1], x, nodes.part(kept.sent, SENT_PARTS, 1), w.out_bias[1]);
  nodes.forward(w.out[2], x, nodes.plain(kept.phi_vv), w.out_bias[2]);
  nodes.each([&](std::size_t r, std::size_t f) {
    const V vv = load(kept.phi_vv + r * P + f);
    for (int d = 0; d < 3; ++d)
      store(kept.sent + (r * SENT_PARTS + 2 + d) * P + f,
            vv * load(kept.middle + (r * FEATURE_PARTS + 1 + d) * P + f));
  });
}

// g_middle += what comes from g_sent
static void phi_reverse(const Nodes& nodes, const PhiBlocks& w, const LayerKept& kept, float* scratch) {
  const std::size_t P = nodes.P;
  float* const g_vv = scratch;
  float* const g_hidden = g_vv + nodes.plane;
  nodes.each([&](std::size_t r, std::size_t f) {
    const V vv = load(kept.phi_vv + r * P + f);
    V sum{};
    for (int d = 0; d < 3; ++d) {
      const V g_p = load(kept.g_sent + (r * SENT_PARTS + 2 + d) * P + f);
      float* const g_v = kept.g_middle + (r * FEATURE_PARTS + 1 + d) * P + f;
      sum += g_p * load(kept.middle + (r * FEATURE_PARTS + 1 + d) * P + f);
      store(g_v, load(g_v) + vv * g_p);
    }
    store(g_vv + r * P + f, sum);
  });
  const Out g_activated = nodes.plain(kept.g_phi_activated);
  const float* const g_sent = kept.g_sent;
  nodes.reverse(w.out[0], nodes.part(g_sent, SENT_PARTS, 0), g_activated);
  nodes.add_reverse(w.out[1], nodes.part(g_sent, SENT_PARTS, 1), g_activated);
  nodes.add_reverse(w.out[2], nodes.plain(g_vv), g_activated);
  activation_reverse(nodes, kept.phi_hidden, kept.g_phi_activated, g_hidden);
  nodes.add_reverse(w.hidden, nodes.plain(g_hidden), nodes.part(kept.g_middle, FEATURE_PARTS, 0));
}

static void phi_tangents(const Nodes& nodes, const PhiBlocks& w, const LayerKept& kept,
                         const LayerTangents& t, float* scratch) {
  const std::size_t P = nodes.P;
  float* const t_activated = scratch;
  nodes.forward(w.hidden, nodes.part(t.middle, FEATURE_PARTS, 0), nodes.plain(t.phi_hidden));
  activation_tangents(nodes, kept.phi_hidden, t.phi_hidden, t_activated);
  const In x = nodes.plain(t_activated);
  nodes.forward(w.out[0], x, nodes.part(t.sent, SENT_PARTS, 0));
  nodes.forward(w.out[1], x, nodes.part(t.sent, SENT_PARTS, 1));
  nodes.forward(w.out[2], x, nodes.plain(t.phi_vv));
  nodes.each([&](std::size_t r, std::size_t f) {
    const V vv = load(kept.phi_vv + r * P + f), t_vv = load(t.phi_vv + r * P + f);
    for (int d = 0; d < 3; ++d) {
      const std::size_t v = (r * FEATURE_PARTS + 1 + d) * P + f;
      store(t.sent + (r * SENT_PARTS + 2 + d) * P + f,
            t_vv * load(kept.middle + v) + vv * load(t.middle + v));
    }
  });
}

// bars of the features += what comes from those of `sent`
static void phi_bars(const Nodes& nodes, const PhiBlocks& w, const LayerKept& kept, const LayerTangents& t,
                     const float* b_sent, float* bars, float* gradient, float* scratch) {
  const std::size_t P = nodes.P, plane = nodes.plane;
  float* const activated = scratch;
  float* const t_activated = activated + plane;
  float* const g_vv = t_activated + plane;
  float* const b_vv = g_vv + plane;
  float* const g_hidden = b_vv + plane;
  float* const b_hidden = g_hidden + plane;
  nodes.each([&](std::size_t r, std::size_t f) {
    const std::size_t k = r * P + f;
    const V vv = load(kept.phi_vv + k), t_vv = load(t.phi_vv + k);
    V g_sum{}, b_sum{};
    for (int d = 0; d < 3; ++d) {
      const std::size_t p = (r * SENT_PARTS + 2 + d) * P + f, v = (r * FEATURE_PARTS + 1 + d) * P + f;
      const V g_p = load(kept.g_sent + p), b_p = load(b_sent + p);
      g_sum += g_p * load(kept.middle + v);
      b_sum += b_p * load(kept.middle + v) + g_p * load(t.middle + v);
      store(bars + v, load(bars + v) + vv * b_p + t_vv * g_p);
    }
    store(g_vv + k, g_sum);
    store(b_vv + k, b_sum);
  });
  activate(nodes, kept.phi_hidden, activated);
  activation_tangents(nodes, kept.phi_hidden, t.phi_hidden, t_activated);
  const float* const g_sent = kept.g_sent;
  const In b[3] = {nodes.part(b_sent, SENT_PARTS, 0), nodes.part(b_sent, SENT_PARTS, 1), nodes.plain(b_vv)};
  const In g[3] = {nodes.part(g_sent, SENT_PARTS, 0), nodes.part(g_sent, SENT_PARTS, 1), nodes.plain(g_vv)};
  for (int k = 0; k < 3; ++k) {
    nodes.weigh(gradient, w.out[k], nodes.plain(activated), b[k], nodes.plain(t_activated), g[k]);
    nodes.weigh_bias(gradient, w.out_bias[k], b[k]);
    if (k == 0)
      nodes.reverse(w.out[k], b[k], nodes.plain(b_hidden));
    else
      nodes.add_reverse(w.out[k], b[k], nodes.plain(b_hidden));
  }
  activation_bars(nodes, kept.phi_hidden, t.phi_hidden, kept.g_phi_activated, b_hidden, g_hidden);
  const In b_h = nodes.plain(b_hidden);
  nodes.weigh(gradient, w.hidden, nodes.part(kept.middle, FEATURE_PARTS, 0), b_h,
              nodes.part(t.middle, FEATURE_PARTS, 0), nodes.plain(g_hidden));
  nodes.weigh_bias(gradient, w.hidden_bias, b_h);
  nodes.add_reverse(w.hidden, b_h, nodes.part(bars, FEATURE_PARTS, 0));
}

// energy = scale · (weight · σ(hidden) + bias), and g_last
static void readout(const Nodes& nodes, const FinalKept& kept, int n_atoms, float* energies, float* scratch) {
  const ReadoutBlocks& w = nodes.network.readout;
  const std::size_t P = nodes.P;
  const float scale = nodes.network.energy_scale;
  float* const g_hidden = scratch;
  nodes.forward(w.hidden, nodes.plain(kept.last), nodes.plain(kept.hidden), w.hidden_bias);
  for (std::size_t r = 0; r < nodes.n_rows; ++r) {
    V energy{};
    for (std::size_t f = 0; f < P; f += W) {
      const V weight = load(nodes.weight(w.weight) + f);
      const SiLU a = silu(load(kept.hidden + r * P + f));
      energy += a.value * weight;
      store(g_hidden + r * P + f, a.slope * weight * scale);
    }
    if (static_cast<int>(r) < n_atoms)
      energies[r] = scale * (sums(energy, V{}, V{}, V{})[0] + *nodes.weight(w.bias));
  }
  nodes.reverse(w.hidden, nodes.plain(g_hidden), nodes.plain(kept.g_last));
}

static void readout_bars(const Nodes& nodes, const FinalKept& kept, const FinalTangents& t,
                         const float* seeds, float* b_last, float* gradient, float* scratch) {
  const ReadoutBlocks& w = nodes.network.readout;
  const std::size_t P = nodes.P;
  const float scale = nodes.network.energy_scale;
  float* const g_hidden = scratch;
  float* const b_hidden = g_hidden + nodes.plane;
  nodes.forward(w.hidden, nodes.plain(t.last), nodes.plain(t.hidden));
  float seed_sum = 0.0f;
  for (std::size_t r = 0; r < nodes.n_rows; ++r) seed_sum += seeds[r];
  gradient[w.bias] += scale * seed_sum;
  for (std::size_t f = 0; f < P; f += W) {
    const V weight = load(nodes.weight(w.weight) + f);
    V sum = load(gradient + w.weight + f);
    for (std::size_t r = 0; r < nodes.n_rows; ++r) {
      const std::size_t k = r * P + f;
      const Activation a = silu_with_curvature(load(kept.hidden + k));
      const V t_h = load(t.hidden + k);
      sum += scale * (seeds[r] * a.value + a.slope * t_h);
      store(g_hidden + k, a.slope * weight * scale);
      store(b_hidden + k, (seeds[r] * a.slope + a.curvature * t_h) * weight * scale);
    }
    store(gradient + w.weight + f, sum);
  }
  const In b_h = nodes.plain(b_hidden);
  nodes.weigh(gradient, w.hidden, nodes.plain(kept.last), b_h, nodes.plain(t.last), nodes.plain(g_hidden));
  nodes.weigh_bias(gradient, w.hidden_bias, b_h);
  nodes.reverse(w.hidden, b_h, nodes.plain(b_last));
}

}  // namespace mlffd::training::MLFFD_ISA
