#include "repulsion.h"

#include <cmath>

namespace mlffd {
namespace {

// Hartree · Bohr and 0.8854 Bohr as in ase.units (CODATA 2014), which the student was trained with
constexpr double COULOMB = 14.399645351950548;            // e²/(4πε₀) in eV Å
constexpr double SCREENING_LENGTH = 0.46853350223322493;  // Å

}  // namespace

Repulsion::Repulsion(const RepulsionWeights& w)
    : charge_(w.charge), charge_power_(w.charge_power), radius_(w.radius), amplitudes_(w.amplitudes),
      exponents_(w.exponents) {}

PairEnergy Repulsion::at(double r, int i, int j) const {
  const double screening = (charge_power_[i] + charge_power_[j]) / SCREENING_LENGTH;
  double phi = 0.0, phi_slope = 0.0;
  for (std::size_t k = 0; k < amplitudes_.size(); ++k) {
    const double term = amplitudes_[k] * std::exp(-screening * r * exponents_[k]);
    phi += term;
    phi_slope -= screening * exponents_[k] * term;
  }
  const double x = r / reach(i, j), x2 = x * x, x5 = x2 * x2 * x;
  const double envelope = 1.0 - x5 * x * (28.0 - x * (48.0 - 21.0 * x));
  const double envelope_slope = -168.0 * x5 * (1.0 - x) * (1.0 - x) / reach(i, j);
  const double coulomb = COULOMB * charge_[i] * charge_[j] / r;
  return {coulomb * phi * envelope,
          coulomb * (phi_slope * envelope + phi * envelope_slope - phi * envelope / r)};
}

}  // namespace mlffd
