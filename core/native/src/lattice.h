// Three lattice vectors, of which any may be open: then it is replaced by a unit vector orthogonal to the
// periodic ones.
#pragma once

#include <array>

namespace mlffd {

using Vector = std::array<double, 3>;

class Lattice {
 public:
  // cell (9) and pbc (3), or null for open space. Throws StructureError if the periodic rows are linearly
  // dependent.
  Lattice(const double* cell, const int* pbc);

  bool periodic(int axis) const { return periodic_[static_cast<std::size_t>(axis)]; }
  double height(int axis) const;  // Å between the lattice planes
  Vector fractional(const double* position) const;
  Vector translation(double a, double b, double c) const;  // whole multiples of the rows

 private:
  void complete();
  void invert();

  std::array<bool, 3> periodic_{};
  std::array<Vector, 3> rows_{};
  std::array<Vector, 3> inverse_{};  // columns: fractional coordinate along axis a is inverse_[a] · position
};

}  // namespace mlffd
