// What the pair style knows of whatever computes the numbers, and what that knows of LAMMPS: plain arrays.
//
// Rows: the owned atoms (0 … n_own-1), then the ghosts that other ranks own. A ghost that is a periodic image of an owned
// atom has no row of its own: it points to its owner's row, and only its position differs.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace mlffd {

// Neighbours of the owned rows: entries first[row] … first[row+1]-1 of `atoms`, indices into `positions`.
struct NeighborRows {
  std::vector<int> first;
  std::vector<int> atoms;
};

struct Domain {
  int n_own = 0;                    // owned rows
  int n_rows = 0;                   // all rows
  const int *numbers = nullptr;     // (n_rows) atomic numbers
  const int *atom_of = nullptr;     // (n_rows) index of the row's atom in `positions`
  const int *row_of = nullptr;      // (atoms) row of each atom of LAMMPS, ghosts included
  const double *const *positions = nullptr;  // (atoms) Å
  const NeighborRows *neighbors = nullptr;
};

// Copies rows between ranks. Every rank calls it equally often, also one without atoms.
class Exchange {
 public:
  virtual ~Exchange() = default;
  // Fills the ghost rows with what their owners have. rows: (n_rows, row_bytes).
  virtual void forward(void *rows, std::size_t row_bytes) = 0;
  // Adds what the ghost rows hold to the rows of their owners. rows: (n_rows, width).
  virtual void reverse(double *rows, int width) = 0;
};

// Sums over this rank's edges, in eV and Å. Forces and atom_virial are indexed as positions, ghosts included, and are added to.
struct Sums {
  double energy = 0.0;              // of the owned atoms
  std::vector<double> atomic_energies;       // (n_own)
  double **forces = nullptr;        // (atoms, 3)
  double virial[6] = {0, 0, 0, 0, 0, 0};     // -dE/dε: xx yy zz xy xz yz
  double **atom_virial = nullptr;   // (atoms, 6), or null where nobody asks
  double scale = 1.0;               // of forces and atom_virial: LAMMPS' energy unit in eV
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual double cutoff() const = 0;                      // Å
  virtual const std::vector<int> &elements() const = 0;   // atomic numbers that the student knows
  virtual int row_width() const = 0;                      // doubles that a row may take in an exchange
  virtual void compute(const Domain &, Exchange &, Sums &) = 0;
};

struct Options {
  std::string device = "cpu";
  bool double_precision = false;
  int n_threads = 1;
};

// Throw std::runtime_error with a sentence for the user.
std::unique_ptr<Backend> load_torch_backend(const std::string &path, const Options &);

}  // namespace mlffd
