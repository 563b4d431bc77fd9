// Ziegler-Biersack-Littmark repulsion of close pairs, exact and in float64; formulas and sources in
// model/repulsion.py.
#pragma once

#include <vector>

#include "student.h"

namespace mlffd {

struct PairEnergy {
  double energy, slope;  // eV and eV/Å
};

class Repulsion {
 public:
  explicit Repulsion(const RepulsionWeights& weights);

  // Å; zero repulsion from here on.
  double reach(int species_i, int species_j) const { return radius_[species_i] + radius_[species_j]; }
  PairEnergy at(double r, int species_i, int species_j) const;

 private:
  std::vector<double> charge_, charge_power_, radius_, amplitudes_, exponents_;
};

}  // namespace mlffd
