#include "guard.h"

namespace mlffd {

std::string& last_error() noexcept {
  thread_local std::string sentence;
  return sentence;
}

void remember(const char* sentence, const char* after) noexcept {
  try {
    last_error() = sentence;
    last_error() += after;
  } catch (...) {
    last_error() = "out of memory";  // short enough to need none
  }
}

}  // namespace mlffd
