// Everything that could touch memory wrongly, in one program that
// test_sanitized.py builds with AddressSanitizer and
// UndefinedBehaviorSanitizer, and with ThreadSanitizer. Usage: sanitized
// ARTIFACT SCRATCH_FILE
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "archive.h"
#include "error.h"
#include "json.h"
#include "mlffd.h"
#include "neighbors.h"
#include "safetensors.h"
#include "training/training.h"

namespace {

std::mt19937 random_bits(1);

double uniform(double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random_bits);
}

std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_bits); }

void require(bool condition, const std::string& sentence) {
  if (condition) return;
  std::fprintf(stderr, "FAILED: %s (%s)\n", sentence.c_str(), mlffd_last_error());
  std::exit(1);
}

// ---- the reader ----

std::string damaged(std::string bytes) {
  if (below(2)) bytes.resize(below(bytes.size()));
  for (std::size_t flips = below(8); flips-- && !bytes.empty();)
    bytes[below(bytes.size())] ^= static_cast<char>(1u << below(8));
  return bytes;
}

void survive(const std::function<void()>& read) {
  try {
    read();
  } catch (const mlffd::ArtifactError&) {
  }
}

void fuzz_reader(const std::string& path, const std::string& scratch) {
  const std::string file = mlffd::read_file(path);
  const std::string weights(*mlffd::find_entry(file, "/extra/weights.safetensors"));
  const std::string metadata(*mlffd::find_entry(file, "/extra/metadata.json"));
  const std::string header = weights.substr(0, 8 + 4000);  // where damage is most interesting
  for (int k = 0; k < 2000; ++k) {
    survive([&] { mlffd::read_safetensors(damaged(header) + weights.substr(header.size())); });
    survive([&] { mlffd::json::parse(damaged(metadata)); });
    survive([&] {
      mlffd::find_entry(damaged(file.substr(file.size() - std::min<std::size_t>(file.size(), 6000))), "json");
    });
  }
  survive([] { mlffd::json::parse(std::string(100000, '[')); });
  for (int k = 0; k < 100; ++k) {
    std::ofstream(scratch, std::ios::binary) << damaged(file);
    mlffd_model* model = nullptr;
    const int status = mlffd_load(scratch.c_str(), &model);
    require(status == MLFFD_OK || (status == MLFFD_ARTIFACT_ERROR && *mlffd_last_error()),
            "a damaged artifact is an artifact error");
    mlffd_free(model);
  }
}

// ---- neighbours against all pairs and images ----

using Bond = std::tuple<int, int, long, long,
                        long>;  // atoms, and the vector in 1e-6 Å; of two
                                // opposite ones the positive

Bond bond(int i, int j, double x, double y, double z) {
  const Bond forth(i, j, std::lround(1e6 * x), std::lround(1e6 * y), std::lround(1e6 * z));
  const Bond back(j, i, std::lround(-1e6 * x), std::lround(-1e6 * y), std::lround(-1e6 * z));
  return std::max(forth, back);
}

void compare_neighbors(int n, int reach, double range) {
  std::vector<double> cell(9), positions(static_cast<std::size_t>(3 * n));
  int pbc[3];
  for (int a = 0; a < 3; ++a) {
    pbc[a] = static_cast<int>(below(2));
    for (int b = 0; b < 3; ++b)
      cell[3 * a + b] = uniform(-1.0, 1.0) + (a == b ? 3.0 + uniform(0.0, 4.0) : 0.0);
  }
  for (double& x : positions) x = uniform(-8.0, 8.0);
  mlffd::NeighborList list;
  mlffd::find_neighbors(list, n, positions.data(), mlffd::Lattice(cell.data(), pbc), range);
  std::multiset<Bond> found, expected;
  for (int i = 0; i < n; ++i)
    for (std::int64_t k = list.first[i]; k < list.first[i + 1]; ++k) {
      const mlffd::Neighbor& neighbor = list.neighbors[k];
      double r[3];
      for (std::size_t d = 0; d < 3; ++d)
        r[d] = positions[3 * list.order[neighbor.atom] + d] + list.wrap[neighbor.atom][d] +
               list.images[neighbor.image][d] - positions[3 * list.order[i] + d] - list.wrap[i][d];
      found.insert(bond(list.order[i], list.order[neighbor.atom], r[0], r[1], r[2]));
    }
  for (int i = 0; i < n; ++i)
    for (int j = i; j < n; ++j)
      for (int a = -reach * pbc[0]; a <= reach * pbc[0]; ++a)
        for (int b = -reach * pbc[1]; b <= reach * pbc[1]; ++b)
          for (int c = -reach * pbc[2]; c <= reach * pbc[2]; ++c) {
            if (i == j && std::make_tuple(a, b, c) <= std::make_tuple(0, 0, 0)) continue;
            double r[3];
            for (std::size_t d = 0; d < 3; ++d)
              r[d] = positions[3 * j + d] - positions[3 * i + d] + a * cell[d] + b * cell[3 + d] +
                     c * cell[6 + d];
            if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < range * range)
              expected.insert(bond(i, j, r[0], r[1], r[2]));
          }
  require(found == expected, "every pair and image once: found " + std::to_string(found.size()) +
                                 ", expected " + std::to_string(expected.size()));
}

// ---- structures ----

struct Structure {
  std::vector<std::int32_t> numbers;
  std::vector<double> positions;
  double cell[9] = {};
  std::int32_t pbc[3] = {};
};

Structure grid(int n, double spacing, bool periodic) {
  Structure s;
  for (int a = 0; a < n; ++a)
    for (int b = 0; b < n; ++b)
      for (int c = 0; c < n; ++c) {
        s.numbers.push_back(below(2) ? 1 : 8);
        for (const int k : {a, b, c}) s.positions.push_back(spacing * (k + uniform(-0.2, 0.2)));
      }
  for (int a = 0; a < 3; ++a) s.cell[4 * a] = n * spacing, s.pbc[a] = periodic;
  return s;
}

struct Output {
  double energy = 0.0, virial[9] = {};
  std::vector<double> forces, atomic_energies, atomic_virials, force_spread;
  mlffd_results results;

  explicit Output(std::size_t n) : forces(3 * n), atomic_energies(n), atomic_virials(9 * n), force_spread(n) {
    results = {
        &energy, forces.data(), virial, atomic_energies.data(), atomic_virials.data(), force_spread.data()};
  }

  bool is_same(const Output& other) const {
    return energy == other.energy && std::equal(virial, virial + 9, other.virial) && forces == other.forces &&
           atomic_energies == other.atomic_energies && atomic_virials == other.atomic_virials &&
           force_spread == other.force_spread;
  }
};

int compute(mlffd_system* system, const Structure& s, Output& out, double skin = 0.4) {
  return mlffd_compute(system, static_cast<std::int64_t>(s.numbers.size()), s.numbers.data(),
                       s.positions.data(), s.cell, s.pbc, skin, &out.results);
}

void expect(int status, mlffd_system* system, const Structure& s, const std::string& what) {
  Output out(s.numbers.size());
  require(compute(system, s, out) == status, what);
  require((status == MLFFD_OK) == (*mlffd_last_error() == '\0'),
          what + ": a sentence exactly where it failed");
}

void try_structures(const mlffd_model* model, int n_threads) {
  mlffd_system* system = nullptr;
  require(mlffd_system_new(model, n_threads, &system) == MLFFD_OK, "a system");
  Structure none, one = grid(1, 3.0, false), cube = grid(3, 2.0, true);
  expect(MLFFD_OK, system, none, "no atoms");
  expect(MLFFD_OK, system, one, "one atom");
  expect(MLFFD_OK, system, grid(1, 1.5, true), "one atom that neighbours its own images");
  expect(MLFFD_OK, system, grid(2, 50.0, false), "no edges");
  expect(MLFFD_OK, system, cube, "a cell smaller than the cutoff");
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
    Structure broken = cube;
    broken.positions[7] = bad;
    expect(MLFFD_STRUCTURE_ERROR, system, broken, "positions that are not finite");
  }
  Structure overlap = cube, unknown = cube, singular = cube, tiny_cell = one, far = one;
  std::copy_n(overlap.positions.begin(), 3, overlap.positions.begin() + 3);
  expect(MLFFD_STRUCTURE_ERROR, system, overlap, "atoms on top of each other");
  unknown.numbers[1] = 92;
  expect(MLFFD_STRUCTURE_ERROR, system, unknown, "an unknown element");
  unknown.numbers[1] = -2147483647;
  expect(MLFFD_STRUCTURE_ERROR, system, unknown, "no element at all");
  std::fill_n(singular.cell, 3, 0.0);
  expect(MLFFD_STRUCTURE_ERROR, system, singular, "a singular cell");
  for (int a = 0; a < 3; ++a) tiny_cell.cell[4 * a] = 0.01, tiny_cell.pbc[a] = 1;
  expect(MLFFD_STRUCTURE_ERROR, system, tiny_cell, "a cell with millions of images within the cutoff");
  far.numbers.push_back(1);
  for (int d = 0; d < 3; ++d) far.positions.push_back(1e8);
  expect(MLFFD_OK, system, far, "atoms very far apart");
  expect(MLFFD_OK, system, cube, "a good structure after bad ones");
  Output out(1);
  require(compute(system, one, out, std::nan("")) == MLFFD_ARGUMENT_ERROR, "a skin that is no number");
  require(mlffd_compute(system, -1, nullptr, nullptr, nullptr, nullptr, 0.0, &out.results) ==
              MLFFD_ARGUMENT_ERROR,
          "fewer than no atoms");
  expect(MLFFD_OK, system, grid(22, 2.1, true), "ten thousand atoms");
  mlffd_system_free(system);
}

void try_edges(const mlffd_model* model) {
  mlffd_system* system = nullptr;
  require(mlffd_system_new(model, 1, &system) == MLFFD_OK, "a system");
  const std::int32_t numbers[] = {8, 1};
  const std::int64_t i[] = {0, 1}, j[] = {1, 0}, outside[] = {5, 0};
  const double forth_and_back[] = {0.9, 0.1, 0.0, -0.9, -0.1, 0.0};
  Output out(2);
  require(mlffd_compute_edges(system, 2, numbers, 2, i, j, forth_and_back, &out.results) == MLFFD_OK,
          "a pair");
  require(
      mlffd_compute_edges(system, 2, numbers, 1, i, j, forth_and_back, &out.results) == MLFFD_ARGUMENT_ERROR,
      "one direction only");
  require(mlffd_compute_edges(system, 2, numbers, 2, outside, j, forth_and_back, &out.results) ==
              MLFFD_ARGUMENT_ERROR,
          "an atom that is not there");
  require(mlffd_compute_edges(system, 2, numbers, 0, nullptr, nullptr, nullptr, &out.results) == MLFFD_OK,
          "no edges");
  require(mlffd_compute_edges(system, 0, nullptr, 0, nullptr, nullptr, nullptr, &out.results) == MLFFD_OK,
          "no atoms");
  mlffd_system_free(system);
}

void compare_threads(const mlffd_model* model) {
  for (const int n : {1, 2, 3, 5, 8}) {
    const Structure s = grid(n, 2.2, true);
    Output one(s.numbers.size());
    for (const int n_threads : {1, 2, 3, 7}) {
      mlffd_system* system = nullptr;
      require(mlffd_system_new(model, n_threads, &system) == MLFFD_OK, "a system");
      for (int step = 0; step < 2; ++step) {
        Output out(s.numbers.size());
        require(compute(system, s, out) == MLFFD_OK, "a step");
        if (n_threads == 1) one = out;
        require(out.is_same(one), "the same bits with any number of threads");
      }
      mlffd_system_free(system);
    }
  }
}

// ---- one domain whose periodic images are ghosts, or images ----

struct Domain {
  std::int64_t n_own;
  std::vector<std::int32_t> numbers;  // of own atoms and their copies
  std::vector<double> positions;      // the same
  std::vector<std::int32_t> owner;    // of each copy
  std::vector<std::vector<std::int32_t>> rows;
  std::vector<const std::int32_t*> pointers;
  std::vector<std::int32_t> counts;
  int exchanges = 0;

  std::int64_t n_all() const { return static_cast<std::int64_t>(numbers.size()); }
};

constexpr std::int32_t MASK = (1 << 29) - 1;

Domain domain_of(const Structure& s, double cutoff) {
  Domain domain{static_cast<std::int64_t>(s.numbers.size()), s.numbers, s.positions, {}, {}, {}, {}};
  for (int a = -1; a <= 1; ++a)
    for (int b = -1; b <= 1; ++b)
      for (int c = -1; c <= 1; ++c)
        for (std::int32_t i = 0; i < domain.n_own && (a || b || c); ++i) {
          domain.owner.push_back(i);
          domain.numbers.push_back(s.numbers[i]);
          for (int d = 0; d < 3; ++d)
            domain.positions.push_back(s.positions[3 * i + d] + s.cell[0] * (d == 0 ? a : d == 1 ? b : c));
        }
  domain.rows.resize(s.numbers.size());
  for (std::int32_t i = 0; i < domain.n_own; ++i) {
    for (std::int32_t j = 0; j < domain.n_all(); ++j) {
      double r2 = 0.0;
      for (int d = 0; d < 3; ++d)
        r2 += std::pow(domain.positions[3 * i + d] - domain.positions[3 * j + d], 2);
      if (j != i && r2 < cutoff * cutoff) domain.rows[i].push_back(j | 1 << 29);
    }
    domain.pointers.push_back(domain.rows[i].data());
    domain.counts.push_back(static_cast<std::int32_t>(domain.rows[i].size()));
  }
  return domain;
}

int copy_ghosts(void* context, mlffd_rows* rows, std::int64_t n_rows, int width) {
  Domain& domain = *static_cast<Domain*>(context);
  require(n_rows == domain.n_all(), "rows of all atoms");
  ++domain.exchanges;
  std::vector<float> row(static_cast<std::size_t>(width));
  for (std::size_t g = 0; g < domain.owner.size(); ++g) {
    require(mlffd_rows_get(rows, domain.owner[g], row.data()) == MLFFD_OK, "a row");
    require(mlffd_rows_set(rows, domain.n_own + static_cast<std::int64_t>(g), row.data()) == MLFFD_OK,
            "a ghost");
  }
  for (const std::int64_t row_of_nobody : {std::int64_t{-1}, n_rows})
    require(mlffd_rows_get(rows, row_of_nobody, row.data()) == MLFFD_ARGUMENT_ERROR, "no row");
  return 0;
}

int compute_with_ghosts(mlffd_system* system, Domain& domain, Output& out) {
  const mlffd_neighbor_list list{domain.counts.data(), domain.pointers.data(), MASK, 0, nullptr};
  return mlffd_compute_domain(system, domain.n_own, domain.n_all(), domain.numbers.data(),
                              domain.positions.data(), &list, copy_ghosts, &domain, &out.results);
}

int compute_with_images(mlffd_system* system, Domain& domain, Output& out) {
  const auto n_images = static_cast<std::int64_t>(domain.owner.size());
  const mlffd_neighbor_list list{domain.counts.data(), domain.pointers.data(), MASK, n_images,
                                 domain.owner.data()};
  return mlffd_compute_domain(system, domain.n_own, domain.n_own, domain.numbers.data(),
                              domain.positions.data(), &list, nullptr, nullptr, &out.results);
}

void require_close(const std::vector<double>& found, const std::vector<double>& expected,
                   const std::string& what) {
  for (std::size_t k = 0; k < expected.size(); ++k)
    require(std::abs(found[k] - expected[k]) < 1e-3 * (1 + std::abs(expected[k])), "the same " + what);
}

void compare_domain(const mlffd_model* model, int n_threads) {
  const Structure s = grid(4, 2.3, true);
  Domain domain = domain_of(s, mlffd_cutoff(model));
  mlffd_system* system = nullptr;
  require(mlffd_system_new(model, n_threads, &system) == MLFFD_OK, "a system");
  Output whole(s.numbers.size());
  require(compute(system, s, whole) == MLFFD_OK, "the whole");
  for (const auto compute_domain : {compute_with_ghosts, compute_with_images}) {
    Output out(s.numbers.size());
    require(compute_domain(system, domain, out) == MLFFD_OK, "the domain");
    require(std::abs(whole.energy - out.energy) < 1e-3, "the same energy");
    require_close(out.forces, whole.forces, "forces");
    require_close(out.atomic_virials, whole.atomic_virials, "virials");
    require_close(out.force_spread, whole.force_spread, "spread");
  }
  require(domain.exchanges == mlffd_n_exchanges(model), "the promised number of exchanges");
  Output out(s.numbers.size());
  Domain nobody{};
  require(compute_with_ghosts(system, nobody, out) == MLFFD_OK, "an empty domain");
  domain.exchanges = 0;
  domain.positions[0] = std::nan("");
  require(compute_with_ghosts(system, domain, out) == MLFFD_STRUCTURE_ERROR, "a broken domain");
  require(domain.exchanges == mlffd_n_exchanges(model), "a broken domain takes part in the exchanges");
  mlffd_system_free(system);
}

// ---- training ----

struct Training {
  static constexpr std::size_t F = 18, L = 3, R = 6, S = 2;
  std::vector<std::vector<float>> weights,
      gradients;  // tensors in the order of PaiNN's parameters
  std::vector<std::int64_t> species, structures, receivers, senders;
  std::vector<float> edge_vec, energies, forces, energy_share, force_share;

  // Structures of 0 … n - 1 atoms and one of many, whose atoms all neighbour
  // each other.
  explicit Training(int n) {
    std::vector<std::size_t> sizes = {S * F, S * 2 * F, 2 * F * R, 2 * F};
    for (std::size_t l = 1; l < L; ++l)
      sizes.insert(sizes.end(), {2 * F * F, 2 * F * F, F, 3 * F * F, 3 * F});
    for (std::size_t l = 1; l < L; ++l)
      sizes.insert(sizes.end(), {F * F, F, 3 * F * F, 3 * F, 3 * F * R, 3 * F});
    sizes.insert(sizes.end(), {2 * F * F, 2 * F * F, F, 2 * F * F, 2 * F, F / 2 * F, F / 2, F / 2, 1});
    for (const std::size_t size : sizes) {
      weights.emplace_back(size);
      gradients.emplace_back(size);
      for (float& weight : weights.back()) weight = static_cast<float>(uniform(-0.3, 0.3));
    }
    for (int structure = 0; structure <= n; ++structure) add(structure, structure == n ? 3 * n : structure);
    energies.resize(species.size());
    forces.resize(3 * species.size());
    for (std::size_t k = 0; k < species.size(); ++k)
      energy_share.push_back(static_cast<float>(uniform(-1.0, 1.0)));
    for (std::size_t k = 0; k < forces.size(); ++k)
      force_share.push_back(static_cast<float>(uniform(-1.0, 1.0)));
  }

  void add(int structure, int n_atoms) {
    const auto first = static_cast<std::int64_t>(species.size());
    std::vector<double> positions;
    for (int k = 0; k < n_atoms; ++k) {
      species.push_back(static_cast<std::int64_t>(below(S)));
      structures.push_back(structure);
      for (int d = 0; d < 3; ++d) positions.push_back(d == 0 ? 1.1 * k : uniform(-1.0, 1.0));
    }
    for (std::int64_t i = 0; i < n_atoms; ++i)
      for (std::int64_t j = 0; j < n_atoms; ++j) {
        if (i == j) continue;
        receivers.push_back(first + i);
        senders.push_back(first + j);
        for (int d = 0; d < 3; ++d)
          edge_vec.push_back(static_cast<float>(positions[3 * j + d] - positions[3 * i + d]));
      }
  }

  mlffd_training_batch batch() const {
    return {0.5,
            1.3,
            static_cast<std::int64_t>(species.size()),
            static_cast<std::int64_t>(receivers.size()),
            species.data(),
            structures.data(),
            receivers.data(),
            senders.data(),
            edge_vec.data()};
  }

  // What the gradients are those of.
  double forward(mlffd_training_step* step) {
    std::vector<const float*> addresses;
    for (const auto& tensor : weights) addresses.push_back(tensor.data());
    const mlffd_training_batch given = batch();
    require(
        mlffd_training_forward(step, addresses.data(), &given, energies.data(), forces.data()) == MLFFD_OK,
        "a forward pass");
    double sum = 0.0;
    for (std::size_t k = 0; k < energies.size(); ++k)
      sum += static_cast<double>(energy_share[k]) * energies[k];
    for (std::size_t k = 0; k < forces.size(); ++k) sum += static_cast<double>(force_share[k]) * forces[k];
    return sum;
  }

  void backward(mlffd_training_step* step) {
    std::vector<float*> addresses;
    for (auto& tensor : gradients) addresses.push_back(tensor.data());
    require(
        mlffd_training_backward(step, energy_share.data(), force_share.data(), addresses.data()) == MLFFD_OK,
        "a backward pass");
  }
};

void try_training(int n_threads) {
  const double radii[] = {0.2, 0.5}, charges[] = {1.0, 8.0}, powers[] = {1.0, 1.6},
               terms[] = {0.2, 0.5, 0.2, 0.1};
  const mlffd_training_sizes sizes{Training::F, Training::L, Training::R, Training::S, 4.0,
                                   charges,     powers,      radii,       terms,       terms};
  mlffd_training_step* step = nullptr;
  const int n_tensors = static_cast<int>(Training(0).weights.size());
  require(mlffd_training_new(&sizes, n_tensors, n_threads, &step) == MLFFD_OK, "a step");
  for (const int n : {8, 1, 0, 12}) {  // memory is used again for smaller and larger batches
    Training training(n);
    training.forward(step);
    training.backward(step);
    const auto gradients = training.gradients;
    double expected = 0.0, found = 0.0;
    for (const double sign : {-1.0, 1.0}) {  // difference along the gradient
      Training moved = training;
      for (std::size_t k = 0; k < gradients.size(); ++k)
        for (std::size_t m = 0; m < gradients[k].size(); ++m) {
          const double change = 1e-3 * std::tanh(gradients[k][m]);
          moved.weights[k][m] += static_cast<float>(sign * change);
          if (sign > 0) expected += 2 * change * gradients[k][m];
        }
      found += sign * moved.forward(step);
    }
    require(std::abs(found - expected) <= 0.02 * std::abs(expected) + 1e-4,
            "the gradient: " + std::to_string(expected) + ", by differences: " + std::to_string(found));
  }
  Training broken(5);
  broken.senders[3] = 1 << 20;
  const mlffd_training_batch given = broken.batch();
  std::vector<const float*> addresses;
  for (const auto& tensor : broken.weights) addresses.push_back(tensor.data());
  require(mlffd_training_forward(step, addresses.data(), &given, broken.energies.data(),
                                 broken.forces.data()) == MLFFD_ARGUMENT_ERROR,
          "an atom that is not there");
  std::vector<float*> into;
  for (auto& tensor : broken.gradients) into.push_back(tensor.data());
  require(mlffd_training_backward(step, broken.energy_share.data(), broken.force_share.data(), into.data()) ==
              MLFFD_ARGUMENT_ERROR,
          "no backward pass after a forward pass that failed");
  broken.senders[3] = 0;
  std::swap(broken.structures.front(), broken.structures.back());
  const mlffd_training_batch mixed = broken.batch();
  require(mlffd_training_forward(step, addresses.data(), &mixed, broken.energies.data(),
                                 broken.forces.data()) == MLFFD_ARGUMENT_ERROR,
          "structures that are mixed");
  mlffd_training_free(step);
}

}  // namespace

int main(int argc, char** argv) {
  require(argc == 3, "usage: sanitized ARTIFACT SCRATCH_FILE");
  fuzz_reader(argv[1], argv[2]);
  for (int k = 0; k < 200; ++k) compare_neighbors(1 + static_cast<int>(below(12)), 8, uniform(1.0, 7.0));
  mlffd_model* model = nullptr;
  require(mlffd_load(argv[1], &model) == MLFFD_OK, "the artifact");
  for (const int n_threads : {1, 2}) {
    try_structures(model, n_threads);
    compare_domain(model, n_threads);
    try_training(n_threads);
  }
  try_training(7);  // more threads than some batches have structures
  compare_threads(model);
  try_edges(model);
  mlffd_free(model);
  std::puts("clean");
}
