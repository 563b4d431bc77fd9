// Everything that could touch memory wrongly, in one program that test_sanitized.py builds with
// AddressSanitizer and UndefinedBehaviorSanitizer. Usage: sanitized ARTIFACT SCRATCH_FILE
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

// ---- the reader
// -----------------------------------------------------------------------------------------------------

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

// ---- neighbours against all pairs and images
// ---------------------------------------------------------------------------

using Bond = std::tuple<int, int, long, long,
                        long>;  // atoms, and the vector in 1e-6 Å; of two opposite ones the positive

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

// ---- structures
// ----------------------------------------------------------------------------------------------------------

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
  std::vector<double> forces, atomic_energies, atomic_virials;
  mlffd_results results;

  explicit Output(std::size_t n) : forces(3 * n), atomic_energies(n), atomic_virials(9 * n) {
    results = {&energy, forces.data(), virial, atomic_energies.data(), atomic_virials.data()};
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
  const std::int64_t numbers[] = {8, 1}, i[] = {0, 1}, j[] = {1, 0}, outside[] = {5, 0};
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

// ---- one domain with periodic ghosts
// ---------------------------------------------------------------------------------------

struct Ghosts {
  std::int64_t n_own;
  std::vector<std::int64_t> owner;
  int calls = 0;
};

int copy_ghosts(void* context, float* rows, int width) {
  Ghosts& ghosts = *static_cast<Ghosts*>(context);
  ++ghosts.calls;
  for (std::size_t g = 0; g < ghosts.owner.size(); ++g)
    std::copy_n(rows + ghosts.owner[g] * width, width,
                rows + (ghosts.n_own + static_cast<std::int64_t>(g)) * width);
  return 0;
}

void compare_domain(const mlffd_model* model, int n_threads) {
  const Structure s = grid(4, 2.3, true);
  const auto n_own = static_cast<std::int64_t>(s.numbers.size());
  const double cutoff = mlffd_cutoff(model), length = s.cell[0];
  Ghosts ghosts{n_own, {}};
  std::vector<std::int32_t> numbers = s.numbers;
  std::vector<double> positions = s.positions;
  for (int a = -1; a <= 1; ++a)
    for (int b = -1; b <= 1; ++b)
      for (int c = -1; c <= 1; ++c)
        for (std::int64_t i = 0; i < n_own && (a || b || c); ++i) {
          ghosts.owner.push_back(i);
          numbers.push_back(s.numbers[i]);
          for (int d = 0; d < 3; ++d)
            positions.push_back(s.positions[3 * i + d] + length * (d == 0 ? a : d == 1 ? b : c));
        }
  const auto n_all = static_cast<std::int32_t>(numbers.size());
  std::vector<std::vector<std::int32_t>> rows(s.numbers.size());
  std::vector<const std::int32_t*> pointers;
  std::vector<std::int32_t> counts;
  for (std::int32_t i = 0; i < n_own; ++i) {
    for (std::int32_t j = 0; j < n_all; ++j) {
      double r2 = 0.0;
      for (int d = 0; d < 3; ++d) r2 += std::pow(positions[3 * i + d] - positions[3 * j + d], 2);
      if (j != i && r2 < cutoff * cutoff) rows[i].push_back(j | 1 << 29);
    }
    pointers.push_back(rows[i].data());
    counts.push_back(static_cast<std::int32_t>(rows[i].size()));
  }
  const mlffd_neighbor_list list{counts.data(), pointers.data(), (1 << 29) - 1};

  mlffd_system* system = nullptr;
  require(mlffd_system_new(model, n_threads, &system) == MLFFD_OK, "a system");
  Output whole(s.numbers.size()), domain(s.numbers.size());
  require(compute(system, s, whole) == MLFFD_OK, "the whole");
  require(mlffd_compute_domain(system, n_own, n_all, numbers.data(), positions.data(), &list, copy_ghosts,
                               &ghosts, &domain.results) == MLFFD_OK,
          "the domain");
  require(ghosts.calls == mlffd_n_exchanges(model), "the promised number of exchanges");
  require(std::abs(whole.energy - domain.energy) < 1e-3, "the same energy");
  for (std::size_t k = 0; k < whole.forces.size(); ++k)
    require(std::abs(whole.forces[k] - domain.forces[k]) < 1e-3 * (1 + std::abs(whole.forces[k])),
            "the same forces");
  Ghosts nobody{0, {}};
  require(mlffd_compute_domain(system, 0, 0, nullptr, nullptr, nullptr, copy_ghosts, &nobody,
                               &domain.results) == MLFFD_OK,
          "an empty domain");
  positions[0] = std::nan("");
  require(mlffd_compute_domain(system, n_own, n_all, numbers.data(), positions.data(), &list, copy_ghosts,
                               &ghosts, &domain.results) == MLFFD_STRUCTURE_ERROR,
          "a broken domain");
  require(ghosts.calls == 2 * mlffd_n_exchanges(model), "a broken domain takes part in the exchanges");
  mlffd_system_free(system);
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
  }
  try_edges(model);
  mlffd_free(model);
  std::puts("clean");
}
