// Small matrix products, out(row) (+)= bias + in(row) · matrix, with weights packed by `pack` in model.cpp.
//
// A tile of TILE_ROWS rows × up to PANEL chunks of the result stays in registers while the loop runs over the
// input features.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace mlffd::MLFFD_ISA {

// Rows in memory: `parts` vectors from one row to the next, chunk_stride floats from one chunk to the next.
template <int PARTS, typename Float>
struct Rows {
  Float* data;
  std::size_t chunk_stride;
};

template <int PARTS>
using In = Rows<PARTS, const float>;
template <int PARTS>
using Out = Rows<PARTS, float>;

template <int N, int IN_PARTS, int OUT_PARTS>
static __attribute__((noinline)) void tile(int in_chunks, const float* in, std::size_t in_stride,
                                           const float* w, float* out, std::size_t out_stride,
                                           const float* bias, bool accumulate) {
  V sum[TILE_ROWS][N];  // every loop over it is unrolled at once, or the compiler keeps it in memory
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
    for (int r = 0; r < TILE_ROWS; ++r)
      sum[r][n] = accumulate ? load(out + n * out_stride + r * OUT_PARTS * W)
                  : bias     ? load(bias + n * W)
                             : V{};
  for (int chunk = 0; chunk < in_chunks; ++chunk, in += in_stride) {
#pragma GCC unroll 4
    for (int k = 0; k < W; ++k, w += N * W) {
      V weight[N];
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) weight[n] = load(w + n * W);
#pragma GCC unroll 8
      for (int r = 0; r < TILE_ROWS; ++r) {
        const V x = broadcast(in[r * IN_PARTS * W + k]);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) sum[r][n] += x * weight[n];
      }
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
    for (int r = 0; r < TILE_ROWS; ++r) store(out + n * out_stride + r * OUT_PARTS * W, sum[r][n]);
}

template <int IN_PARTS, int OUT_PARTS>
static void multiply(int n_rows, const Matrix& matrix, In<IN_PARTS> in, Out<OUT_PARTS> out, const float* bias,
                     bool accumulate) {
  const float* panel = matrix.panels;
  for (int chunk = 0; chunk < matrix.out_chunks;) {
    const int n = panel_chunks(matrix.out_chunks - chunk, PANEL);
    for (int row = 0; row < n_rows; row += TILE_ROWS) {
      const float* x = in.data + static_cast<std::size_t>(row) * IN_PARTS * W;
      float* y = out.data + chunk * out.chunk_stride + static_cast<std::size_t>(row) * OUT_PARTS * W;
      const float* b = bias ? bias + chunk * W : nullptr;
      auto run = tile<1, IN_PARTS, OUT_PARTS>;
      if (n == 2) run = tile<2, IN_PARTS, OUT_PARTS>;
      if (n == 3) run = tile<PANEL, IN_PARTS, OUT_PARTS>;  // only where PANEL is 3
      run(matrix.in_chunks, x, in.chunk_stride, panel, y, out.chunk_stride, b, accumulate);
    }
    panel += static_cast<std::size_t>(matrix.in_chunks) * W * n * W;
    chunk += n;
  }
}

}  // namespace mlffd::MLFFD_ISA
