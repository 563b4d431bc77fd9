// Failures that the calling program is told about: a status of mlffd.h and one sentence.
#pragma once

#include <stdexcept>
#include <string>

#include "mlffd.h"

namespace mlffd {

class Error : public std::runtime_error {
 public:
  Error(mlffd_status status, const std::string& sentence) : std::runtime_error(sentence), status(status) {}
  const mlffd_status status;
};

struct StructureError : Error {
  explicit StructureError(const std::string& sentence) : Error(MLFFD_STRUCTURE_ERROR, sentence) {}
};

struct ArtifactError : Error {
  explicit ArtifactError(const std::string& sentence) : Error(MLFFD_ARTIFACT_ERROR, sentence) {}
};

struct ArgumentError : Error {
  explicit ArgumentError(const std::string& sentence) : Error(MLFFD_ARGUMENT_ERROR, sentence) {}
};

struct ExchangeError : Error {
  explicit ExchangeError(const std::string& sentence) : Error(MLFFD_EXCHANGE_ERROR, sentence) {}
};

// What the calling program must see to.
inline void require(bool condition, const char* sentence) {
  if (!condition) throw ArgumentError(sentence);
}

}  // namespace mlffd
