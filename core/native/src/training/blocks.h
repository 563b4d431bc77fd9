// Where each parameter of a student lies in the padded matrices that the kernels of training work with.
//
// A block is a matrix [in][P] for y = x · block, with P the number of features rounded up to whole vectors, and zeros in the
// padding. All blocks lie one after the other in one buffer; weights and their gradients have the same offsets.
#pragma once

#include <cstddef>

namespace mlffd::training {

// Offsets in floats. Blocks without another shape are [P][P], and their transposes lie at the same offsets of another buffer;
// biases are [P].
struct UpdateBlocks {
  std::size_t U, V, hidden_s, hidden_n, hidden_bias;
  std::size_t ss, sv, vv, ss_bias, sv_bias, vv_bias;  // without vv in the final update
};

struct PhiBlocks {
  std::size_t hidden, hidden_bias;
  std::size_t out[3], out_bias[3];  // φ_s, φ_vs, φ_vv
};

// Filters are Φ(r) · block, with the rows of Φ below: R radial functions and a one for the bias, all cut off; [K][P] each.
struct InitialBlocks {
  std::size_t embedding, phi[2], filter[2];  // [species][P], and for s and vs
};

struct MessageBlocks {
  PhiBlocks phi;
  std::size_t filter[3];  // s, vs, vv
};

struct ReadoutBlocks {
  std::size_t hidden, hidden_bias, weight, bias;  // F → F/2, padded to P; [P][P], [P], [P], [P]
};

}  // namespace mlffd::training
