// The passes over a shard of a batch: what is compiled once for each instruction set. docs/native_training.md derives them.
//
//     features   [atom][s, v_x, v_y, v_z][P]
//     sent       [atom][φ_s, φ_vs, p_x, p_y, p_z][P]   what an atom sends to its neighbours; p = φ_vv v
//
// Like the kernels of the engine, these files know no standard library.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../blocks.h"

namespace mlffd::training {

constexpr int FEATURE_PARTS = 4, SENT_PARTS = 5, MIXED_PARTS = 6;  // mixed: Uv, Vv of each direction

// A student in blocks.
struct Network {
  int width;             // P
  int n_layers;          // L - 1: layers of an update and a message
  int n_basis;           // K, rows of a filter block that are used
  int n_rows_of_filter;  // K rounded up to whole tiles; also the stride of Φ
  float energy_scale;
  const float *weights, *transposed;
  InitialBlocks initial;
  const UpdateBlocks* updates;    // L - 1
  const MessageBlocks* messages;  // L - 1
  UpdateBlocks final_update;
  ReadoutBlocks readout;
};

// One of the two directions of a pair of neighbours; the other is implied.
struct Pair {
  std::int32_t i, j;
  float u[3];  // unit vector from i to j
};

// What an update keeps of its forward (`mixed` … `vv`) and reverse pass.
struct UpdateKept {
  float *mixed, *norm, *hidden, *sv, *vv;
  float *g_norm, *g_activated;
};

// Of one layer: update, then message. `in` and `middle` are features before and after the update.
struct LayerKept {
  float *in, *middle, *sent;
  UpdateKept update;
  float *phi_hidden, *phi_vv;
  float *g_in, *g_middle, *g_sent, *g_phi_activated;
};

struct FinalKept {
  float* in;  // features
  UpdateKept update;
  float *last, *hidden;  // the scalars after the update, and the hidden layer of the readout
  float *g_in, *g_last;
};

// The tangents of the same.
struct UpdateTangents {
  float *mixed, *norm, *hidden, *sv, *vv;
};
struct LayerTangents {
  float *in, *middle, *sent;
  UpdateTangents update;
  float *phi_hidden, *phi_vv;
};
struct FinalTangents {
  float* in;
  UpdateTangents update;
  float *last, *hidden;
};

// Whole structures that are computed together. Rows n_atoms … n_rows of the node arrays are padding.
struct Shard {
  int n_atoms, n_rows, n_pairs;
  const std::int32_t* species;
  const Pair* pairs;
  const float *basis, *basis_slope;  // Φ and dΦ/dr: [pair][n_rows_of_filter], and one tile of anything finite
  LayerKept* layers;                 // L - 1
  FinalKept final;
  float* energies;       // [atom] eV
  float* pair_gradient;  // [pair][dE/dr at fixed u, dE/du at fixed r]
};

// What is differentiated: S = Σ_atoms seed · e + the energy's change along the pairs' tangents.
struct Direction {
  const float* seeds;         // [row], zero in the padding
  const float* pair_tangent;  // [pair][dr, du]
};

// Of one thread.
struct Workspace {
  float* nodes;             // NODE_SCRATCH × P floats a row
  float* pairs;             // of a block: PAIR_SCRATCH × P floats and n_rows_of_filter for each pair
  float *bars, *sent_bars;  // features, sent
  LayerTangents* layers;    // L - 1
  FinalTangents final;
};
constexpr int PAIR_BLOCK = 48, NODE_SCRATCH = 20, PAIR_SCRATCH = 12;

struct Kernels {
  int vector_width;  // P is a multiple of it
  int tile_rows;     // n_rows and n_rows_of_filter are multiples of it
  void (*energies_and_pair_gradients)(const Network&, const Shard&, const Workspace&);
  // gradient += dS/dweights, in blocks
  void (*parameter_gradients)(const Network&, const Shard&, const Direction&, const Workspace&,
                              float* gradient);
};

}  // namespace mlffd::training
