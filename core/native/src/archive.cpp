#include "archive.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>

#include "bytes.h"

namespace mlffd {
namespace {

// Section 4.3 of the .ZIP File Format Specification (APPNOTE.TXT); offsets within each record.
constexpr std::uint32_t LOCAL_HEADER = 0x04034b50, CENTRAL_HEADER = 0x02014b50, END_RECORD = 0x06054b50;
constexpr std::uint32_t END_RECORD_64 = 0x06064b50, END_LOCATOR_64 = 0x07064b50;
constexpr std::uint64_t LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22, LOCATOR_SIZE = 20;
constexpr std::uint32_t IN_EXTRA_FIELD = 0xFFFFFFFF;  // the true number is in the zip64 extra field

std::uint16_t u16(std::string_view bytes, std::uint64_t at) {
  return little_endian<std::uint16_t>(bytes, at);
}
std::uint32_t u32(std::string_view bytes, std::uint64_t at) {
  return little_endian<std::uint32_t>(bytes, at);
}
std::uint64_t u64(std::string_view bytes, std::uint64_t at) {
  return little_endian<std::uint64_t>(bytes, at);
}

std::uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t n = 0; n < 256; ++n) {
      std::uint32_t c = n;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      t[n] = c;
    }
    return t;
  }();
  std::uint32_t c = 0xFFFFFFFFu;
  for (const char byte : bytes) c = table[(c ^ static_cast<unsigned char>(byte)) & 0xFF] ^ (c >> 8);
  return c ^ 0xFFFFFFFFu;
}

std::uint64_t find_end_record(std::string_view file) {
  const std::uint64_t furthest = END_SIZE + 0xFFFF;  // a comment of up to 64 KB may follow it
  if (file.size() >= END_SIZE)
    for (std::uint64_t back = END_SIZE; back <= file.size() && back <= furthest; ++back)
      if (u32(file, file.size() - back) == END_RECORD) return file.size() - back;
  throw ArtifactError("not a TorchScript archive, or cut short");
}

struct Directory {
  std::uint64_t offset, n_entries;
};

Directory find_directory(std::string_view file) {
  const std::uint64_t end = find_end_record(file);
  if (end >= LOCATOR_SIZE && u32(file, end - LOCATOR_SIZE) == END_LOCATOR_64) {
    const std::uint64_t end64 = u64(file, end - LOCATOR_SIZE + 8);
    if (u32(file, end64) != END_RECORD_64) throw ArtifactError("the archive's directory is damaged");
    return {u64(file, end64 + 48), u64(file, end64 + 32)};
  }
  return {u32(file, end + 16), u16(file, end + 10)};
}

struct Entry {
  std::string_view name;
  std::uint16_t method;
  std::uint32_t crc;
  std::uint64_t stored_size, size, local_header;
};

// Replaces the sizes and the offset that the 32-bit record cannot hold, in the order that the specification
// gives.
void read_zip64(Entry& entry, std::string_view extra) {
  for (std::uint64_t at = 0; at + 4 <= extra.size(); at += 4 + u16(extra, at + 2)) {
    if (u16(extra, at) != 0x0001) continue;
    std::uint64_t field = at + 4;
    for (std::uint64_t* number : {&entry.size, &entry.stored_size, &entry.local_header})
      if (*number == IN_EXTRA_FIELD) {
        *number = u64(extra, field);
        field += 8;
      }
  }
}

std::string_view contents(std::string_view file, const Entry& entry) {
  if (entry.method != 0 || entry.stored_size != entry.size)
    throw ArtifactError("a part of the archive is compressed");
  if (u32(file, entry.local_header) != LOCAL_HEADER)
    throw ArtifactError("the archive's directory is damaged");
  const std::uint64_t names = u16(file, entry.local_header + 26) + u16(file, entry.local_header + 28);
  const std::string_view bytes = slice(file, entry.local_header + LOCAL_SIZE + names, entry.size);
  if (crc32(bytes) != entry.crc)
    throw ArtifactError("its part " + std::string(entry.name) + " fails the checksum");
  return bytes;
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw ArtifactError(std::string("it cannot be opened (") + std::strerror(errno) + ")");
  try {
    std::string bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    if (!stream.bad()) return bytes;
  } catch (const std::ios_base::failure&) {  // a folder, for example
  }
  throw ArtifactError("it cannot be read");
}

std::optional<std::string_view> find_entry(std::string_view file, std::string_view suffix) {
  const Directory directory = find_directory(file);
  std::uint64_t at = directory.offset;
  for (std::uint64_t k = 0; k < directory.n_entries; ++k) {
    if (u32(file, at) != CENTRAL_HEADER) throw ArtifactError("the archive's directory is damaged");
    const std::uint64_t name = u16(file, at + 28), extra = u16(file, at + 30), comment = u16(file, at + 32);
    Entry entry{slice(file, at + CENTRAL_SIZE, name),
                u16(file, at + 10),
                u32(file, at + 16),
                u32(file, at + 20),
                u32(file, at + 24),
                u32(file, at + 42)};
    if (ends_with(entry.name, suffix)) {
      read_zip64(entry, slice(file, at + CENTRAL_SIZE + name, extra));
      return contents(file, entry);
    }
    at += CENTRAL_SIZE + name + extra + comment;
  }
  return std::nullopt;
}

}  // namespace mlffd
