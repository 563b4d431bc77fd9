// Compiled once for each instruction set, with its own flags; see core/native/CMakeLists.txt.
#include "passes.h"

namespace mlffd::training::MLFFD_ISA {

extern const Kernels kernels;
const Kernels kernels = {W, TILE_ROWS, energies_and_pair_gradients, parameter_gradients};

}  // namespace mlffd::training::MLFFD_ISA
