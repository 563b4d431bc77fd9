#include "pair_distilled.h"

#include "mlffd.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
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

// The name of a student that is shipped with the Python package, or a path
std::string artifact_path(const std::string &file)
{
  const char *folder = std::getenv("MLFFD_MODELS");
  const std::string shipped = std::string(folder ? folder : MLFFD_PRETRAINED) + "/" + file + "/" + file + ".pt";
  if (is_file(shipped)) return shipped;
  return is_file(file) ? file : "";
}

// FNV-1a (Fowler, Noll, Vo) of the bytes of a file
std::uint64_t checksum(const std::string &path)
{
  std::ifstream file(path, std::ios::binary);
  std::uint64_t hash = 14695981039346656037U;
  for (std::istreambuf_iterator<char> byte(file), end; byte != end; ++byte)
    hash = (hash ^ static_cast<unsigned char>(*byte)) * 1099511628211U;
  return hash;
}

}  // namespace

PairDistilled::PairDistilled(LAMMPS *lmp) : Pair(lmp), ghosts(*lmp, *this, domain, site_of)
{
  single_enable = 0;
  restartinfo = 0;  // the file stays the only place of the weights: pair_style and pair_coeff are given again
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;  // periodic images in one row: the virial is summed over edges
  centroidstressflag = CENTROID_NOTAVAIL;
}

PairDistilled::~PairDistilled()
{
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

// pair_style distilled [backend native|torch] [device cpu|cuda|cuda:1] [precision single|double]
void PairDistilled::settings(int narg, char **arg)
{
  // LAMMPS keeps the style when a script names it again: start from the defaults, and ask for pair_coeff again
  options = mlffd_lammps::Options();
  backend_name = "native";
  backend.reset();
  if (allocated)
    for (int i = 1; i <= atom->ntypes; i++) std::fill_n(setflag[i] + 1, atom->ntypes, 0);
  for (int i = 0; i < narg; i += 2) {
    if (i + 1 == narg) utils::missing_cmd_args(FLERR, fmt::format("pair_style distilled {}", arg[i]), error);
    const std::string key = arg[i], value = arg[i + 1];
    if (key == "device") {
      options.device = value;
    } else if (key == "precision" && (value == "single" || value == "double")) {
      options.double_precision = value == "double";
    } else if (key == "backend" && (value == "native" || value == "torch")) {
      backend_name = value;
    } else {
      error->all(FLERR,
                 "Pair style distilled: expected the options 'backend native|torch', 'device NAME' or 'precision "
                 "single|double', got '{} {}'", key, value);
    }
  }
}

// pair_coeff * * FILE El1 El2 ...: the element of each atom type, or NULL for types of another style
void PairDistilled::coeff(int narg, char **arg)
{
  if (narg < 3) error->all(FLERR, "Pair style distilled: expected 'pair_coeff * * FILE ELEMENT ...'");
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
  // error->one: a file may be missing on one node only, and error->all would wait for the others
  const std::string path = artifact_path(file);
  if (path.empty())
    error->one(FLERR, "Pair style distilled: '{}' is neither a file nor the name of a shipped student", file);
  options.n_threads = comm->nthreads;
  try {
    backend = backend_name == "torch" ? mlffd_lammps::load_torch_backend(path, options) : mlffd_lammps::load_native_backend(path, options);
  } catch (const std::exception &failure) {
    error->one(FLERR, "Pair style distilled: {}", failure.what());
  }
  check_ranks_agree(path);
  comm_forward = comm_reverse = backend->row_width();
}

// A node with a file of its own, of that name, would compute other forces, or wait for exchanges that the others do not make
void PairDistilled::check_ranks_agree(const std::string &path)
{
  const std::uint64_t hash = checksum(path);
  std::uint64_t extremes[2] = {hash, ~hash}, least[2];
  MPI_Allreduce(extremes, least, 2, MPI_UINT64_T, MPI_MIN, world);
  if (least[0] != ~least[1])
    error->all(FLERR, "Pair style distilled: the ranks read different files at '{}'; give all nodes the same one", path);
}

void PairDistilled::map_types(int n_types, char **symbols)
{
  number_of_type.assign(n_types + 1, 0);
  for (int type = 1; type <= n_types; type++) {
    const std::string symbol = symbols[type - 1];
    if (symbol == "NULL") continue;
    std::string names;
    for (const int z : backend->elements()) {
      if (symbol == mlffd_element_symbol(z)) number_of_type[type] = z;
      names += std::string(names.empty() ? "" : " ") + mlffd_element_symbol(z);
    }
    if (number_of_type[type] == 0)
      error->all(FLERR, "Pair style distilled: atom type {} is mapped to '{}', but this student knows only {}", type,
                 symbol, names);
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
    error->all(FLERR, "Pair style distilled: it needs 'newton on'");
  if (atom->tag_enable == 0)
    error->all(FLERR, "Pair style distilled: it finds the owners of ghosts by their IDs, so it needs atom IDs");
  if (comm->style != Comm::BRICK && comm->style != Comm::TILED)  // see ghost_rows.h
    error->all(FLERR, "Pair style distilled: expected 'comm_style brick' or 'comm_style tiled'");
  // On trial it leaves the pairs of an atom out and the atom in, whose own energy would count
  if (!modify->get_fix_by_style("^gcmc").empty())
    error->all(FLERR, "Pair style distilled: fix gcmc would compare energies with and without that of a free atom; not supported");
  check_neighbors_are_complete();
  check_masses();
  neighbor->add_request(this, NeighConst::REQ_FULL);
  // under hybrid, LAMMPS sizes its buffers by what the hybrid style asks for, and that was set before the file was known
  force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
  force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
}

// Pairs that LAMMPS leaves out of its lists would be missing from the energy without a word
void PairDistilled::check_neighbors_are_complete()
{
  if (atom->molecular != Atom::ATOMIC && !force->kspace)  // with kspace LAMMPS lists bonded atoms whatever the factors
    for (int k = 1; k <= 3; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        error->all(FLERR,
                   "Pair style distilled: LAMMPS leaves bonded atoms out of the neighbor lists; add 'special_bonds lj/coul 1 "
                   "1 1', or '1e-50 1e-50 1e-50' where another style must not see them");
  // Neighbor::init comes later
  const bool excludes = neighbor->nex_type || neighbor->nex_group || neighbor->nex_mol || neighbor->includegroup;
  if (excludes && comm->me == 0)
    error->warning(FLERR,
                   "Pair style distilled: pairs that 'neigh_modify exclude' or 'include' leaves out are missing from its energy");
}

// Elements in another order than the types are the likeliest mistake in a script, and nothing else would show it. A nucleus has
// 2 to 2.6 nucleons for each proton; hydrogen may be heavy, and what it is bonded to lighter for that.
void PairDistilled::check_masses()
{
  if (!atom->mass || comm->me != 0) return;
  for (int type = 1; type <= atom->ntypes; type++) {
    const int z = number_of_type[type];
    const double mass = atom->mass[type];
    if (z == 0 || (z == 1 ? mass < 4.1 : mass > 0.9 * z && mass < 3.2 * z)) continue;
    error->warning(FLERR, "Pair style distilled: atom type {} is mapped to {} and has the mass {:.4g}; is the order of the elements right?",
                   type, mlffd_element_symbol(z), mass);
  }
}

double PairDistilled::init_one(int, int) { return backend->cutoff(); }

void PairDistilled::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (neighbor->ago == 0 || made_at != neighbor->lastcall) {  // the same on every rank
    made_at = neighbor->lastcall;
    assign_sites();
    ghosts.agree();
    list_neighbors();
  }
  move_sites();
  if (!backend->checks_structure()) check_structure();

  sums.energy = 0.0;
  std::fill(sums.virial, sums.virial + 9, 0.0);
  sums.atomic_energies.assign(domain.n_own, 0.0);
  sums.forces.assign(3 * static_cast<std::size_t>(domain.n_rows), 0.0);
  sums.want_atomic_virials = vflag_atom;
  sums.atomic_virials.assign(vflag_atom ? 9 * static_cast<std::size_t>(domain.n_rows) : 0, 0.0);
  sums.force_spread.assign(backend->is_committee() ? domain.n_own : 0, 0.0);
  try {
    backend->compute(domain, ghosts, sums);
  } catch (const std::exception &failure) {
    check_structure();
    check_results();
    error->one(FLERR, "Pair style distilled: {}", failure.what());
  }
  check_results();
  tally();
}

// Owned atoms, then the first ghost of each atom of another rank, then the ghosts that are images of either. Types that are
// NULL have no site.
void PairDistilled::assign_sites()
{
  const int n_local = atom->nlocal, n_all = n_local + atom->nghost;
  site_of.assign(n_all, -1);
  atom_of.clear();
  domain.numbers.clear();
  domain.image_of.clear();
  const auto add_site = [this](int i) {
    site_of[i] = static_cast<int>(atom_of.size());
    atom_of.push_back(i);
  };
  std::unordered_map<tagint, int> row_of_tag;
  row_of_tag.reserve(n_all);
  std::vector<int> images;
  const auto visit = [&](int i) {
    const int number = number_of_type[atom->type[i]];
    if (number == 0) return;
    if (!row_of_tag.emplace(atom->tag[i], atom_of.size()).second) return images.push_back(i);
    add_site(i);
    domain.numbers.push_back(number);
  };
  for (int i = 0; i < n_local; i++) visit(i);
  domain.n_own = static_cast<int>(atom_of.size());
  for (int i = n_local; i < n_all; i++) visit(i);
  domain.n_rows = static_cast<int>(atom_of.size());
  for (const int i : images) {
    add_site(i);
    domain.image_of.push_back(row_of_tag.at(atom->tag[i]));
  }
  domain.positions.resize(3 * atom_of.size());
}

// A pair_coeff of another style that comes later takes pairs away, and the rest would have the energy of no student
void PairDistilled::check_hybrid_left_all_pairs()
{
  if (!list->ijskip) return;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++)
      if (number_of_type[i] && number_of_type[j] && list->ijskip[i][j])
        error->all(FLERR,
                   "Pair style distilled: a later pair_coeff of pair_style hybrid takes the pairs of atom types {} and {} away; "
                   "map one of them to NULL, or use hybrid/overlay", i, j);
}

void PairDistilled::list_neighbors()
{
  check_hybrid_left_all_pairs();
  std::vector<char> is_listed(atom->nlocal, 0);
  for (int ii = 0; ii < list->inum; ii++) is_listed[list->ilist[ii]] = 1;
  domain.first.assign(1, 0);
  domain.neighbors.clear();
  for (int row = 0; row < domain.n_own; row++) {
    const int i = atom_of[row];
    const int count = is_listed[i] ? list->numneigh[i] : 0;  // 'neigh_modify include' leaves atoms out
    for (int k = 0; k < count; k++) {
      const int site = site_of[list->firstneigh[i][k] & NEIGHMASK];
      if (site >= 0) domain.neighbors.push_back(site);
    }
    if (domain.neighbors.size() > MAXSMALLINT)
      error->one(FLERR, "Pair style distilled: more than 2^31 neighbors on one rank; use more ranks");
    domain.first.push_back(static_cast<int>(domain.neighbors.size()));
  }
}

void PairDistilled::move_sites()
{
  for (std::size_t site = 0; site < atom_of.size(); site++)
    std::copy_n(atom->x[atom_of[site]], 3, domain.positions.data() + 3 * site);
}

// In LAMMPS' own words and IDs. (Other ranks may wait in an exchange meanwhile: error->one ends them too.)
void PairDistilled::check_structure()
{
  for (int row = 0; row < domain.n_own; row++) {
    const double *x = domain.positions.data() + 3 * static_cast<std::size_t>(row);
    const tagint id = atom->tag[atom_of[row]];
    if (!std::isfinite(x[0] + x[1] + x[2]))
      error->one(FLERR, "Pair style distilled: the position of atom {} is not finite at step {}", id, update->ntimestep);
    for (int k = domain.first[row]; k < domain.first[row + 1]; k++) {
      const int site = domain.neighbors[k];
      const double *y = domain.positions.data() + 3 * static_cast<std::size_t>(site);
      const double r2 = (y[0] - x[0]) * (y[0] - x[0]) + (y[1] - x[1]) * (y[1] - x[1]) + (y[2] - x[2]) * (y[2] - x[2]);
      if (r2 < MIN_DISTANCE * MIN_DISTANCE)
        error->one(FLERR,
                   "Pair style distilled: atoms {} and {} are {:.2f} A apart at step {}, less than {} A: the structure is "
                   "not physical", id, atom->tag[atom_of[site]], std::sqrt(r2), update->ntimestep, MIN_DISTANCE);
    }
  }
}

// With the atom's ID, where the backend has none but the row
void PairDistilled::check_results()
{
  for (int row = 0; row < domain.n_own; row++) {
    const double *f = sums.forces.data() + 3 * static_cast<std::size_t>(row);
    if (!std::isfinite(sums.atomic_energies[row] + f[0] + f[1] + f[2]))
      error->one(FLERR, "Pair style distilled: the energy or the force of atom {} is not finite at step {}",
                 atom->tag[atom_of[row]], update->ntimestep);
  }
}

void PairDistilled::tally()
{
  // LAMMPS' order xx yy zz xy xz yz from a matrix that is symmetric but for rounding
  static constexpr int A[6] = {0, 1, 2, 0, 0, 1}, B[6] = {0, 1, 2, 1, 2, 2};
  const double scale = std::strcmp(update->unit_style, "real") == 0 ? KCAL_PER_MOL : 1.0;
  const auto voigt = [&](const double *v, int k) { return 0.5 * scale * (v[3 * A[k] + B[k]] + v[3 * B[k] + A[k]]); };
  if (eflag_global) eng_vdwl += scale * sums.energy;
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += voigt(sums.virial, k);
  force_spread.assign(atom->nlocal, 0.0);
  for (std::size_t row = 0; row < sums.force_spread.size(); row++)
    force_spread[atom_of[row]] = scale * sums.force_spread[row];
  for (int row = 0; row < domain.n_rows; row++) {
    const int i = atom_of[row];
    for (int d = 0; d < 3; d++) atom->f[i][d] += scale * sums.forces[3 * static_cast<std::size_t>(row) + d];
    if (eflag_atom && row < domain.n_own) eatom[i] += scale * sums.atomic_energies[row];
    if (vflag_atom)
      for (int k = 0; k < 6; k++) vatom[i][k] += voigt(sums.atomic_virials.data() + 9 * static_cast<std::size_t>(row), k);
  }
}

int PairDistilled::pack_forward_comm(int, int *atoms, double *buffer, int, int *) { return ghosts.pack_forward(atoms, buffer); }

void PairDistilled::unpack_forward_comm(int n, int first, double *buffer) { ghosts.unpack_forward(n, first, buffer); }

int PairDistilled::pack_reverse_comm(int n, int first, double *buffer) { return ghosts.pack_reverse(n, first, buffer); }

void PairDistilled::unpack_reverse_comm(int n, int *atoms, double *buffer) { ghosts.unpack_reverse(n, atoms, buffer); }

// fix ID all pair N distilled force_spread 0: how far the members of a committee are apart, in LAMMPS' unit of forces
void *PairDistilled::extract_peratom(const char *name, int &n_columns)
{
  if (std::strcmp(name, "force_spread") != 0 || !backend || !backend->is_committee()) return nullptr;
  n_columns = 0;
  force_spread.resize(std::max(1, atom->nlocal));  // before the first step there is none; and null would mean "unknown"
  return force_spread.data();
}

double PairDistilled::memory_usage()
{
  const std::size_t ints = atom_of.capacity() + site_of.capacity() + domain.first.capacity() + domain.neighbors.capacity();
  const std::size_t doubles = domain.positions.capacity() + sums.forces.capacity() + sums.atomic_virials.capacity();
  return Pair::memory_usage() + static_cast<double>(ints * sizeof(int) + doubles * sizeof(double));
}
