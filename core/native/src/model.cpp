#include "model.h"

#include "elements.h"
#include "quartics.h"

namespace mlffd {
namespace {

int chunks(std::size_t n, int width) { return static_cast<int>((n + width - 1) / width); }

// [chunk][row][part][width] of a table (rows, parts × F).
Buffer<float> chunked_table(const std::vector<double>& table, std::size_t n_rows, std::size_t parts,
                            std::size_t F, int width) {
  const auto w = static_cast<std::size_t>(width);
  Buffer<float> out(static_cast<std::size_t>(chunks(F, width)) * n_rows * parts * w);
  for (std::size_t row = 0; row < n_rows; ++row)
    for (std::size_t part = 0; part < parts; ++part)
      for (std::size_t f = 0; f < F; ++f)
        out[((f / w * n_rows + row) * parts + part) * w + f % w] =
            static_cast<float>(table[(row * parts + part) * F + f]);
  return out;
}

// A table of `filters` × F channels for the kernels.
FilterTable filter_table(const Quartics& quartics, std::size_t filters, int width) {
  const auto n_intervals = static_cast<std::size_t>(quartics.n_intervals);
  const std::size_t parts = N_COEFFICIENTS * filters, F = quartics.n_channels / filters;
  return {chunked_table(quartics.coefficients, n_intervals, parts, F, width),
          n_intervals * parts * static_cast<std::size_t>(width)};
}

std::vector<Filter> filters_of(const Student& student) {
  std::vector<Filter> filters{{student.initial_filter, student.message_scale, student.cutoff}};
  for (const MessageWeights& message : student.messages)
    filters.emplace_back(message.filter, student.message_scale, student.cutoff);
  return filters;
}

}  // namespace

// Pads and packs the weights of linear layers. A layer's inputs and outputs are blocks of equal size (s and
// |Vv|; a_ss, a_sv and a_vv), each of which is padded to whole vectors; padded features have zero weights and
// so add nothing.
class Model::Packer {
 public:
  explicit Packer(Model& model) : model_(model), width_(static_cast<std::size_t>(model.kernels.width)) {}

  PhiLayer phi(const Perceptron& phi) {
    const Linear &hidden = phi.hidden, &out = phi.out;
    return {forward(hidden, 1, 0, 1),    forward(out, 1, 0, 3),       transposed(hidden, 1, 0, 1, 0),
            transposed(out, 1, 0, 3, 0), transposed(out, 1, 0, 3, 1), transposed(out, 1, 0, 3, 2),
            vector(hidden.bias, 1),      vector(out.bias, 3)};
  }

  // n_out is 3, or 2 for the final update, which has no a_vv.
  UpdateLayer update(const UpdateWeights& update, std::size_t n_out) {
    const Linear &mix = update.mix, &hidden = update.a.hidden, &out = update.a.out;
    return {forward(mix, 1, 0, 2),           forward(hidden, 2, 0, 1),
            forward(hidden, 2, 1, 1),        forward(out, 1, 0, n_out),
            transposed_blocks(mix, 2),       transposed(hidden, 2, 0, 1, 0),
            transposed(hidden, 2, 1, 1, 0),  transposed(out, 1, 0, n_out, 0),
            transposed(out, 1, 0, n_out, 1), n_out == 3 ? transposed(out, 1, 0, n_out, 2) : Matrix{},
            vector(hidden.bias, 1),          vector(out.bias, n_out)};
  }

  ReadoutLayer readout(const Perceptron& readout, double scale) {
    return {forward(readout.hidden, 1, 0, 1),        transposed(readout.hidden, 1, 0, 1, 0),
            vector(readout.hidden.bias, 1),          vector(readout.out.weight, 1),
            static_cast<float>(readout.out.bias[0]), static_cast<float>(scale)};
  }

 private:
  // Input block `in` of n_in blocks, all output blocks.
  Matrix forward(const Linear& layer, std::size_t n_in, std::size_t in, std::size_t n_out) {
    const std::size_t in_size = layer.n_in / n_in, out_size = layer.n_out / n_out;
    return pack(in_size, n_out, out_size, [&](std::size_t f, std::size_t block, std::size_t o) {
      return weight(layer, block * out_size + o, in * in_size + f);
    });
  }

  // The transpose of input block `in` of n_in and output block `out` of n_out.
  Matrix transposed(const Linear& layer, std::size_t n_in, std::size_t in, std::size_t n_out,
                    std::size_t out) {
    const std::size_t in_size = layer.n_in / n_in, out_size = layer.n_out / n_out;
    return pack(out_size, 1, in_size, [&](std::size_t o, std::size_t, std::size_t f) {
      return weight(layer, out * out_size + o, in * in_size + f);
    });
  }

  // The transpose of a layer with all its output blocks, each padded, as its input.
  Matrix transposed_blocks(const Linear& layer, std::size_t n_out) {
    const std::size_t out_size = layer.n_out / n_out, padded = round_up(out_size);
    return pack(n_out * padded, 1, layer.n_in, [&](std::size_t row, std::size_t, std::size_t f) {
      const std::size_t block = row / padded, o = row % padded;
      return o < out_size ? weight(layer, block * out_size + o, f) : 0.0;
    });
  }

  const float* vector(const std::vector<double>& values, std::size_t n_blocks) {
    const std::size_t size = values.size() / n_blocks, padded = round_up(size);
    float* const out = allocate(n_blocks * padded);
    for (std::size_t block = 0; block < n_blocks; ++block)
      for (std::size_t k = 0; k < size; ++k)
        out[block * padded + k] = static_cast<float>(values[block * size + k]);
    return out;
  }

  static double weight(const Linear& layer, std::size_t out, std::size_t in) {
    return layer.weight[out * layer.n_in + in];
  }

  std::size_t round_up(std::size_t n) const { return (n + width_ - 1) / width_ * width_; }

  float* allocate(std::size_t n) {
    model_.memory_.emplace_back(n);
    return model_.memory_.back().data();
  }

  // entry(input, output block, output within the block), packed as kernels/gemm.h reads it.
  template <typename Entry>
  Matrix pack(std::size_t n_in, std::size_t n_blocks, std::size_t block_size, const Entry& entry) {
    const std::size_t padded = round_up(block_size);
    const Matrix matrix{nullptr, chunks(n_in, model_.kernels.width),
                        static_cast<int>(n_blocks * padded / width_)};
    float* const panels = allocate(round_up(n_in) * n_blocks * padded);
    float* at = panels;
    for (int chunk = 0; chunk < matrix.out_chunks;) {
      const int n = panel_chunks(matrix.out_chunks - chunk, model_.kernels.panel);
      for (std::size_t in = 0; in < round_up(n_in); ++in)
        for (std::size_t column = chunk * width_; column < (chunk + n) * width_; ++column, ++at)
          if (in < n_in && column % padded < block_size)
            *at = static_cast<float>(entry(in, column / padded, column % padded));
      chunk += n;
    }
    return {panels, matrix.in_chunks, matrix.out_chunks};
  }

  Model& model_;
  const std::size_t width_;
};

int needed_intervals(const Student& student) { return choose_intervals(filters_of(student)); }

Model::Model(Student weights, const Kernels& kernels, int n_intervals)
    : student(std::move(weights)), kernels(kernels),
      n_chunks(chunks(static_cast<std::size_t>(student.n_features), kernels.width)),
      n_intervals(n_intervals) {
  const auto F = static_cast<std::size_t>(student.n_features);
  const std::size_t S = student.elements.size();
  species_by_number_.assign(static_cast<std::size_t>(student.elements.back()) + 1, -1);
  for (std::size_t s = 0; s < S; ++s)
    species_by_number_[static_cast<std::size_t>(student.elements[s])] = static_cast<int>(s);
  embedding = chunked_table(student.embedding, S, 1, F, kernels.width);
  initial_phi = chunked_table(student.initial_phi, S, 2, F, kernels.width);
  tabulate_filters();

  Packer packer(*this);
  for (const MessageWeights& message : student.messages) phis.push_back(packer.phi(message.phi));
  for (const UpdateWeights& update : student.updates) updates.push_back(packer.update(update, 3));
  final_update = packer.update(student.final_update, 2);
  readout = packer.readout(student.readout, student.energy_scale);
}

void Model::tabulate_filters() {
  const std::vector<Filter> filters = filters_of(student);
  initial_table = filter_table(tabulate(filters[0], n_intervals), INITIAL_FILTERS, kernels.width);
  for (std::size_t l = 1; l < filters.size(); ++l)
    tables.push_back(filter_table(tabulate(filters[l], n_intervals), MESSAGE_FILTERS, kernels.width));
}

int Model::species_of(std::int32_t atomic_number) const {
  if (atomic_number < 0 || static_cast<std::size_t>(atomic_number) >= species_by_number_.size()) return -1;
  return species_by_number_[static_cast<std::size_t>(atomic_number)];
}

std::string Model::known_elements() const {
  std::string names;
  for (const int element : student.elements) {
    if (!names.empty()) names += " ";
    names += element_symbol(element);
  }
  return names;
}

}  // namespace mlffd
