#include "sums.h"

#include "pair_gradient.h"

#include <algorithm>

namespace mlffd {
namespace {

// virial -= weight · r ⊗ dE/dr
void add_virial(double* virial, const Pair& pair, const std::array<double, 3>& gradient, double weight) {
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b)
      virial[3 * a + b] -=
          weight * static_cast<double>(pair.r) * static_cast<double>(pair.u[a]) * gradient[b];
}

}  // namespace

void Sums::prepare(const PairGraph& graph, int n_own) {
  energies_.reserve(static_cast<std::size_t>(n_own));
  forces_.reserve(static_cast<std::size_t>(n_own));
  gradients_.reserve(graph.n_pairs());
  block_virials_.resize(static_cast<std::size_t>(graph.n_blocks()));
  not_finite_ = -1;
}

void Sums::write(ThreadPool& pool, const Model& model, const PairGraph& graph, const Network& network,
                 int n_own, const std::int32_t* species, const std::int32_t* order,
                 const mlffd_results& results) {
  const auto index = [order](int atom) { return static_cast<std::size_t>(order ? order[atom] : atom); };
  sum_energies(model, graph, network, n_own, species);
  for (int i = 0; i < n_own; ++i) look_at(energies_[i], index(i));
  if (results.energy) {
    *results.energy = 0.0;
    for (int i = 0; i < n_own; ++i) *results.energy += energies_[i];
  }
  if (results.atomic_energies)
    for (int i = 0; i < n_own; ++i) results.atomic_energies[index(i)] = energies_[i];
  if (!results.forces && !results.virial && !results.atomic_virials) return;
  differentiate(pool, graph, network);
  if (results.forces) {
    sum_forces(graph, n_own);
    for (int i = 0; i < n_own; ++i) {
      look_at(forces_[i][0] + forces_[i][1] + forces_[i][2], index(i));
      std::copy_n(forces_[i].data(), 3, results.forces + 3 * index(i));
    }
  }
  if (results.virial) sum_virial(pool, graph, results.virial);
  if (results.atomic_virials) sum_atomic_virials(graph, n_own, order, results.atomic_virials);
}

void Sums::sum_energies(const Model& model, const PairGraph& graph, const Network& network, int n_own,
                        const std::int32_t* species) {
  for (int i = 0; i < n_own; ++i)
    energies_[i] = model.student.reference_energies[static_cast<std::size_t>(species[i])] +
                   static_cast<double>(network.energy(i));
  for (int block = 0; block < graph.n_blocks(); ++block)
    for (const RepulsionTerm& term : graph.repulsion(block)) {
      const int j = graph.pairs()[term.pair].atom;
      energies_[term.center] += 0.5 * term.value.energy;
      if (j < n_own) energies_[j] += 0.5 * term.value.energy;
    }
}

// The network's derivatives along r are those with respect to the position in an interval of the tables.
void Sums::differentiate(ThreadPool& pool, const PairGraph& graph, const Network& network) {
  pool.run(graph.n_blocks(), [&](int block, int) {
    const int first = block * CENTER_BLOCK, last = graph.block_end(block);
    for (auto p = graph.centers()[first].begin; p < graph.centers()[last - 1].end; ++p) {
      const Pair& pair = graph.pairs()[p];
      double g[4];  // dE/dt, dE/du
      network.pair_gradient(static_cast<std::size_t>(p), g);
      gradients_[p] =
          pair_gradient(g[0] * graph.intervals_per_length(), g + 1, pair.u, static_cast<double>(pair.r));
    }
    for (const RepulsionTerm& term : graph.repulsion(block))
      for (std::size_t d = 0; d < 3; ++d)
        gradients_[term.pair][d] += term.value.slope * graph.pairs()[term.pair].u[d];
  });
}

void Sums::sum_forces(const PairGraph& graph, int n_own) {
  std::fill_n(forces_.data(), n_own, Vector{});
  for (int i = 0; i < graph.n_centers(); ++i) {
    const Center& center = graph.centers()[i];
    Vector own{};
    for (auto p = center.begin; p < center.end; ++p)
      for (std::size_t d = 0; d < 3; ++d) own[d] += gradients_[p][d];
    for (auto p = center.begin; p < center.ghosts; ++p)
      for (std::size_t d = 0; d < 3; ++d) forces_[graph.pairs()[p].atom][d] -= gradients_[p][d];
    for (std::size_t d = 0; d < 3; ++d) forces_[i][d] += own[d];
  }
}

void Sums::sum_virial(ThreadPool& pool, const PairGraph& graph, double* virial) {
  pool.run(graph.n_blocks(), [&](int block, int) {
    Matrix sum{};
    for (int i = block * CENTER_BLOCK; i < graph.block_end(block); ++i) {
      const Center& center = graph.centers()[i];
      for (auto p = center.begin; p < center.end; ++p)
        add_virial(sum.data(), graph.pairs()[p], gradients_[p], p < center.ghosts ? 1.0 : 0.5);
    }
    block_virials_[static_cast<std::size_t>(block)] = sum;
  });
  std::fill_n(virial, 9, 0.0);
  for (const Matrix& part : block_virials_)
    for (std::size_t k = 0; k < 9; ++k) virial[k] += part[k];
}

void Sums::sum_atomic_virials(const PairGraph& graph, int n_own, const std::int32_t* order,
                              double* virials) const {
  const auto of_atom = [&](int atom) {
    return virials + 9 * static_cast<std::size_t>(order ? order[atom] : atom);
  };
  std::fill_n(virials, 9 * static_cast<std::size_t>(n_own), 0.0);
  for (int i = 0; i < graph.n_centers(); ++i) {
    const Center& center = graph.centers()[i];
    for (auto p = center.begin; p < center.end; ++p) {
      const Pair& pair = graph.pairs()[p];
      add_virial(of_atom(i), pair, gradients_[p], 0.5);
      if (p < center.ghosts) add_virial(of_atom(pair.atom), pair, gradients_[p], 0.5);
    }
  }
}

}  // namespace mlffd
