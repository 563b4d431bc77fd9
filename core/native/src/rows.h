// The rows that domains exchange in the middle of a step: [part][feature] of an atom, without padding, so that processes with
// different vector widths understand each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "mlffd.h"

struct mlffd_rows {
  virtual ~mlffd_rows() = default;
  virtual void get(std::int64_t row, float* values) const = 0;
  virtual void set(std::int64_t row, const float* values) = 0;

  const std::int64_t n_rows;
  const int width;

 protected:
  mlffd_rows(std::int64_t rows, int floats) : n_rows(rows), width(floats) {}
};

namespace mlffd {

// Those of a node array, [chunk][atom][part][lane], copied without a buffer in between: it would not fit into the cache.
template <int W>
class NodeRows final : public mlffd_rows {
 public:
  NodeRows(float* array, std::size_t chunk_stride, int n_all, int n_parts, int n_features)
      : mlffd_rows(n_all, n_parts * n_features), array_(array), chunk_stride_(chunk_stride),
        n_parts_(static_cast<std::size_t>(n_parts)), n_features_(static_cast<std::size_t>(n_features)) {}

  void get(std::int64_t row, float* values) const override {
    each_piece(row, [&](std::size_t place, const float* node, auto n) {
      std::memcpy(values + place, node, n * sizeof(float));
    });
  }
  void set(std::int64_t row, const float* values) override {
    each_piece(row, [&](std::size_t place, float* node, auto n) {
      std::memcpy(node, values + place, n * sizeof(float));
    });
  }

 private:
  // copy(place in the row, node, n) for each register; of whole ones the compiler knows the n.
  template <typename Copy>
  void each_piece(std::int64_t row, const Copy& copy) const {
    float* chunk = array_ + static_cast<std::size_t>(row) * n_parts_ * W;
    for (std::size_t feature = 0; feature < n_features_; feature += W, chunk += chunk_stride_)
      for (std::size_t part = 0; part < n_parts_; ++part) {
        const std::size_t place = part * n_features_ + feature;
        if (feature + W <= n_features_)
          copy(place, chunk + part * W, std::integral_constant<std::size_t, W>{});
        else
          copy(place, chunk + part * W, n_features_ - feature);
      }
  }

  float* array_;
  std::size_t chunk_stride_, n_parts_, n_features_;
};

// Those of a domain that has nothing to say.
class ZeroRows final : public mlffd_rows {
 public:
  ZeroRows(std::int64_t n_rows, int width) : mlffd_rows(n_rows, width) {}
  void get(std::int64_t, float* values) const override { std::memset(values, 0, width * sizeof(float)); }
  void set(std::int64_t, const float*) override {}
};

}  // namespace mlffd
