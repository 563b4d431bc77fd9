#include "graph.h"

#include "quartics.h"

namespace mlffd {

PairGraph::PairGraph(const Model& model)
    : cutoff2_(model.student.cutoff * model.student.cutoff),
      intervals_per_length_(model.n_intervals / (model.student.cutoff - TABLE_START)),
      last_interval_(model.n_intervals - 1), repulsion_(model.student.repulsion) {}

void PairGraph::fill(Pair& pair, std::int32_t j, double x, double y, double z, double r) const {
  const double s = (r - TABLE_START) * intervals_per_length_;
  pair.atom = j;
  pair.interval = std::min(static_cast<std::int32_t>(s), last_interval_);
  pair.r = static_cast<float>(r);
  pair.u[0] = static_cast<float>(x / r);
  pair.u[1] = static_cast<float>(y / r);
  pair.u[2] = static_cast<float>(z / r);
  pair.t = static_cast<float>(s - pair.interval);
}

BadPair PairGraph::bad_pair() const {
  BadPair worst;
  for (const BadPair& bad : bad_pairs_) worst.consider(bad);
  return worst;
}

}  // namespace mlffd
