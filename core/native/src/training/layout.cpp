#include "layout.h"

namespace mlffd::training {
namespace {

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

Layout::Layout(const Sizes& sizes, int vector_width, int tile_rows)
    : width(round_up(sizes.n_features, vector_width)), n_basis(sizes.n_rbf + 1),
      n_rows_of_filter(round_up(n_basis, tile_rows)), initial{}, final_update{}, readout{},
      F_(static_cast<std::size_t>(sizes.n_features)), R_(static_cast<std::size_t>(sizes.n_rbf)),
      S_(static_cast<std::size_t>(sizes.n_species)) {
  std::size_t tensor = 0;  // in the order in which PaiNN declares them
  initial.embedding = table(tensor++, S_, 0, F_);
  for (std::size_t part = 0; part < 2; ++part) initial.phi[part] = table(tensor, S_, part * F_, 2 * F_);
  ++tensor;
  for (std::size_t part = 0; part < 2; ++part) initial.filter[part] = filter(tensor, part);
  tensor += 2;
  const int n_layers = sizes.n_message_passes - 1;
  for (int l = 0; l < n_layers; ++l) updates.push_back(update(tensor, false));
  for (int l = 0; l < n_layers; ++l) {
    MessageBlocks blocks{};
    blocks.phi.hidden = square(tensor, F_, F_, 0, F_);
    blocks.phi.hidden_bias = vector(tensor + 1, F_, 0);
    for (std::size_t part = 0; part < 3; ++part) {
      blocks.phi.out[part] = square(tensor + 2, F_, F_, part * F_ * F_, F_);
      blocks.phi.out_bias[part] = vector(tensor + 3, F_, part * F_);
      blocks.filter[part] = filter(tensor + 4, part);
    }
    tensor += 6;
    messages.push_back(blocks);
  }
  final_update = update(tensor, true);
  readout.hidden = square(tensor, F_ / 2, F_, 0, F_);
  readout.hidden_bias = vector(tensor + 1, F_ / 2, 0);
  readout.weight = vector(tensor + 2, F_ / 2, 0);
  readout.bias = vector(tensor + 3, 1, 0);
  n_tensors_ = tensor + 4;
}

std::size_t Layout::add(std::size_t rows, Slice slice) {
  slice.block = n_floats_;
  n_floats_ += rows * static_cast<std::size_t>(width);
  slices_.push_back(slice);
  return slice.block;
}

// Of a weight (outputs, inputs) of torch.nn.Linear: n_out × n_in of it, beginning with element `first`.
std::size_t Layout::square(std::size_t tensor, std::size_t n_out, std::size_t n_in, std::size_t first,
                           std::size_t n_in_of_tensor) {
  return add(static_cast<std::size_t>(width), {0, tensor, first, n_in, n_out, 1, n_in_of_tensor, true});
}

std::size_t Layout::vector(std::size_t tensor, std::size_t n, std::size_t first) {
  return add(1, {0, tensor, first, 1, n, n, 1, false});
}

std::size_t Layout::table(std::size_t tensor, std::size_t n_rows, std::size_t first,
                          std::size_t n_columns_of_tensor) {
  return add(n_rows, {0, tensor, first, n_rows, F_, n_columns_of_tensor, 1, false});
}

// The radial functions' weights, and below them the bias.
std::size_t Layout::filter(std::size_t weight, std::size_t part) {
  const std::size_t block =
      add(static_cast<std::size_t>(n_rows_of_filter), {0, weight, part * F_ * R_, R_, F_, 1, R_, false});
  slices_.push_back(
      {block + R_ * static_cast<std::size_t>(width), weight + 1, part * F_, 1, F_, F_, 1, false});
  return block;
}

UpdateBlocks Layout::update(std::size_t& tensor, bool is_final) {
  UpdateBlocks blocks{};
  blocks.U = square(tensor, F_, F_, 0, F_);
  blocks.V = square(tensor, F_, F_, F_ * F_, F_);
  blocks.hidden_s = square(tensor + 1, F_, F_, 0, 2 * F_);
  blocks.hidden_n = square(tensor + 1, F_, F_, F_, 2 * F_);
  blocks.hidden_bias = vector(tensor + 2, F_, 0);
  blocks.ss = square(tensor + 3, F_, F_, 0, F_);
  blocks.sv = square(tensor + 3, F_, F_, F_ * F_, F_);
  blocks.ss_bias = vector(tensor + 4, F_, 0);
  blocks.sv_bias = vector(tensor + 4, F_, F_);
  if (!is_final) {
    blocks.vv = square(tensor + 3, F_, F_, 2 * F_ * F_, F_);
    blocks.vv_bias = vector(tensor + 4, F_, 2 * F_);
  }
  tensor += 5;
  return blocks;
}

void Layout::pack(std::size_t part, const float* const* parameters, float* weights, float* transposed) const {
  const auto P = static_cast<std::size_t>(width);
  const Slice& s = slices_[part];
  const float* const from = parameters[s.tensor] + s.first;
  for (std::size_t row = 0; row < s.n_rows; ++row)
    for (std::size_t column = 0; column < s.n_columns; ++column) {
      const float value = from[row * s.row_stride + column * s.column_stride];
      weights[s.block + row * P + column] = value;
      if (s.is_square) transposed[s.block + column * P + row] = value;
    }
}

void Layout::unpack(std::size_t part, const std::vector<Buffer<float>>& gradients, std::size_t n,
                    float* const* parameters) const {
  const auto P = static_cast<std::size_t>(width);
  const Slice& s = slices_[part];
  float* const to = parameters[s.tensor] + s.first;
  for (std::size_t row = 0; row < s.n_rows; ++row)
    for (std::size_t column = 0; column < s.n_columns; ++column) {
      float sum = 0.0f;
      for (std::size_t k = 0; k < n; ++k) sum += gradients[k][s.block + row * P + column];
      to[row * s.row_stride + column * s.column_stride] = sum;
    }
}

}  // namespace mlffd::training
