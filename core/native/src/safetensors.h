// The safetensors format: 8 bytes of length, a JSON header, raw little-endian numbers.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mlffd {

struct Tensor {
  std::vector<std::size_t> shape;
  std::vector<double> values;  // row-major; float64 holds float32 exactly
};

// The float32 and float64 tensors of a file; others are left out. Throws ArtifactError.
std::map<std::string, Tensor> read_safetensors(std::string_view bytes);

}  // namespace mlffd
