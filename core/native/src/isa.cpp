#include "isa.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "error.h"

namespace mlffd {

// Kernels of the namespaces that CMakeLists.txt compiles.
#define DECLARE(isa)            \
  namespace isa {               \
  extern const Kernels kernels; \
  }                             \
  namespace training::isa {     \
  extern const Kernels kernels; \
  }
DECLARE(portable)
#ifdef MLFFD_X86
DECLARE(avx2)
DECLARE(avx512)
#endif

namespace {

struct InstructionSet {
  const Kernels& engine;
  const training::Kernels& training;
};

// Best first. AVX-512 here means what every such processor since 2017 has: F, VL, DQ and BW.
std::vector<InstructionSet> available_sets() {
  std::vector<InstructionSet> available;
#ifdef MLFFD_X86
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#ifdef MLFFD_EMULATE_AVX512
  const bool has_avx512 = has_avx2;
#else
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bw");
#endif
  if (has_avx512) available.push_back({avx512::kernels, training::avx512::kernels});
  if (has_avx2) available.push_back({avx2::kernels, training::avx2::kernels});
#endif
  available.push_back({portable::kernels, training::portable::kernels});
  return available;
}

InstructionSet choose() {
  const std::vector<InstructionSet> available = available_sets();
  const char* const wanted = std::getenv("MLFFD_ISA");
  if (!wanted || !*wanted) return available.front();
  std::string names;
  for (const InstructionSet& set : available) {
    if (std::string(wanted) == set.engine.name) return set;
    names += (names.empty() ? "" : ", ") + std::string(set.engine.name);
  }
  throw ArgumentError("MLFFD_ISA is '" + std::string(wanted) + "', and this processor can run: " + names);
}

}  // namespace

const Kernels& choose_kernels() { return choose().engine; }

const training::Kernels& choose_training_kernels() { return choose().training; }

}  // namespace mlffd
