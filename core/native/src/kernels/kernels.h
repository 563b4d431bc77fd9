// The inner loops, and the only code that is compiled once for each instruction set.
//
// Features come in chunks of `width`, the floats of one vector register, and the chunk is the slowest index:
//
//     S   [chunk][atom][s, v_x, v_y, v_z][width]           node features
//     M   [chunk][atom][φ_s, φ_vs, p_x, p_y, p_z][width]   what an atom sends to its neighbours; p = φ_vv v
//     G, gM                                                the energy's gradients with respect to them
//
// An edge loop works on one chunk at a time: its accumulators stay in registers, the chunk's filter table in
// the cache, and chunks are independent, so that threads share them out without any conflict.
//
// These files know no standard library: a template that the linker shares between instruction sets would end
// up in a binary with instructions that the processor may lack.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlffd {

constexpr int S_PARTS = 4, M_PARTS = 5;
constexpr float NORM_EPSILON = 1e-3f;  // as in model/painn.py

// One pair of atoms within the cutoff, ready for the loops: half a cache line.
struct alignas(32) Pair {
  std::int32_t atom;      // the second atom; the first is the centre that the pair is stored with
  std::int32_t interval;  // of the filter tables
  float t;                // position in the interval, 0 to 1
  float r;                // Å
  float u[3];             // unit vector from the centre to the atom
  std::int32_t unused;
};

// The pairs of a centre: [begin, ghosts) act both ways; of [ghosts, end) only the centre is ours to compute.
struct Center {
  std::int32_t begin, ghosts, end;
};

struct PairRange {
  int first, last;  // centres
  const Center* centers;
  const Pair* pairs;
};

// out(row) (+)= bias + in(row) · matrix, packed in panels of a few chunks:
// [panel][in feature][chunk of the panel][width].
struct Matrix {
  const float* panels;
  int in_chunks, out_chunks;
};

// Chunks of the next panel; 4 = 2 + 2 rather than 3 + 1, since a panel of one chunk keeps the multipliers
// waiting.
constexpr int panel_chunks(int left, int panel) {
  return left == panel + 1 && panel > 2 ? 2 : left < panel ? left : panel;
}

struct PhiLayer {
  Matrix hidden, out;                            // F → F → 3F
  Matrix hidden_t, out_s_t, out_vs_t, out_vv_t;  // transposed, for the reverse pass
  const float *hidden_bias, *out_bias;
};

struct UpdateLayer {
  Matrix mix;                 // F → U, V
  Matrix hidden_s, hidden_n;  // the halves of the hidden layer that act on s and on |Vv|
  Matrix out;                 // F → a_ss, a_sv, a_vv; without a_vv in the final update
  Matrix mix_t, hidden_s_t, hidden_n_t, out_ss_t, out_sv_t, out_vv_t;
  const float *hidden_bias, *out_bias;
};

struct ReadoutLayer {
  Matrix hidden, hidden_t;  // F → F/2
  const float *hidden_bias, *weight;
  float bias, scale;
};

// Consecutive atoms that the node functions treat together; pointers are to the first of them in chunk 0.
struct NodeBlock {
  int n_rows;                      // a multiple of tile_rows
  int n_chunks;                    // of F
  std::size_t s_stride, m_stride;  // floats from one chunk to the next
  float *S, *G, *M, *gM;
  float *update, *phi;  // kept for the reverse pass, UPDATE_KEPT and PHI_KEPT × F floats a row
  float* scratch;       // SCRATCH × F floats a row
};
constexpr int UPDATE_KEPT = 10, PHI_KEPT = 5, SCRATCH = 8;

// The functions of one instruction set. `table`, S, M, … of the pair functions are those of one chunk.
struct Kernels {
  const char* name;
  int width;      // floats in a vector
  int tile_rows;  // rows of a matrix product are computed this many at a time
  int panel;      // chunks of a matrix product computed at a time

  // S += messages of the first layer, which depend on the species only: phi is [species][φ_s, φ_vs][width]
  void (*initial_forward)(const PairRange&, const float* table, const float* phi, const std::int32_t* species,
                          float* S);
  // pair_gradient[pair] (+)= dE/dt at fixed u, dE/du at fixed t
  void (*initial_reverse)(const PairRange&, const float* table, const float* phi, const std::int32_t* species,
                          const float* G, float* pair_gradient, bool accumulate);
  void (*message_forward)(const PairRange&, const float* table, const float* M, float* S);
  void (*message_reverse)(const PairRange&, const float* table, const float* M, const float* G, float* gM,
                          float* pair_gradient, bool accumulate);

  void (*phi_forward)(const PhiLayer&, const NodeBlock&);        // S → M
  void (*phi_reverse)(const PhiLayer&, const NodeBlock&);        // G += from gM
  void (*update_forward)(const UpdateLayer&, const NodeBlock&);  // S → S
  void (*update_reverse)(const UpdateLayer&, const NodeBlock&);  // G → G
  // The final update and the readout, forward and reverse: S → energies of the rows, and G
  void (*final)(const UpdateLayer&, const ReadoutLayer&, const NodeBlock&, float* energies);
};

// Of a filter table: [interval][coefficient][filter][width].
constexpr int INITIAL_FILTERS = 2, MESSAGE_FILTERS = 3, N_COEFFICIENTS = 5;

}  // namespace mlffd
