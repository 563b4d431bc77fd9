// Compiled once for each instruction set, with its own flags; see core/native/CMakeLists.txt.
#include "nodes.h"
#include "pairs.h"

#define TEXT(name) #name
#define NAME(name) TEXT(name)

namespace mlffd::MLFFD_ISA {

extern const Kernels kernels;
const Kernels kernels = {NAME(MLFFD_ISA),
                         W,
                         TILE_ROWS,
                         PANEL,
                         initial_forward,
                         initial_reverse,
                         message_forward,
                         message_reverse,
                         phi_forward,
                         phi_reverse,
                         update_forward,
                         update_reverse,
                         final};

}  // namespace mlffd::MLFFD_ISA
