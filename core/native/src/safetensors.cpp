#include "safetensors.h"

#include <cmath>
#include <cstring>

#include "bytes.h"
#include "json.h"

namespace mlffd {
namespace {

constexpr long long MAX_BYTES = 1LL << 40;

template <typename Real, typename Bits>
void read_reals(std::string_view bytes, std::vector<double>& values) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const Bits bits = little_endian<Bits>(bytes, k * sizeof(Bits));
    Real real;
    std::memcpy(&real, &bits, sizeof(real));
    if (!std::isfinite(real)) throw ArtifactError("a weight is not finite");
    values[k] = static_cast<double>(real);
  }
}

Tensor read_tensor(const json::Value& description, std::string_view data, std::size_t size) {
  Tensor tensor;
  std::size_t count = 1;
  for (const json::Value& extent : json::member(description, "shape").items) {
    tensor.shape.push_back(
        static_cast<std::size_t>(json::integer(extent, 0, 1 << 24, "an extent of a tensor")));
    count *= tensor.shape.back();
    if (count > data.size()) throw ArtifactError("a tensor is larger than the file");
  }
  const auto& offsets = json::member(description, "data_offsets").items;
  if (offsets.size() != 2) throw ArtifactError("a tensor without its two offsets");
  const auto begin = static_cast<std::uint64_t>(json::integer(offsets[0], 0, MAX_BYTES, "an offset"));
  const auto end = static_cast<std::uint64_t>(json::integer(offsets[1], 0, MAX_BYTES, "an offset"));
  if (end < begin || end - begin != count * size)
    throw ArtifactError("a tensor's size is not that of its shape");
  const std::string_view bytes = slice(data, begin, end - begin);
  tensor.values.resize(count);
  if (size == 4)
    read_reals<float, std::uint32_t>(bytes, tensor.values);
  else
    read_reals<double, std::uint64_t>(bytes, tensor.values);
  return tensor;
}

}  // namespace

std::map<std::string, Tensor> read_safetensors(std::string_view bytes) {
  const auto header_size = little_endian<std::uint64_t>(bytes, 0);
  const json::Value header = json::parse(slice(bytes, 8, header_size));
  const std::string_view data = bytes.substr(8 + header_size);
  std::map<std::string, Tensor> tensors;
  std::size_t n_bytes = 0;  // of all tensors: they do not overlap, so a small file cannot ask for much memory
  for (const auto& [name, description] : header.members) {
    if (name == "__metadata__") continue;
    const std::string& dtype = json::member(description, "dtype").text;
    if (dtype != "F32" && dtype != "F64") continue;
    const std::size_t size = dtype == "F32" ? 4 : 8;
    const Tensor& tensor = tensors[name] = read_tensor(description, data, size);
    n_bytes += tensor.values.size() * size;
    if (n_bytes > data.size()) throw ArtifactError("the tensors overlap");
  }
  return tensors;
}

}  // namespace mlffd
