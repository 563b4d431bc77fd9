// The zip archive around an artifact: finds stored entries through the central directory, and checks their
// CRC-32.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mlffd {

std::string read_file(const std::string& path);

// The contents of the entry whose name ends with the suffix; nothing if there is none. The view is into
// `file`.
std::optional<std::string_view> find_entry(std::string_view file, std::string_view suffix);

}  // namespace mlffd
