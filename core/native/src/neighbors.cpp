#include "neighbors.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "error.h"

namespace mlffd {
namespace {

constexpr double SLACK = 1e-9;  // Å added to the range: rounding must not lose a pair on the border of a bin
constexpr double BINS_PER_RANGE = 2;  // finer bins visit less space in vain; more of them cost more to visit
constexpr double MAX_BINS_PER_ATOM = 4;
constexpr double MAX_OFFSETS = 1e7;

// Bins along each axis of the lattice.
struct Bins {
  Vector low, width;                // fractional
  std::array<int, 3> count, reach;  // reach: how many bins the range extends to

  int of(const Vector& fractional, int axis) const {
    const auto a = static_cast<std::size_t>(axis);
    return std::clamp(static_cast<int>((fractional[a] - low[a]) / width[a]), 0, count[a] - 1);
  }
  std::size_t index(int a, int b, int c) const {
    return (static_cast<std::size_t>(a) * static_cast<std::size_t>(count[1]) + static_cast<std::size_t>(b)) *
               static_cast<std::size_t>(count[2]) +
           static_cast<std::size_t>(c);
  }
  std::size_t total() const { return index(count[0] - 1, count[1] - 1, count[2] - 1) + 1; }
};

Bins choose_bins(const Lattice& lattice, const std::vector<Vector>& fractional, double range) {
  Bins bins{};
  Vector length{};  // Å
  double total = 1.0;
  for (int axis = 0; axis < 3; ++axis) {
    const auto a = static_cast<std::size_t>(axis);
    double low = 0.0, high = 1.0;
    if (!lattice.periodic(axis) && !fractional.empty()) {
      const auto less = [a](const Vector& x, const Vector& y) { return x[a] < y[a]; };
      const auto [min, max] = std::minmax_element(fractional.begin(), fractional.end(), less);
      low = (*min)[a], high = std::max((*max)[a], low + 1e-3);
    }
    bins.low[a] = low, bins.width[a] = high - low;
    length[a] = (high - low) * lattice.height(axis);
    total *= std::max(1.0, BINS_PER_RANGE * length[a] / range);
  }
  // a few atoms far apart must not ask for a universe of empty bins
  const double coarsen =
      std::max(1.0, std::cbrt(total / (MAX_BINS_PER_ATOM * static_cast<double>(fractional.size()) + 64.0)));
  for (std::size_t a = 0; a < 3; ++a) {
    const double wanted = BINS_PER_RANGE * length[a] / range / coarsen;
    bins.count[a] = std::max(1, static_cast<int>(std::min(wanted, 1e6)));
    bins.width[a] /= bins.count[a];
    bins.reach[a] = static_cast<int>(std::min(std::ceil(range * bins.count[a] / length[a]), 1e6));
    if (!lattice.periodic(static_cast<int>(a))) bins.reach[a] = std::min(bins.reach[a], bins.count[a] - 1);
  }
  return bins;
}

// Where an offset from a bin leads along one axis: a bin of the cell, and the image that it belongs to.
struct Step {
  int bin, image;
  bool exists;
};

Step step(int bin, int count, bool periodic) {
  if (bin >= 0 && bin < count) return {bin, 0, true};
  if (!periodic) return {0, 0, false};
  const int image = static_cast<int>(std::floor(static_cast<double>(bin) / count));
  return {bin - image * count, image, true};
}

class Search {
 public:
  Search(NeighborList& list, const Lattice& lattice, double range)
      : list_(list), lattice_(lattice), range_(range + SLACK) {}

  void run(std::int64_t n, const double* positions) {
    sort_atoms(static_cast<std::size_t>(n), positions);
    list_.images.clear();
    list_.first.assign(1, 0);
    list_.neighbors.clear();
    list_offsets();
    for (int a = 0; a < bins_.count[0]; ++a)
      for (int b = 0; b < bins_.count[1]; ++b)
        for (int c = 0; c < bins_.count[2]; ++c) visit_bin(a, b, c);
  }

 private:
  void sort_atoms(std::size_t n, const double* positions) {
    std::vector<Vector> fractional(n);
    std::vector<Vector> wrap(n);
    for (std::size_t i = 0; i < n; ++i) {
      fractional[i] = lattice_.fractional(positions + 3 * i);
      Vector cells{};
      for (std::size_t a = 0; a < 3; ++a) {
        if (lattice_.periodic(static_cast<int>(a))) cells[a] = -std::floor(fractional[i][a]);
        fractional[i][a] += cells[a];
      }
      wrap[i] = lattice_.translation(cells[0], cells[1], cells[2]);
    }
    bins_ = choose_bins(lattice_, fractional, range_);
    bin_first_.assign(bins_.total() + 1, 0);
    std::vector<std::size_t> bin(n);
    for (std::size_t i = 0; i < n; ++i) {
      bin[i] =
          bins_.index(bins_.of(fractional[i], 0), bins_.of(fractional[i], 1), bins_.of(fractional[i], 2));
      ++bin_first_[bin[i] + 1];
    }
    for (std::size_t k = 0; k + 1 < bin_first_.size(); ++k) bin_first_[k + 1] += bin_first_[k];
    std::vector<std::int32_t> next(bin_first_.begin(), bin_first_.end() - 1);
    list_.order.resize(n);
    list_.wrap.resize(n);
    x_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(next[bin[i]]++);
      list_.order[k] = static_cast<std::int32_t>(i);
      list_.wrap[k] = wrap[i];
      for (std::size_t d = 0; d < 3; ++d) x_[k][d] = positions[3 * i + d] + wrap[i][d];
    }
  }

  // Half of the offsets from a bin to those in range: of two opposite ones the lexicographically positive
  // one.
  void list_offsets() {
    double count = 1.0;
    for (const int reach : bins_.reach) count *= 2.0 * reach + 1.0;
    if (count > MAX_OFFSETS)
      throw StructureError(
          "the cell is so small or so skewed that it has too many images within the cutoff; "
          "give a larger cell, or an equivalent one with vectors at larger angles");
    offsets_.clear();
    for (int a = 0; a <= bins_.reach[0]; ++a)
      for (int b = a ? -bins_.reach[1] : 0; b <= bins_.reach[1]; ++b)
        for (int c = a || b ? -bins_.reach[2] : 1; c <= bins_.reach[2]; ++c) offsets_.push_back({a, b, c});
  }

  void visit_bin(int a, int b, int c) {
    const std::size_t own = bins_.index(a, b, c);
    if (bin_first_[own] == bin_first_[own + 1]) return;
    targets_.clear();
    for (const std::array<int, 3>& offset : offsets_) {
      const Step x = step(a + offset[0], bins_.count[0], lattice_.periodic(0));
      const Step y = step(b + offset[1], bins_.count[1], lattice_.periodic(1));
      const Step z = step(c + offset[2], bins_.count[2], lattice_.periodic(2));
      if (!x.exists || !y.exists || !z.exists) continue;
      const std::size_t bin = bins_.index(x.bin, y.bin, z.bin);
      if (bin_first_[bin] < bin_first_[bin + 1])
        targets_.push_back({bin_first_[bin], bin_first_[bin + 1], image(x.image, y.image, z.image)});
    }
    const std::int32_t home = image(0, 0, 0);
    for (std::int32_t i = bin_first_[own]; i < bin_first_[own + 1]; ++i) {
      collect(i, i + 1, bin_first_[own + 1], home);
      for (const Target& target : targets_) collect(i, target.first, target.last, target.image);
      list_.first.push_back(static_cast<std::int64_t>(list_.neighbors.size()));
    }
  }

  void collect(std::int32_t i, std::int32_t first, std::int32_t last, std::int32_t image) {
    const Vector& xi = x_[static_cast<std::size_t>(i)];
    const Vector& shift = list_.images[static_cast<std::size_t>(image)];
    const double x0 = xi[0] - shift[0], y0 = xi[1] - shift[1], z0 = xi[2] - shift[2];
    for (std::int32_t j = first; j < last; ++j) {
      const Vector& xj = x_[static_cast<std::size_t>(j)];
      const double x = xj[0] - x0, y = xj[1] - y0, z = xj[2] - z0;
      if (x * x + y * y + z * z < range_ * range_) list_.neighbors.push_back({j, image});
    }
  }

  std::int32_t image(int a, int b, int c) {
    const auto [at, is_new] =
        image_index_.try_emplace({a, b, c}, static_cast<std::int32_t>(list_.images.size()));
    if (is_new) list_.images.push_back(lattice_.translation(a, b, c));
    return at->second;
  }

  struct Target {
    std::int32_t first, last, image;
  };

  NeighborList& list_;
  const Lattice& lattice_;
  const double range_;
  Bins bins_{};
  std::vector<std::int32_t> bin_first_;  // (bins + 1)
  std::vector<Vector> x_;                // wrapped, in sorted order
  std::vector<std::array<int, 3>> offsets_;
  std::vector<Target> targets_;
  std::map<std::array<int, 3>, std::int32_t> image_index_;
};

}  // namespace

void find_neighbors(NeighborList& list, std::int64_t n, const double* positions, const Lattice& lattice,
                    double range) {
  Search(list, lattice, range).run(n, positions);
}

}  // namespace mlffd
