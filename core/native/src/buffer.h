// Memory for vectors: aligned to cache lines, zeroed when new, kept from step to step.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace mlffd {

template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);
  static constexpr std::align_val_t ALIGNMENT{64};

 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) { reserve(size); }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { ::operator delete[](data_, ALIGNMENT); }

  // At least `size` elements. Contents are lost where the memory has to grow.
  void reserve(std::size_t size) {
    if (size <= size_) return;
    const std::size_t grown =
        size + size_ / 4;  // so that a slowly growing system does not allocate in every step
    void* const fresh = ::operator new[](grown * sizeof(T), ALIGNMENT);
    std::memset(fresh, 0, grown * sizeof(T));
    ::operator delete[](data_, ALIGNMENT);
    data_ = static_cast<T*>(fresh);
    size_ = grown;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](std::size_t k) { return data_[k]; }
  const T& operator[](std::size_t k) const { return data_[k]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mlffd
