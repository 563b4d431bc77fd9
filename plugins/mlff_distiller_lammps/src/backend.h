// What the pair style knows of whatever computes the numbers, and what that knows of LAMMPS: plain arrays in eV and Å.
//
// Sites are what has a position here: first the owned atoms, then ghosts (the first copy of each atom of another rank), then
// images (periodic copies of owned atoms, further copies of ghosts). Rows are what has features: owned atoms and ghosts. An image
// shares the row of its atom: on a single rank nothing is computed twice, and an atom of another rank is sent once.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace mlffd_lammps {

struct Domain {
  int n_own = 0, n_rows = 0;
  std::vector<int> numbers;       // (n_rows) atomic numbers
  std::vector<int> image_of;      // (n_sites - n_rows) the row of each image
  std::vector<double> positions;  // (n_sites, 3) Å
  std::vector<int> first;         // (n_own + 1) neighbours of an owned row are neighbors[first[row]] … neighbors[first[row+1]-1]
  std::vector<int> neighbors;     // sites, up to the cutoff and LAMMPS' skin

  int row_of_site(int site) const { return site < n_rows ? site : image_of[site - n_rows]; }
};

// The rows of an exchange, wherever they lie.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual void get(int row, void *values) = 0;
  virtual void set(int row, const void *values) = 0;
};

// Copies rows between ranks. Every rank calls it equally often, also one without atoms.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual bool single_rank() const = 0;  // there are no ghosts, and nothing to exchange
  // Fills the ghost rows, of row_bytes each, with what their owners have.
  virtual void forward(Rows &rows, std::size_t row_bytes) = 0;
  // Adds what the ghost rows hold to the rows of their owners. rows: (n_rows, width).
  virtual void reverse(double *rows, int width) = 0;
};

// What a rank answers for; sums over ranks are those of the whole. Sized and zeroed by the pair style.
struct Sums {
  double energy = 0.0;                  // of the owned atoms
  std::vector<double> atomic_energies;  // (n_own)
  std::vector<double> forces;           // (n_rows, 3); what acts on ghosts is sent to their owners
  double virial[9] = {};                // -dE/dε
  bool want_atomic_virials = false;
  std::vector<double> atomic_virials;   // (n_rows, 9) where wanted; half of each pair's to each of its atoms
  std::vector<double> force_spread;     // (n_own) of a committee: sqrt(Σ_m |F_m - F̄|² / M); empty for a single student
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual double cutoff() const = 0;                     // Å
  virtual const std::vector<int> &elements() const = 0;  // atomic numbers that the student knows
  virtual bool is_committee() const = 0;                 // several students, whose mean and spread are computed
  virtual int row_width() const = 0;                     // doubles that a row may take in an exchange
  virtual bool checks_structure() const = 0;  // whether `compute` refuses NaN and overlaps, taking part in every exchange
  virtual void compute(const Domain &, Exchange &, Sums &) = 0;
};

struct Options {
  std::string device = "cpu";
  bool double_precision = false;
  int n_threads = 1;
};

// Throw std::runtime_error with a sentence for the user.
std::unique_ptr<Backend> load_native_backend(const std::string &path, const Options &);
std::unique_ptr<Backend> load_torch_backend(const std::string &path, const Options &);

}  // namespace mlffd_lammps
