#include "isa.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "error.h"

namespace mlffd {

namespace portable {
extern const Kernels kernels;
}
#ifdef MLFFD_X86
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
#endif

namespace {

// Best first. AVX-512 here means what every such processor since 2017 has: F, VL, DQ and BW.
std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> available;
#ifdef MLFFD_X86
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#ifdef MLFFD_EMULATE_AVX512
  const bool has_avx512 = has_avx2;
#else
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bw");
#endif
  if (has_avx512) available.push_back(&avx512::kernels);
  if (has_avx2) available.push_back(&avx2::kernels);
#endif
  available.push_back(&portable::kernels);
  return available;
}

}  // namespace

const Kernels& choose_kernels() {
  const std::vector<const Kernels*> available = available_kernels();
  const char* const wanted = std::getenv("MLFFD_ISA");
  if (!wanted || !*wanted) return *available.front();
  std::string names;
  for (const Kernels* kernels : available) {
    if (std::string(wanted) == kernels->name) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  throw ArgumentError("MLFFD_ISA is '" + std::string(wanted) + "', and this processor can run: " + names);
}

}  // namespace mlffd
