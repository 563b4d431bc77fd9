// Which instruction set to use.
#pragma once

#include "kernels/kernels.h"
#include "training/kernels/kernels.h"

namespace mlffd {

// The best that the processor has, or what MLFFD_ISA asks for. Throws ArgumentError if it asks for what is
// not there.
const Kernels& choose_kernels();
const training::Kernels& choose_training_kernels();

}  // namespace mlffd
