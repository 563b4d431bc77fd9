// Matrix products on rows in memory. A tile of TILE_ROWS rows × up to PANEL vectors of the result stays in registers.
//
// The engine has its own (kernels/gemm.h), for features in chunks and for matrices that are packed once. Here weights change in
// every step, rows are contiguous, and the gradient of a matrix needs the product of a transposed factor.
#pragma once

#include "../../kernels/kernels.h"  // panel_chunks
#include "../../kernels/simd.h"
#include "kernels.h"

namespace mlffd::training::MLFFD_ISA {

using namespace mlffd::MLFFD_ISA;

static_assert(PAIR_BLOCK % TILE_ROWS == 0, "blocks of pairs are whole tiles");

enum class Start { ZERO, BIAS, RESULT };  // what a product is added to

// Element (row, k) of the left factor: a[row · stride + k], or of its transpose: a[k · stride + row].
template <int R, int N, bool TRANSPOSED>
static __attribute__((noinline)) void tile(int n_terms, const float* a, std::size_t a_stride, const float* b,
                                           std::size_t b_stride, float* c, std::size_t c_stride, Start start,
                                           const float* bias) {
  V sum[R][N];  // every loop over it is unrolled at once, or the compiler keeps it in memory
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      sum[r][n] = start == Start::RESULT ? load(c + r * c_stride + n * W)
                  : start == Start::BIAS ? load(bias + n * W)
                                         : V{};
  for (int k = 0; k < n_terms; ++k, b += b_stride) {
    V right[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) right[n] = load(b + n * W);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V left = broadcast(TRANSPOSED ? a[k * a_stride + r] : a[r * a_stride + k]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] += left * right[n];
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) store(c + r * c_stride + n * W, sum[r][n]);
}

template <int R, bool TRANSPOSED>
MLFFD_INLINE void tile_of(int n, int n_terms, const float* a, std::size_t a_stride, const float* b,
                          std::size_t b_stride, float* c, std::size_t c_stride, Start start,
                          const float* bias) {
  auto run = tile<R, 1, TRANSPOSED>;
  if (n == 2) run = tile<R, 2, TRANSPOSED>;
  if (n == 3) run = tile<R, PANEL, TRANSPOSED>;  // only where PANEL is 3
  run(n_terms, a, a_stride, b, b_stride, c, c_stride, start, bias);
}

// An even number of rows.
template <bool TRANSPOSED>
static void product(int n_rows, int n_terms, int n_columns, const float* a, std::size_t a_stride,
                    const float* b, std::size_t b_stride, float* c, std::size_t c_stride, Start start,
                    const float* bias) {
  for (int column = 0; column < n_columns;) {
    const int n = panel_chunks((n_columns - column) / W, PANEL);
    const float* const first = bias ? bias + column : nullptr;
    const auto left = [&](int row) {
      return a + static_cast<std::size_t>(row) * (TRANSPOSED ? 1 : a_stride);
    };
    const auto result = [&](int row) { return c + static_cast<std::size_t>(row) * c_stride + column; };
    int row = 0;
    for (; row + TILE_ROWS <= n_rows; row += TILE_ROWS)
      tile_of<TILE_ROWS, TRANSPOSED>(n, n_terms, left(row), a_stride, b + column, b_stride, result(row),
                                     c_stride, start, first);
    for (; row < n_rows; row += 2)
      tile_of<2, TRANSPOSED>(n, n_terms, left(row), a_stride, b + column, b_stride, result(row), c_stride,
                             start, first);
    column += n * W;
  }
}

// One part of a node array: P floats of each row.
struct Out {
  float* data;
  std::size_t stride;
};
struct In {
  In(const float* data, std::size_t stride) : data(data), stride(stride) {}
  In(Out rows) : data(rows.data), stride(rows.stride) {}
  const float* data;
  std::size_t stride;
};

}  // namespace mlffd::training::MLFFD_ISA
