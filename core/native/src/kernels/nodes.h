// What happens at the atoms between the edge loops: the perceptrons φ and a, the mixing of vectors, the
// readout, and their reverse passes. docs/native_engine_design.md derives the formulas.
//
// Temporaries of a block are arrays [chunk][row][width]; "plane" is one such array for F features.
#pragma once

#include "gemm.h"

namespace mlffd::MLFFD_ISA {

// A block's view of its arrays.
class Block {
 public:
  explicit Block(const NodeBlock& block)
      : block(block), plane(static_cast<std::size_t>(block.n_rows) * block.n_chunks * W),
        chunk(static_cast<std::size_t>(block.n_rows) * W) {}

  In<1> in(const float* p) const { return {p, chunk}; }
  Out<1> out(float* p) const { return {p, chunk}; }
  In<S_PARTS> node_in(const float* p, int part = 0) const { return {p + part * W, block.s_stride}; }
  Out<S_PARTS> node_out(float* p, int part = 0) const { return {p + part * W, block.s_stride}; }
  In<M_PARTS> sent_in(const float* p, int part = 0) const { return {p + part * W, block.m_stride}; }

  template <int PARTS_IN, int PARTS_OUT>
  void product(const Matrix& matrix, In<PARTS_IN> x, Out<PARTS_OUT> y, const float* bias,
               bool accumulate) const {
    multiply(block.n_rows, matrix, x, y, bias, accumulate);
  }

  // act(row of a node array of S_PARTS, row of a node array of M_PARTS, offset in a plane)
  template <typename Act>
  void each(Act act) const {
    std::size_t offset = 0;
    for (int c = 0; c < block.n_chunks; ++c)
      for (int r = 0; r < block.n_rows; ++r, offset += W)
        act(c * block.s_stride + r * (S_PARTS * W), c * block.m_stride + r * (M_PARTS * W), offset);
  }

  const NodeBlock& block;
  const std::size_t plane, chunk;
};

// h := silu(h), slope := silu'(h)
static void activate(std::size_t n, float* h, float* slope) {
  for (std::size_t k = 0; k < n; k += W) {
    const SiLU a = silu(load(h + k));
    store(h + k, a.value);
    store(slope + k, a.slope);
  }
}

static void scale(std::size_t n, float* x, const float* factor) {
  for (std::size_t k = 0; k < n; k += W) store(x + k, load(x + k) * load(factor + k));
}

// What φ keeps: the vectors before the message, φ_vv, and the slopes of the hidden layer.
struct PhiKept {
  explicit PhiKept(const Block& b) : v(b.block.phi), vv(v + 3 * b.plane), slope(v + 4 * b.plane) {}
  float *v, *vv, *slope;
};

static void phi_forward(const PhiLayer& layer, const NodeBlock& block) {
  const Block b(block);
  const PhiKept kept(b);
  float* const hidden = block.scratch;
  float* const phi = hidden + b.plane;  // φ_s, φ_vs, φ_vv
  b.product(layer.hidden, b.node_in(block.S), b.out(hidden), layer.hidden_bias, false);
  activate(b.plane, hidden, kept.slope);
  b.product(layer.out, b.in(hidden), b.out(phi), layer.out_bias, false);
  b.each([&](std::size_t node, std::size_t sent, std::size_t k) {
    const float* const s = block.S + node;
    float* const m = block.M + sent;
    const V vv = load(phi + 2 * b.plane + k);
    store(kept.vv + k, vv);
    store(m, load(phi + k));
    store(m + W, load(phi + b.plane + k));
    for (int d = 0; d < 3; ++d) {
      const V v = load(s + (1 + d) * W);
      store(kept.v + d * b.plane + k, v);
      store(m + (2 + d) * W, vv * v);
    }
  });
}

static void phi_reverse(const PhiLayer& layer, const NodeBlock& block) {
  const Block b(block);
  const PhiKept kept(b);
  float* const g_vv = block.scratch;
  float* const g_hidden = g_vv + b.plane;
  b.each([&](std::size_t node, std::size_t sent, std::size_t k) {
    float* const g = block.G + node;
    const float* const gm = block.gM + sent;
    const V vv = load(kept.vv + k);
    V sum{};
    for (int d = 0; d < 3; ++d) {
      const V gm_v = load(gm + (2 + d) * W);
      sum += gm_v * load(kept.v + d * b.plane + k);
      store(g + (1 + d) * W, load(g + (1 + d) * W) + vv * gm_v);
    }
    store(g_vv + k, sum);
  });
  b.product(layer.out_s_t, b.sent_in(block.gM, 0), b.out(g_hidden), nullptr, false);
  b.product(layer.out_vs_t, b.sent_in(block.gM, 1), b.out(g_hidden), nullptr, true);
  b.product(layer.out_vv_t, b.in(g_vv), b.out(g_hidden), nullptr, true);
  scale(b.plane, g_hidden, kept.slope);
  b.product(layer.hidden_t, b.in(g_hidden), b.node_out(block.G), nullptr, true);
}

// What an update keeps: U v and V v for each direction, |V v|, the slopes of the hidden layer, a_sv, a_vv.
struct UpdateKept {
  UpdateKept(const Block& b, float* memory)
      : mixed(memory), norm(mixed + 6 * b.plane), slope(norm + b.plane), sv(slope + b.plane),
        vv(sv + b.plane), plane(b.plane) {}
  float* Uv(int d) const { return mixed + 2 * d * plane; }
  float* Vv(int d) const { return mixed + (2 * d + 1) * plane; }
  float *mixed, *norm, *slope, *sv, *vv;
  std::size_t plane;
};

// The final update forms no new vectors: its a_vv does not exist.
template <bool FINAL>
static void update(const UpdateLayer& layer, const Block& b, const UpdateKept& kept) {
  const NodeBlock& block = b.block;
  float* const hidden = block.scratch;
  float* const a = hidden + b.plane;  // a_ss, a_sv, a_vv
  for (int d = 0; d < 3; ++d)
    b.product(layer.mix, b.node_in(block.S, 1 + d), b.out(kept.Uv(d)), nullptr, false);
  for (std::size_t k = 0; k < b.plane; k += W) {
    V sum = broadcast(NORM_EPSILON);
    for (int d = 0; d < 3; ++d) sum += load(kept.Vv(d) + k) * load(kept.Vv(d) + k);
    store(kept.norm + k, sqrt(sum));
  }
  b.product(layer.hidden_s, b.node_in(block.S), b.out(hidden), layer.hidden_bias, false);
  b.product(layer.hidden_n, b.in(kept.norm), b.out(hidden), nullptr, true);
  activate(b.plane, hidden, kept.slope);
  b.product(layer.out, b.in(hidden), b.out(a), layer.out_bias, false);
  b.each([&](std::size_t node, std::size_t, std::size_t k) {
    float* const s = block.S + node;
    const V sv = load(a + b.plane + k);
    V dot{};
    for (int d = 0; d < 3; ++d) dot += load(kept.Uv(d) + k) * load(kept.Vv(d) + k);
    store(s, load(s) + load(a + k) + sv * dot);
    store(kept.sv + k, sv);
    if constexpr (!FINAL) {
      const V vv = load(a + 2 * b.plane + k);
      store(kept.vv + k, vv);
      for (int d = 0; d < 3; ++d) store(s + (1 + d) * W, load(s + (1 + d) * W) + vv * load(kept.Uv(d) + k));
    }
  });
}

// G holds the gradient with respect to the update's output, and then that with respect to its input. Of the
// final update's output only the s part exists.
template <bool FINAL>
static void reverse_update(const UpdateLayer& layer, const Block& b, const UpdateKept& kept) {
  const NodeBlock& block = b.block;
  float* const g_sv = block.scratch;
  float* const g_vv = g_sv + b.plane;
  float* const g_dot = g_vv + b.plane;
  float* const g_hidden = g_dot + b.plane;
  float* const g_norm = g_hidden + b.plane;
  float* const g_mixed = g_norm + b.plane;  // two planes: of Uv, of Vv
  b.each([&](std::size_t node, std::size_t, std::size_t k) {
    const float* const g = block.G + node;
    const V g_s = load(g);
    V dot{}, vv{};
    for (int d = 0; d < 3; ++d) {
      const V Uv = load(kept.Uv(d) + k);
      dot += Uv * load(kept.Vv(d) + k);
      if constexpr (!FINAL) vv += Uv * load(g + (1 + d) * W);
    }
    store(g_sv + k, g_s * dot);
    store(g_dot + k, g_s * load(kept.sv + k));
    if constexpr (!FINAL) store(g_vv + k, vv);
  });
  b.product(layer.out_ss_t, b.node_in(block.G), b.out(g_hidden), nullptr, false);
  b.product(layer.out_sv_t, b.in(g_sv), b.out(g_hidden), nullptr, true);
  if constexpr (!FINAL) b.product(layer.out_vv_t, b.in(g_vv), b.out(g_hidden), nullptr, true);
  scale(b.plane, g_hidden, kept.slope);
  b.product(layer.hidden_s_t, b.in(g_hidden), b.node_out(block.G), nullptr, true);
  b.product(layer.hidden_n_t, b.in(g_hidden), b.out(g_norm), nullptr, false);
  for (std::size_t k = 0; k < b.plane; k += W) store(g_norm + k, load(g_norm + k) / load(kept.norm + k));
  for (int d = 0; d < 3; ++d) {
    b.each([&](std::size_t node, std::size_t, std::size_t k) {
      const V dot = load(g_dot + k), Vv = load(kept.Vv(d) + k);
      V g_Uv = dot * Vv;
      if constexpr (!FINAL) g_Uv += load(kept.vv + k) * load(block.G + node + (1 + d) * W);
      store(g_mixed + k, g_Uv);
      store(g_mixed + b.plane + k, dot * load(kept.Uv(d) + k) + load(g_norm + k) * Vv);
    });
    b.product(layer.mix_t, b.in(g_mixed), b.node_out(block.G, 1 + d), nullptr, !FINAL);
  }
}

static void update_forward(const UpdateLayer& layer, const NodeBlock& block) {
  const Block b(block);
  update<false>(layer, b, UpdateKept(b, block.update));
}

static void update_reverse(const UpdateLayer& layer, const NodeBlock& block) {
  const Block b(block);
  reverse_update<false>(layer, b, UpdateKept(b, block.update));
}

// energy = scale · (w · silu(hidden) + bias); G := its gradient with respect to s.
static void readout(const ReadoutLayer& layer, const Block& b, float* energies) {
  const NodeBlock& block = b.block;
  float* const hidden = block.scratch;  // at most as wide as F
  b.product(layer.hidden, b.node_in(block.S), b.out(hidden), layer.hidden_bias, false);
  for (int r = 0; r < block.n_rows; ++r) {
    V energy{};
    for (int c = 0; c < layer.hidden.out_chunks; ++c) {
      float* const h = hidden + c * b.chunk + r * W;
      const V weight = load(layer.weight + c * W);
      const SiLU a = silu(load(h));
      energy += a.value * weight;
      store(h, a.slope * weight * layer.scale);
    }
    const V4 sum = sums(energy, V{}, V{}, V{});
    energies[r] = layer.scale * (sum[0] + layer.bias);
  }
  b.product(layer.hidden_t, b.in(hidden), b.node_out(block.G), nullptr, false);
}

static void final(const UpdateLayer& layer, const ReadoutLayer& last, const NodeBlock& block,
                  float* energies) {
  const Block b(block);
  const UpdateKept kept(b, block.update);
  update<true>(layer, b, kept);
  readout(last, b, energies);
  reverse_update<true>(layer, b, kept);
}

}  // namespace mlffd::MLFFD_ISA
