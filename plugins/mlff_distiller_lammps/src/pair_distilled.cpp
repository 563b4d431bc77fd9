#include "pair_distilled.h"

#include "elements.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <sys/stat.h>
#include <unordered_map>

using namespace LAMMPS_NS;

namespace {

// 1 eV in kcal/mol: e N_A / 4184, from the exact values of the SI and the thermochemical calorie
constexpr double KCAL_PER_MOL = 1.602176634e-19 * 6.02214076e23 / 4184.0;
constexpr double MIN_DISTANCE = 0.3;  // Å, as in the other engines: anything closer is a mistake in the input

bool is_file(const std::string &path)
{
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// A path, or the name of a student that is shipped with the Python package
std::string artifact_path(const std::string &file)
{
  if (is_file(file)) return file;
  const char *folder = std::getenv("MLFFD_MODELS");
  const std::string shipped = std::string(folder ? folder : MLFFD_PRETRAINED) + "/" + file + "/" + file + ".pt";
  return is_file(shipped) ? shipped : "";
}

}  // namespace

PairDistilled::PairDistilled(LAMMPS *lmp) : Pair(lmp)
{
  single_enable = 0;
  restartinfo = 0;  // the file stays the only place of the weights: pair_style and pair_coeff are given again
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;  // periodic images in one row: the virial is summed over edges
  centroidstressflag = CENTROID_NOTAVAIL;
  unit_convert_flag = utils::get_supported_conversions(utils::ENERGY);
}

PairDistilled::~PairDistilled()
{
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

// pair_style distilled [backend torch] [device cpu|cuda|cuda:1] [precision single|double]
void PairDistilled::settings(int narg, char **arg)
{
  for (int i = 0; i < narg; i += 2) {
    if (i + 1 == narg) utils::missing_cmd_args(FLERR, fmt::format("pair_style distilled {}", arg[i]), error);
    const std::string key = arg[i], value = arg[i + 1];
    if (key == "device") {
      options.device = value;
    } else if (key == "precision" && (value == "single" || value == "double")) {
      options.double_precision = value == "double";
    } else if (key == "backend" && value == "torch") {
      backend_name = value;
    } else {
      error->all(FLERR,
                 "Pair style distilled: expected the options 'backend torch', 'device NAME' or 'precision "
                 "single|double', got '{} {}'", key, value);
    }
  }
}

// pair_coeff * * FILE El1 El2 ...: the element of each atom type, or NULL for types of another style
void PairDistilled::coeff(int narg, char **arg)
{
  if (narg < 3 || std::strcmp(arg[0], "*") != 0 || std::strcmp(arg[1], "*") != 0)
    error->all(FLERR, "Pair style distilled: expected 'pair_coeff * * FILE ELEMENT ...'");
  const int n_types = atom->ntypes;
  if (narg != 3 + n_types)
    error->all(FLERR,
               "Pair style distilled: expected one element (or NULL) for each of the {} atom types after the file, got {}",
               n_types, narg - 3);
  if (!allocated) {
    allocated = 1;
    memory->create(setflag, n_types + 1, n_types + 1, "pair:setflag");
    memory->create(cutsq, n_types + 1, n_types + 1, "pair:cutsq");
  }
  load(arg[2]);
  map_types(narg - 3, arg + 3);
}

void PairDistilled::load(const std::string &file)
{
  const std::string path = artifact_path(file);
  if (path.empty())
    error->all(FLERR, "Pair style distilled: '{}' is neither a file nor the name of a shipped student", file);
  options.n_threads = comm->nthreads;
  try {
    backend = mlffd::load_torch_backend(path, options);
  } catch (const std::exception &failure) {
    error->all(FLERR, "Pair style distilled: {}", failure.what());
  }
  comm_forward = comm_reverse = backend->row_width();
}

void PairDistilled::map_types(int n_types, char **symbols)
{
  number_of_type.assign(n_types + 1, 0);
  for (int type = 1; type <= n_types; type++) {
    const std::string symbol = symbols[type - 1];
    if (symbol == "NULL") continue;
    const int number = mlffd::atomic_number(symbol);
    bool known = false;
    std::string names;
    for (int z : backend->elements()) {
      known = known || z == number;
      names += std::string(names.empty() ? "" : " ") + mlffd::element_symbol(z);
    }
    if (!known)
      error->all(FLERR, "Pair style distilled: atom type {} is mapped to '{}', but this student knows only {}", type,
                 symbol, names);
    number_of_type[type] = number;
  }
  for (int i = 1; i <= n_types; i++)
    for (int j = 1; j <= n_types; j++) setflag[i][j] = number_of_type[i] && number_of_type[j];
}

void PairDistilled::init_style()
{
  const std::string units = update->unit_style;
  if (units != "metal" && units != "real")
    error->all(FLERR, "Pair style distilled: expected 'units metal' or 'units real', got 'units {}'", units);
  if (force->newton_pair == 0)
    error->all(FLERR, "Pair style distilled: forces act on ghost atoms, so it needs 'newton on'");
  if (atom->tag_enable == 0)
    error->all(FLERR, "Pair style distilled: it finds the owners of ghosts by their IDs, so it needs atom IDs");
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

double PairDistilled::init_one(int i, int j)
{
  // a type that is NULL here must belong to another style; without one, its atoms would not feel anything
  if (!setflag[i][j])
    error->all(FLERR,
               "Pair style distilled: atom types {} and {} are not both mapped to elements; NULL is for types of another "
               "style under pair_style hybrid", i, j);
  return backend->cutoff();
}

void PairDistilled::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (neighbor->ago == 0 || static_cast<int>(row_of.size()) != atom->nlocal + atom->nghost) {
    assign_rows();
    list_neighbors();
  }
  check_structure();

  mlffd::Domain domain;
  domain.n_own = n_own;
  domain.n_rows = static_cast<int>(numbers.size());
  domain.numbers = numbers.data();
  domain.atom_of = atom_of.data();
  domain.row_of = row_of.data();
  domain.positions = atom->x;
  domain.neighbors = &neighbors;

  RankExchange exchange(*this);
  mlffd::Sums sums;
  sums.forces = atom->f;
  sums.atom_virial = vflag_atom ? vatom : nullptr;
  sums.scale = std::string(update->unit_style) == "real" ? KCAL_PER_MOL : 1.0;
  try {
    backend->compute(domain, exchange, sums);
  } catch (const std::exception &failure) {
    error->one(FLERR, "Pair style distilled: {}", failure.what());
  }
  tally(sums);
}

// Rows: owned atoms first, then ghosts of other ranks; a ghost that is an image of an owned atom gets its owner's row
void PairDistilled::assign_rows()
{
  const int n_all = atom->nlocal + atom->nghost;
  row_of.assign(n_all, -1);
  numbers.clear();
  atom_of.clear();
  std::unordered_map<tagint, int> owned;
  owned.reserve(atom->nlocal);
  for (int i = 0; i < n_all; i++) {
    const int number = number_of_type[atom->type[i]];
    if (number == 0) continue;
    if (i >= atom->nlocal) {
      const auto owner = owned.find(atom->tag[i]);
      if (owner != owned.end()) {
        row_of[i] = owner->second;
        continue;
      }
    }
    row_of[i] = static_cast<int>(numbers.size());
    if (i < atom->nlocal) owned.emplace(atom->tag[i], row_of[i]);
    numbers.push_back(number);
    atom_of.push_back(i);
  }
  n_own = static_cast<int>(owned.size());
}

void PairDistilled::list_neighbors()
{
  neighbors.first.assign(1, 0);
  neighbors.atoms.clear();
  std::vector<int> position_in_list(atom->nlocal, -1);  // under hybrid the list skips atoms
  for (int ii = 0; ii < list->inum; ii++) position_in_list[list->ilist[ii]] = ii;
  for (int row = 0; row < n_own; row++) {
    const int i = atom_of[row];
    if (position_in_list[i] >= 0) {
      const int *neighbor_atoms = list->firstneigh[i];
      for (int k = 0; k < list->numneigh[i]; k++) {
        const int j = neighbor_atoms[k] & NEIGHMASK;
        if (row_of[j] >= 0) neighbors.atoms.push_back(j);
      }
    }
    neighbors.first.push_back(static_cast<int>(neighbors.atoms.size()));
  }
}

// Before any rank enters an exchange, so that an error on one of them cannot leave the others waiting
void PairDistilled::check_structure()
{
  const double *const *x = atom->x;
  for (int row = 0; row < n_own; row++) {
    const int i = atom_of[row];
    if (!std::isfinite(x[i][0] + x[i][1] + x[i][2]))
      error->one(FLERR, "Pair style distilled: the position of atom {} is not finite at step {}", atom->tag[i],
                 update->ntimestep);
    for (int k = neighbors.first[row]; k < neighbors.first[row + 1]; k++) {
      const int j = neighbors.atoms[k];
      const double dx = x[j][0] - x[i][0], dy = x[j][1] - x[i][1], dz = x[j][2] - x[i][2];
      const double r2 = dx * dx + dy * dy + dz * dz;
      if (r2 < MIN_DISTANCE * MIN_DISTANCE)
        error->one(FLERR,
                   "Pair style distilled: atoms {} and {} are {:.2f} A apart at step {}, less than {} A: the structure is "
                   "not physical", atom->tag[i], atom->tag[j], std::sqrt(r2), update->ntimestep, MIN_DISTANCE);
    }
  }
}

void PairDistilled::tally(const mlffd::Sums &sums)
{
  if (eflag_global) eng_vdwl += sums.scale * sums.energy;
  if (eflag_atom)
    for (int row = 0; row < n_own; row++) eatom[atom_of[row]] += sums.scale * sums.atomic_energies[row];
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += sums.scale * sums.virial[k];
}

// ---- rows between ranks ----------------------------------------------------------------------------------------------
// A swap of LAMMPS may pass on ghosts that came with an earlier swap, so every atom of LAMMPS packs the row that it points to.
// Only ghosts with rows of their own unpack.

void PairDistilled::RankExchange::forward(void *rows, std::size_t row_bytes)
{
  if (pair.comm->nprocs == 1) return;
  pair.rows_bytes = static_cast<char *>(rows);
  pair.row_size = row_bytes;
  pair.comm->forward_comm(&pair, static_cast<int>((row_bytes + sizeof(double) - 1) / sizeof(double)));
}

void PairDistilled::RankExchange::reverse(double *rows, int width)
{
  if (pair.comm->nprocs == 1) return;
  pair.rows_double = rows;
  pair.row_width = width;
  pair.comm->reverse_comm(&pair, width);
}

int PairDistilled::pack_forward_comm(int n, int *atoms, double *buffer, int, int *)
{
  const int width = static_cast<int>((row_size + sizeof(double) - 1) / sizeof(double));
  for (int k = 0; k < n; k++) {
    const int row = row_of[atoms[k]];
    if (row >= 0) std::memcpy(buffer + static_cast<std::size_t>(k) * width, rows_bytes + row * row_size, row_size);
  }
  return n * width;
}

void PairDistilled::unpack_forward_comm(int n, int first, double *buffer)
{
  const int width = static_cast<int>((row_size + sizeof(double) - 1) / sizeof(double));
  for (int k = 0; k < n; k++) {
    const int row = row_of[first + k];
    if (row >= n_own) std::memcpy(rows_bytes + row * row_size, buffer + static_cast<std::size_t>(k) * width, row_size);
  }
}

int PairDistilled::pack_reverse_comm(int n, int first, double *buffer)
{
  for (int k = 0; k < n; k++) {
    const int row = row_of[first + k];
    double *target = buffer + static_cast<std::size_t>(k) * row_width;
    if (row >= n_own)
      std::memcpy(target, rows_double + static_cast<std::size_t>(row) * row_width, row_width * sizeof(double));
    else
      std::fill(target, target + row_width, 0.0);  // an image of an owned atom: its share is in the owner's row already
  }
  return n * row_width;
}

void PairDistilled::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  for (int k = 0; k < n; k++) {
    const int row = row_of[atoms[k]];
    if (row < 0) continue;
    double *target = rows_double + static_cast<std::size_t>(row) * row_width;
    const double *source = buffer + static_cast<std::size_t>(k) * row_width;
    for (int c = 0; c < row_width; c++) target[c] += source[c];
  }
}

double PairDistilled::memory_usage()
{
  const std::size_t ints = numbers.capacity() + atom_of.capacity() + row_of.capacity() + neighbors.first.capacity() +
      neighbors.atoms.capacity();
  return Pair::memory_usage() + static_cast<double>(ints * sizeof(int));
}
