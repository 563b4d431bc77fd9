// Which instruction set to use.
#pragma once

#include "kernels/kernels.h"

namespace mlffd {

// The best that the processor has, or what MLFFD_ISA asks for. Throws ArgumentError if it asks for what is
// not there.
const Kernels& choose_kernels();

}  // namespace mlffd
