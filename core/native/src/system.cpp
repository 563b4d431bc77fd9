#include "system.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "error.h"
#include "lattice.h"
#include "sources.h"

namespace mlffd {
namespace {

constexpr double FURTHEST = 1e9;  // Å from the origin, where float64 still resolves 1e-7 Å

std::string atom(std::int64_t index) { return "atom " + std::to_string(index); }

void check_images(std::int64_t n_all, const mlffd_neighbor_list& list) {
  if (list.n_images < 0 || list.n_images > MAX_ATOMS - n_all)
    throw ArgumentError("expected a number of images of at least 0 and, with all atoms, below 1.3e8");
  if (list.n_images > 0 && !list.image_of)
    throw ArgumentError("expected the atoms that the images are images of, got a null pointer");
  for (std::int64_t k = 0; k < list.n_images; ++k)
    if (list.image_of[k] < 0 || list.image_of[k] >= n_all)
      throw ArgumentError(atom(n_all + k) + " is said to be an image of " + atom(list.image_of[k]) +
                           ", which is neither an own atom nor a ghost");
}

// The same for (i, j) and (j, i).
std::uint32_t pair_hash(std::int32_t i, std::int32_t j) {
  return (2654435761u * static_cast<std::uint32_t>(i) + 1u) * (2654435761u * static_cast<std::uint32_t>(j) + 1u);
}

// What reads beyond memory, or loses one direction of a pair of own atoms without a word; pairs with ghosts and images have
// their other direction elsewhere. This runs in every step, so its sums are of 32 bits and its comparisons without branches.
void check_list(std::int64_t n_own, std::int64_t n_all, const mlffd_neighbor_list& list) {
  if (n_own > 0 && !(list.n_neighbors && list.neighbors))
    throw ArgumentError("expected a neighbour list, got a null pointer");
  const auto n_sites = static_cast<std::uint32_t>(n_all + list.n_images);
  const auto end = static_cast<std::int32_t>(n_own);
  std::uint32_t balance = 0;  // of the two directions of every pair of own atoms; modulo 2^32
  for (std::int32_t i = 0; i < end; ++i) {
    const std::int32_t count = list.n_neighbors[i];
    const std::int32_t* const neighbors = list.neighbors[i];
    if (count < 0 || (count > 0 && !neighbors))
      throw ArgumentError("expected the neighbours of " + atom(i) + ", got a null pointer or a negative number");
    std::int32_t outside = 0;
    for (std::int32_t k = 0; k < count; ++k) {
      const std::int32_t j = neighbors[k] & list.index_mask;
      outside += static_cast<std::uint32_t>(j) >= n_sites;  // negative ones too
      const std::int32_t direction = (j > i) - (j >= end) - (j < i);
      balance += static_cast<std::uint32_t>(direction) * pair_hash(i, j);
    }
    if (outside)
      throw ArgumentError("a neighbour of " + atom(i) + " is not among the " + std::to_string(n_sites) +
                          " atoms, ghosts and images; see index_mask if the list has flags");
  }
  if (balance != 0)
    throw ArgumentError("expected a full neighbour list, with both directions of every pair of own atoms");
}

void check_positions(std::int64_t n, const double* positions) {
  for (std::int64_t i = 0; i < n; ++i)
    for (int d = 0; d < 3; ++d) {
      const double x = positions[3 * i + d];
      if (!std::isfinite(x))
        throw StructureError("the position of " + atom(i) +
                             " is not finite (NaN or infinite); look for the step that produced it");
      if (std::abs(x) > FURTHEST)
        throw StructureError("the position of " + atom(i) +
                             " is more than 1e9 Å from the origin; look for the step that produced it");
    }
}

[[noreturn]] void refuse_vector(std::int64_t i, std::int64_t j) {
  throw StructureError("the vector from " + atom(i) + " to " + atom(j) +
                       " is not finite; look for the step that produced it");
}

}  // namespace

System::System(std::shared_ptr<const Committee> committee, int n_threads)
    : committee_(std::move(committee)), model_(committee_->first()), pool_(n_threads), graph_(model_) {
  for (std::size_t member = 0; member < committee_->size(); ++member)
    networks_.emplace_back((*committee_)[member]);
}

void System::compute(std::int64_t n, const std::int32_t* atomic_numbers, const double* positions,
                     const double* cell, const std::int32_t* pbc, double skin, const mlffd_results& results) {
  Made asked;
  asked.skin = skin;
  for (std::size_t a = 0; a < 3; ++a)
    if (cell && pbc && pbc[a]) {  // a row that does not matter must not cause a search
      asked.pbc[a] = 1;
      std::copy_n(cell + 3 * a, 3, asked.cell.data() + 3 * a);
    }
  if (!list_serves(asked, n, atomic_numbers, positions))
    search_neighbors(asked, n, atomic_numbers, positions);

  for (std::size_t k = 0; k < static_cast<std::size_t>(n); ++k) {
    const double* const x = positions + 3 * list_.order[k];
    for (std::size_t d = 0; d < 3; ++d) wrapped_[k][d] = x[d] + list_.wrap[k][d];
  }
  graph_.build(pool_, ListSource{list_, wrapped_.data()}, static_cast<int>(n), species_.data());
  check_pairs(list_.order.data());
  prepare(static_cast<int>(n), static_cast<int>(n), nullptr);
  run(static_cast<int>(n), list_.order.data(), results);
}

bool System::list_serves(const Made& asked, std::int64_t n, const std::int32_t* atomic_numbers,
                         const double* positions) const {
  const auto count = static_cast<std::size_t>(n);
  if (made_.skin != asked.skin || made_.cell != asked.cell || made_.pbc != asked.pbc ||
      made_.atomic_numbers.size() != count ||
      !std::equal(atomic_numbers, atomic_numbers + n, made_.atomic_numbers.begin()))
    return false;
  for (std::size_t i = 0; i < count; ++i) {
    double moved2 = 0.0;
    for (std::size_t d = 0; d < 3; ++d) {
      const double moved = positions[3 * i + d] - made_.positions[3 * i + d];
      moved2 += moved * moved;
    }
    if (!(moved2 <= 0.25 * asked.skin * asked.skin)) return false;  // NaN too: the search refuses it
  }
  return true;
}

void System::search_neighbors(Made& asked, std::int64_t n, const std::int32_t* atomic_numbers,
                              const double* positions) {
  made_.skin = -1.0;  // there is no list until the search has succeeded
  check_positions(n, positions);
  const Lattice lattice(asked.cell.data(), asked.pbc.data());
  set_species(n, atomic_numbers, nullptr);  // checks them in the caller's order
  find_neighbors(list_, n, positions, lattice, model_.student.cutoff + asked.skin);
  set_species(n, atomic_numbers, list_.order.data());
  wrapped_.resize(static_cast<std::size_t>(n));
  asked.atomic_numbers.assign(atomic_numbers, atomic_numbers + n);
  asked.positions.assign(positions, positions + 3 * n);
  made_ = std::move(asked);
  ++n_searches_;
}

void System::compute_edges(std::int64_t n, const std::int32_t* atomic_numbers, std::int64_t n_edges,
                           const std::int64_t* receivers, const std::int64_t* senders, const double* edge_vec,
                           const mlffd_results& results) {
  made_.skin = -1.0;  // the species are overwritten
  set_species(n, atomic_numbers, nullptr);
  const auto count = static_cast<std::size_t>(n);
  std::vector<std::int64_t> balance(count, 0);
  const auto is_taken_edge = [&](std::int64_t edge) {
    const double* const v = edge_vec + 3 * edge;
    return is_taken(receivers[edge], senders[edge], v[0], v[1], v[2]);
  };
  EdgeSource source{std::vector<std::int64_t>(count + 1, 0), {}, senders, edge_vec};
  for (std::int64_t edge = 0; edge < n_edges; ++edge) {
    const std::int64_t i = receivers[edge], j = senders[edge];
    if (i < 0 || i >= n || j < 0 || j >= n)
      throw ArgumentError("edge " + std::to_string(edge) + " joins atoms " + std::to_string(i) + " and " +
                          std::to_string(j) + ", and there are " + std::to_string(n) + " atoms");
    for (int d = 0; d < 3; ++d)
      if (!std::isfinite(edge_vec[3 * edge + d])) refuse_vector(i, j);
    ++balance[static_cast<std::size_t>(i)];
    --balance[static_cast<std::size_t>(j)];
    const bool taken = is_taken_edge(edge);
    if (i == j) balance[static_cast<std::size_t>(i)] += taken ? 1 : -1;
    if (taken) ++source.first[static_cast<std::size_t>(i) + 1];
  }
  if (std::any_of(balance.begin(), balance.end(), [](std::int64_t b) { return b != 0; }))
    throw ArgumentError("expected both directions of every pair among the edges");
  for (std::size_t i = 0; i < count; ++i) source.first[i + 1] += source.first[i];
  source.edges.resize(static_cast<std::size_t>(source.first[count]));
  std::vector<std::int64_t> next(source.first.begin(), source.first.end() - 1);
  for (std::int64_t edge = 0; edge < n_edges; ++edge)
    if (is_taken_edge(edge))
      source.edges[static_cast<std::size_t>(next[static_cast<std::size_t>(receivers[edge])]++)] = edge;

  graph_.build(pool_, source, static_cast<int>(n), species_.data());
  check_pairs(nullptr);
  prepare(static_cast<int>(n), static_cast<int>(n), nullptr);
  run(static_cast<int>(n), nullptr, results);
}

void System::compute_domain(std::int64_t n_own, std::int64_t n_all, const std::int32_t* atomic_numbers,
                            const double* positions, const mlffd_neighbor_list& list,
                            const Exchange* exchange, const mlffd_results& results) {
  made_.skin = -1.0;
  try {  // everything that can fail here alone comes before the first exchange
    check_images(n_all, list);
    check_list(n_own, n_all, list);
    check_positions(n_all + list.n_images, positions);
    set_species(n_all, atomic_numbers, nullptr);
    graph_.build(pool_, DomainSource{list, positions, n_own, n_all}, static_cast<int>(n_own),
                 species_.data());
    check_pairs(nullptr);
    prepare(static_cast<int>(n_own), static_cast<int>(n_all), exchange);
  } catch (...) {
    if (exchange)  // or the other domains would wait forever
      for (Network& network : networks_) network.exchange_nothing(static_cast<int>(n_all), *exchange);
    throw;
  }
  run(static_cast<int>(n_own), nullptr, results);
}

void System::set_species(std::int64_t n, const std::int32_t* atomic_numbers, const std::int32_t* order) {
  species_.resize(static_cast<std::size_t>(n));
  for (std::int64_t k = 0; k < n; ++k) {
    const std::int64_t i = order ? order[k] : k;
    const int species = model_.species_of(atomic_numbers[i]);
    if (species < 0)
      throw StructureError(atom(i) + " has atomic number " + std::to_string(atomic_numbers[i]) +
                           ", which this student does not know; it knows " + model_.known_elements() +
                           ". Choose or distil a student with that element");
    species_[static_cast<std::size_t>(k)] = species;
  }
}

void System::check_pairs(const std::int32_t* order) const {
  const BadPair bad = graph_.bad_pair();
  if (!bad.found()) return;
  const std::int64_t a = order ? order[bad.i] : bad.i, b = order ? order[bad.j] : bad.j;
  if (std::isnan(bad.r2)) refuse_vector(a, b);
  const int pm = static_cast<int>(100.0 * std::sqrt(bad.r2) + 0.5);
  throw StructureError("atoms " + std::to_string(std::min(a, b)) + " and " + std::to_string(std::max(a, b)) +
                       " are " + std::to_string(pm) + " pm apart, less than " +
                       std::to_string(static_cast<int>(100.0 * MIN_DISTANCE)) +
                       " pm: the structure is not physical; look at these atoms");
}

void System::prepare(int n_own, int n_all, const Exchange* exchange) {
  for (Network& network : networks_) network.prepare(pool_, graph_, n_own, n_all, species_.data(), exchange);
  sums_.prepare(graph_, n_own);
  if (networks_.size() > 1) mean_.prepare(networks_.size(), static_cast<std::size_t>(n_own));
}

void System::run(int n_own, const std::int32_t* order, const mlffd_results& results) {
  const auto evaluate = [&](std::size_t member, const mlffd_results& written) {
    networks_[member].run(pool_);
    sums_.write(pool_, (*committee_)[member], graph_, networks_[member], n_own, species_.data(), order,
                written);
  };
  if (networks_.size() > 1) {
    mean_.write(networks_.size(), static_cast<std::size_t>(n_own), results, evaluate);
  } else {
    evaluate(0, results);
    if (results.force_spread) std::fill_n(results.force_spread, n_own, 0.0);
  }
  if (const std::int64_t i = sums_.not_finite(); i >= 0)  // only now: other domains wait for every exchange
    throw StructureError("the energy or the force of " + atom(i) +
                         " is not finite: too many atoms are too close to it for single precision; look at the structure");
}

}  // namespace mlffd
