#include "committee.h"

#include <cmath>

namespace mlffd {

Committee::Committee(std::vector<Student> students, const Kernels& kernels) {
  int n_intervals = 0;
  for (const Student& student : students) n_intervals = std::max(n_intervals, needed_intervals(student));
  for (Student& student : students) members_.emplace_back(std::move(student), kernels, n_intervals);
}

void Mean::prepare(std::size_t n_members, std::size_t n) {
  member_.reserve(1 + 3 * n + 9 + n + 9 * n);
  sum_.reserve(member_.capacity());
  forces_.reserve(n_members * 3 * n);
}

void Mean::write(std::size_t n_members, std::size_t n, const mlffd_results& results,
                 const Evaluate& evaluate) {
  mlffd_results written{};
  struct Part {
    double* wanted;
    double** target;
    std::size_t size;
  };
  const Part parts[] = {{results.energy, &written.energy, 1},
                        {results.forces ? results.forces : results.force_spread, &written.forces, 3 * n},
                        {results.virial, &written.virial, 9},
                        {results.atomic_energies, &written.atomic_energies, n},
                        {results.atomic_virials, &written.atomic_virials, 9 * n}};
  std::size_t size = 0;
  for (const Part& part : parts) size += part.wanted ? part.size : 0;
  member_.resize(size);
  std::size_t at = 0;
  for (const Part& part : parts)
    if (part.wanted) *part.target = member_.data() + at, at += part.size;

  sum_.assign(size, 0.0);
  forces_.resize(results.force_spread ? n_members * 3 * n : 0);
  for (std::size_t m = 0; m < n_members; ++m) {
    evaluate(m, written);
    for (std::size_t k = 0; k < size; ++k) sum_[k] += member_[k];
    if (results.force_spread) std::copy_n(written.forces, 3 * n, forces_.data() + m * 3 * n);
  }
  for (const Part& part : parts)
    if (part.wanted && part.wanted != results.force_spread)
      for (std::size_t k = 0; k < part.size; ++k)
        part.wanted[k] = sum_[static_cast<std::size_t>(*part.target - member_.data()) + k] /
                         static_cast<double>(n_members);
  if (results.force_spread) write_spread(n_members, n, results.force_spread);
}

void Mean::write_spread(std::size_t n_members, std::size_t n, double* spread) const {
  const auto M = static_cast<double>(n_members);
  for (std::size_t i = 0; i < n; ++i) {
    double squares = 0.0;
    for (std::size_t d = 3 * i; d < 3 * i + 3; ++d) {
      double mean = 0.0;
      for (std::size_t m = 0; m < n_members; ++m) mean += forces_[m * 3 * n + d] / M;
      for (std::size_t m = 0; m < n_members; ++m) {
        const double difference = forces_[m * 3 * n + d] - mean;
        squares += difference * difference;
      }
    }
    spread[i] = std::sqrt(squares / M);
  }
}

}  // namespace mlffd
