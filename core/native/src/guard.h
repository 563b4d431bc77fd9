// What every function of a C interface does: exceptions become status codes, and their sentence the last error of the thread.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "error.h"

namespace mlffd {

std::string& last_error() noexcept;  // of the calling thread
void remember(const char* sentence, const char* after = "") noexcept;

template <typename Act>
int guarded(const Act& act) noexcept {
  try {
    last_error().clear();
    act();
    return MLFFD_OK;
  } catch (const Error& error) {
    remember(error.what());
    return error.status;
  } catch (const std::bad_alloc&) {
    remember("out of memory");
  } catch (const std::exception& error) {
    remember("unexpected failure: ", error.what());
  } catch (...) {
    remember("an exception that is none of this library's");
  }
  return MLFFD_INTERNAL_ERROR;
}

}  // namespace mlffd
