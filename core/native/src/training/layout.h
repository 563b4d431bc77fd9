// The way of the parameters from torch's tensors into blocks, and of their gradients back.
#pragma once

#include <vector>

#include "../buffer.h"
#include "blocks.h"
#include "sizes.h"

namespace mlffd::training {

class Layout {
 public:
  // Rows of filter blocks are rounded up to whole tiles of the kernels, and features to whole vectors.
  Layout(const Sizes& sizes, int vector_width, int tile_rows);

  // The k-th part of the parameters of PaiNN (model/painn.py) in the order of `parameters()`, contiguous tensors of float32,
  // into its block.
  void pack(std::size_t part, const float* const* parameters, float* weights, float* transposed) const;

  // The sum over the first n of `gradients`, each in blocks, of the k-th part into torch's tensors.
  void unpack(std::size_t part, const std::vector<Buffer<float>>& gradients, std::size_t n,
              float* const* parameters) const;

  std::size_t n_parts() const { return slices_.size(); }
  std::size_t n_floats() const { return n_floats_; }  // of all blocks
  std::size_t n_tensors() const { return n_tensors_; }

  const int width, n_basis, n_rows_of_filter;
  InitialBlocks initial;
  std::vector<UpdateBlocks> updates;
  std::vector<MessageBlocks> messages;
  UpdateBlocks final_update;
  ReadoutBlocks readout;

 private:
  // Element (row, column) of a block is element first + row · row_stride + column · column_stride of a tensor.
  struct Slice {
    std::size_t block, tensor, first, n_rows, n_columns, row_stride, column_stride;
    bool is_square;  // its transpose is wanted too
  };

  std::size_t add(std::size_t rows, Slice slice);
  std::size_t square(std::size_t tensor, std::size_t n_out, std::size_t n_in, std::size_t first,
                     std::size_t n_in_of_tensor);
  std::size_t vector(std::size_t tensor, std::size_t n, std::size_t first);
  std::size_t table(std::size_t tensor, std::size_t n_rows, std::size_t first,
                    std::size_t n_columns_of_tensor);
  std::size_t filter(std::size_t weight, std::size_t part);
  UpdateBlocks update(std::size_t& tensor, bool is_final);

  const std::size_t F_, R_, S_;
  std::size_t n_floats_ = 0, n_tensors_ = 0;
  std::vector<Slice> slices_;
};

}  // namespace mlffd::training
