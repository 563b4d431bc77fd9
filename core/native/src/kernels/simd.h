// One vector register of floats, by the vector extension of GCC and Clang: the same source for every
// instruction set.
#pragma once

#include <cstdint>

#ifndef MLFFD_ISA  // the namespace of this compilation, and the floats in a vector
#error "compile with -DMLFFD_ISA=name -DMLFFD_WIDTH=4|8|16"
#endif

#define MLFFD_INLINE static inline __attribute__((always_inline))

namespace mlffd::MLFFD_ISA {

constexpr int W = MLFFD_WIDTH;

// Matrix products keep so many rows × vectors of the result in registers: 6 × 2 in the 16 of AVX2 (and of SSE),
// 8 × 3 in the 32 of AVX-512.
constexpr int TILE_ROWS = W == 16 ? 8 : 6;
constexpr int PANEL = W == 16 ? 3 : 2;

typedef float V __attribute__((vector_size(4 * W), may_alias));
typedef std::int32_t I __attribute__((vector_size(4 * W), may_alias));
typedef float V4 __attribute__((vector_size(16), may_alias));

MLFFD_INLINE V load(const float* p) { return *reinterpret_cast<const V*>(p); }
MLFFD_INLINE void store(float* p, V x) { *reinterpret_cast<V*>(p) = x; }
MLFFD_INLINE V broadcast(float x) { return x - V{}; }

MLFFD_INLINE V sqrt(V x) {
  for (int k = 0; k < W; ++k) x[k] = __builtin_sqrtf(x[k]);
  return x;
}

// 2^(x log2 e) as 2^n · 2^f with |f| ≤ 1/2; relative error below 2e-7. Adding 1.5 · 2^23 rounds to an
// integer.
MLFFD_INLINE V exp(V x) {
  const V shift = broadcast(12582912.0f), limit = broadcast(126.0f);
  V y = x * 1.44269504f;
  y = y > limit ? limit : y;
  y = y < -limit ? -limit : y;
  const V z = y + shift;
  const I n = reinterpret_cast<I>(z) - reinterpret_cast<I>(shift);
  const V f = y - (z - shift);
  V p = broadcast(1.5403530e-4f);
  p = p * f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  return reinterpret_cast<V>(reinterpret_cast<I>(p) + (n << 23));
}

struct SiLU {
  V value, slope;
};

MLFFD_INLINE SiLU silu(V x) {
  const V sigmoid = 1.0f / (1.0f + exp(-x));
  const V value = x * sigmoid;
  return {value, sigmoid + value * (1.0f - sigmoid)};
}

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else  // GCC 11 has the older form only
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (I){__VA_ARGS__})
#endif

// The lane of 128 bits with this number.
template <int LANE>
MLFFD_INLINE V4 lane(V x) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(x, x, 4 * LANE, 4 * LANE + 1, 4 * LANE + 2, 4 * LANE + 3);
#else
  V4 part;
  __builtin_memcpy(&part, reinterpret_cast<const float*>(&x) + 4 * LANE, sizeof part);
  return part;
#endif
}

// {Σa, Σb, Σc, Σd}: first within each lane, where shuffles are cheap, then across the lanes.
MLFFD_INLINE V4 sums(V a, V b, V c, V d) {
#if MLFFD_WIDTH == 4
#define LANES(f) f(0, W)
#elif MLFFD_WIDTH == 8
#define LANES(f) f(0, W), f(4, W)
#elif MLFFD_WIDTH == 16
#define LANES(f) f(0, W), f(4, W), f(8, W), f(12, W)
#endif
#define LOW(k, w) k, k + w, k + 1, k + 1 + w
#define HIGH(k, w) k + 2, k + 2 + w, k + 3, k + 3 + w
#define FRONT(k, w) k, k + 1, k + w, k + 1 + w
#define BACK(k, w) k + 2, k + 3, k + 2 + w, k + 3 + w
  const V ab = SHUFFLE(a, b, LANES(LOW)) + SHUFFLE(a, b, LANES(HIGH));
  const V cd = SHUFFLE(c, d, LANES(LOW)) + SHUFFLE(c, d, LANES(HIGH));
  const V abcd = SHUFFLE(ab, cd, LANES(FRONT)) + SHUFFLE(ab, cd, LANES(BACK));
#undef LANES
#undef LOW
#undef HIGH
#undef FRONT
#undef BACK
#undef SHUFFLE
#if MLFFD_WIDTH == 4
  return abcd;
#elif MLFFD_WIDTH == 8
  return lane<0>(abcd) + lane<1>(abcd);
#elif MLFFD_WIDTH == 16
  return (lane<0>(abcd) + lane<1>(abcd)) + (lane<2>(abcd) + lane<3>(abcd));
#endif
}

}  // namespace mlffd::MLFFD_ISA
