// Little-endian integers out of untrusted bytes.
#pragma once

#include <cstdint>
#include <string_view>

#include "error.h"

namespace mlffd {

// The bytes [offset, offset + size), or an error if they are not there. Written so that nothing overflows.
inline std::string_view slice(std::string_view bytes, std::uint64_t offset, std::uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset)
    throw ArtifactError("a part lies beyond the end of the file");
  return bytes.substr(offset, size);
}

template <typename Unsigned>
Unsigned little_endian(std::string_view bytes, std::uint64_t offset) {
  const std::string_view part = slice(bytes, offset, sizeof(Unsigned));
  Unsigned value = 0;
  for (std::size_t k = sizeof(Unsigned); k-- > 0;)
    value = static_cast<Unsigned>(value << 8 | static_cast<unsigned char>(part[k]));
  return value;
}

}  // namespace mlffd
