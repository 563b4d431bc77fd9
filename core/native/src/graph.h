// The pairs within the cutoff, as the edge loops want them: geometry, place in the filter tables, and the
// repulsion of close pairs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "buffer.h"
#include "error.h"
#include "model.h"
#include "repulsion.h"
#include "threads.h"

namespace mlffd {

constexpr double MIN_DISTANCE = 0.3;  // Å, as in checks.py
constexpr int CENTER_BLOCK = 64;      // centres that one task prepares

struct RepulsionTerm {
  std::int32_t center, pair;
  PairEnergy value;
};

// Two atoms too close to each other, or a vector that is not finite.
struct BadPair {
  double r2 = std::numeric_limits<double>::infinity();  // NaN counts as closer than anything
  std::int64_t i = -1, j = -1;

  bool found() const { return i >= 0; }
  void consider(const BadPair& other) {
    if (other.found() && !std::isnan(r2) && !(other.r2 >= r2)) *this = other;
  }
};

class PairGraph {
 public:
  explicit PairGraph(const Model& model);

  // Takes the pairs of centres 0 … n_centers - 1 from a source with two functions that call add(j, x, y, z)
  // for the candidates of a centre, with the vector from centre to atom j in float64: source.both(i, add) for
  // pairs that act both ways, and source.ghosts(i, add) for those of which only the centre is ours.
  // Candidates beyond the cutoff are left out.
  template <typename Source>
  void build(ThreadPool& pool, const Source& source, int n_centers, const std::int32_t* species);

  int n_centers() const { return n_centers_; }
  int n_blocks() const { return (n_centers_ + CENTER_BLOCK - 1) / CENTER_BLOCK; }
  int block_end(int block) const { return std::min(n_centers_, (block + 1) * CENTER_BLOCK); }
  std::size_t n_pairs() const { return n_pairs_; }
  double intervals_per_length() const { return intervals_per_length_; }  // of the filter tables, 1/Å
  const Center* centers() const { return centers_.data(); }
  const Pair* pairs() const { return pairs_.data(); }
  const std::vector<RepulsionTerm>& repulsion(int block) const {
    return repulsion_terms_[static_cast<std::size_t>(block)];
  }
  BadPair bad_pair() const;

 private:
  bool within(double r2) const {
    return !(r2 >= cutoff2_);
  }  // NaN passes here, and is found when the pair is made
  void fill(Pair& pair, std::int32_t j, double x, double y, double z, double r) const;

  const double cutoff2_, intervals_per_length_;
  const int last_interval_;
  const Repulsion repulsion_;
  int n_centers_ = 0;
  std::size_t n_pairs_ = 0;
  Buffer<Center> centers_;
  Buffer<Pair> pairs_;
  std::vector<std::size_t> block_pairs_;
  std::vector<std::vector<RepulsionTerm>> repulsion_terms_;  // by block
  std::vector<BadPair> bad_pairs_;                           // by block
};

template <typename Source>
void PairGraph::build(ThreadPool& pool, const Source& source, int n_centers, const std::int32_t* species) {
  n_centers_ = n_centers;
  const auto blocks = static_cast<std::size_t>(n_blocks());
  block_pairs_.assign(blocks + 1, 0);
  if (repulsion_terms_.size() < blocks) repulsion_terms_.resize(blocks);
  bad_pairs_.assign(blocks, BadPair{});
  centers_.reserve(static_cast<std::size_t>(n_centers));

  // Counting first costs little and lets every block write to its own place, whoever computes it.
  pool.run(n_blocks(), [&](int block, int) {
    std::size_t count = 0;
    const auto add = [&](std::int64_t, double x, double y, double z) {
      count += within(x * x + y * y + z * z);
    };
    for (int i = block * CENTER_BLOCK; i < block_end(block); ++i) {
      source.both(i, add);
      source.ghosts(i, add);
    }
    block_pairs_[static_cast<std::size_t>(block) + 1] = count;
  });
  for (std::size_t block = 0; block < blocks; ++block) block_pairs_[block + 1] += block_pairs_[block];
  n_pairs_ = block_pairs_[blocks];
  if (n_pairs_ > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw ArgumentError("there are more than 2^31 pairs of neighbours; divide the system into domains");
  pairs_.reserve(n_pairs_);

  pool.run(n_blocks(), [&](int block, int) {
    std::vector<RepulsionTerm>& terms = repulsion_terms_[static_cast<std::size_t>(block)];
    terms.clear();
    BadPair& bad = bad_pairs_[static_cast<std::size_t>(block)];
    auto p = static_cast<std::int32_t>(block_pairs_[static_cast<std::size_t>(block)]);
    for (int i = block * CENTER_BLOCK; i < block_end(block); ++i) {
      const auto add = [&](std::int64_t j, double x, double y, double z) {
        const double r2 = x * x + y * y + z * z;
        if (!within(r2)) return;
        if (!(r2 >= MIN_DISTANCE * MIN_DISTANCE)) return bad.consider({r2, i, j});
        const double r = std::sqrt(r2);
        fill(pairs_[static_cast<std::size_t>(p)], static_cast<std::int32_t>(j), x, y, z, r);
        if (r < repulsion_.reach(species[i], species[j]))
          terms.push_back({i, p, repulsion_.at(r, species[i], species[j])});
        ++p;
      };
      Center& center = centers_[static_cast<std::size_t>(i)];
      center.begin = p;
      source.both(i, add);
      center.ghosts = p;
      source.ghosts(i, add);
      center.end = p;
    }
  });
}

}  // namespace mlffd
