#include "lattice.h"

#include <cmath>
#include <string>

#include "error.h"

namespace mlffd {
namespace {

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Vector cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

Vector scaled(const Vector& a, double factor) { return {a[0] * factor, a[1] * factor, a[2] * factor}; }

Vector unit(const Vector& a) { return scaled(a, 1.0 / std::sqrt(dot(a, a))); }

// Some unit vector orthogonal to a, or the x axis if a is zero.
Vector orthogonal(const Vector& a) {
  if (dot(a, a) == 0.0) return {1.0, 0.0, 0.0};
  const bool along_x = std::abs(a[0]) > 0.9 * std::sqrt(dot(a, a));
  return unit(cross(a, along_x ? Vector{0.0, 1.0, 0.0} : Vector{1.0, 0.0, 0.0}));
}

// The squared volume that the periodic rows span, as in checks.py.
double gram_determinant(const std::array<Vector, 3>& rows, const std::array<bool, 3>& periodic) {
  double g[3][3];
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b)
      g[a][b] = periodic[a] && periodic[b] ? dot(rows[a], rows[b]) : a == b ? 1.0 : 0.0;
  return g[0][0] * (g[1][1] * g[2][2] - g[1][2] * g[2][1]) -
         g[0][1] * (g[1][0] * g[2][2] - g[1][2] * g[2][0]) +
         g[0][2] * (g[1][0] * g[2][1] - g[1][1] * g[2][0]);
}

}  // namespace

Lattice::Lattice(const double* cell, const int* pbc) {
  int n_periodic = 0;
  for (std::size_t a = 0; a < 3; ++a) {
    periodic_[a] = cell && pbc && pbc[a];
    n_periodic += periodic_[a];
    if (periodic_[a]) rows_[a] = {cell[3 * a], cell[3 * a + 1], cell[3 * a + 2]};
  }
  if (!(gram_determinant(rows_, periodic_) >= 1e-12) || !std::isfinite(gram_determinant(rows_, periodic_)))
    throw StructureError("structure 0 is periodic along " + std::to_string(n_periodic) +
                         " direction(s) in which its cell is singular; set the cell, or set pbc to False");
  complete();
  invert();
}

// Open rows, one after the other: orthogonal to the two rows that are there, or to the one, or any.
void Lattice::complete() {
  std::array<bool, 3> known = periodic_;
  for (std::size_t a = 0; a < 3; ++a) {
    if (known[a]) continue;
    const std::size_t b = (a + 1) % 3, c = (a + 2) % 3;
    if (known[b] && known[c])
      rows_[a] = unit(cross(rows_[b], rows_[c]));
    else
      rows_[a] = orthogonal(known[b] ? rows_[b] : known[c] ? rows_[c] : Vector{});
    known[a] = true;
  }
}

void Lattice::invert() {
  const double volume = dot(rows_[0], cross(rows_[1], rows_[2]));
  for (std::size_t a = 0; a < 3; ++a)
    inverse_[a] = scaled(cross(rows_[(a + 1) % 3], rows_[(a + 2) % 3]), 1.0 / volume);
}

double Lattice::height(int axis) const {
  const Vector& reciprocal = inverse_[static_cast<std::size_t>(axis)];
  return 1.0 / std::sqrt(dot(reciprocal, reciprocal));
}

Vector Lattice::fractional(const double* position) const {
  const Vector x{position[0], position[1], position[2]};
  return {dot(inverse_[0], x), dot(inverse_[1], x), dot(inverse_[2], x)};
}

Vector Lattice::translation(double a, double b, double c) const {
  Vector t{};
  for (std::size_t d = 0; d < 3; ++d) t[d] = a * rows_[0][d] + b * rows_[1][d] + c * rows_[2][d];
  return t;
}

}  // namespace mlffd
