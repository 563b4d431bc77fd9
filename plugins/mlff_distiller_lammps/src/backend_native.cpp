// The native engine of mlff-distiller, through its C interface. The default: no torch is needed to build or to run it.
#include "backend.h"

#include "mlffd.h"

#include <memory>
#include <stdexcept>

namespace mlffd_lammps {
namespace {

void check(int status)
{
  if (status != MLFFD_OK) throw std::runtime_error(mlffd_last_error());
}

// The engine's rows, copied between its own arrays and LAMMPS' messages.
class NativeRows : public Rows {
 public:
  explicit NativeRows(mlffd_rows *given) : rows(given) {}
  void get(int row, void *values) override { status |= mlffd_rows_get(rows, row, static_cast<float *>(values)); }
  void set(int row, const void *values) override { status |= mlffd_rows_set(rows, row, static_cast<const float *>(values)); }

  int status = MLFFD_OK;

 private:
  mlffd_rows *rows;
};

int exchange_rows(void *context, mlffd_rows *given, int64_t, int width)
{
  NativeRows rows(given);
  static_cast<Exchange *>(context)->forward(rows, width * sizeof(float));
  return rows.status;
}

class NativeBackend : public Backend {
 public:
  NativeBackend(const std::string &path, const Options &options)
  {
    if (mlffd_interface_version() != MLFFD_INTERFACE_VERSION)
      throw std::runtime_error("the native engine is of another version; build again with 'mlffd lammps build --force'");
    if (options.double_precision || options.device != "cpu")
      throw std::runtime_error("the native engine computes in single precision on the CPU; for 'precision double' or "
                               "another device add 'backend torch'");
    mlffd_model *loaded;
    check(mlffd_load(path.c_str(), &loaded));
    model.reset(loaded);
    mlffd_system *made;
    check(mlffd_system_new(loaded, options.n_threads, &made));
    system.reset(made);
    for (int k = 0; k < mlffd_n_elements(loaded); k++) known.push_back(mlffd_element(loaded, k));
  }

  double cutoff() const override { return mlffd_cutoff(model.get()); }
  const std::vector<int> &elements() const override { return known; }
  bool is_committee() const override { return mlffd_n_members(model.get()) > 1; }
  int row_width() const override { return (mlffd_exchange_width(model.get()) + 1) / 2; }  // two floats in a double
  bool checks_structure() const override { return true; }

  void compute(const Domain &domain, Exchange &exchange, Sums &sums) override
  {
    counts.resize(domain.n_own);
    lists.resize(domain.n_own);
    for (int row = 0; row < domain.n_own; row++) {
      counts[row] = domain.first[row + 1] - domain.first[row];
      lists[row] = domain.neighbors.data() + domain.first[row];
    }
    const mlffd_neighbor_list list = {counts.data(), lists.data(), -1,
                                      static_cast<int64_t>(domain.image_of.size()), domain.image_of.data()};
    mlffd_results results = {};
    results.energy = &sums.energy;
    results.forces = sums.forces.data();  // of the owned rows; complete, so ghosts get none
    results.virial = sums.virial;
    results.atomic_energies = sums.atomic_energies.data();
    results.atomic_virials = sums.want_atomic_virials ? sums.atomic_virials.data() : nullptr;
    results.force_spread = sums.force_spread.empty() ? nullptr : sums.force_spread.data();
    check(mlffd_compute_domain(system.get(), domain.n_own, domain.n_rows, domain.numbers.data(), domain.positions.data(), &list,
                               exchange.single_rank() ? nullptr : exchange_rows, &exchange, &results));
  }

 private:
  struct Free {
    void operator()(mlffd_model *loaded) const { mlffd_free(loaded); }
    void operator()(mlffd_system *made) const { mlffd_system_free(made); }
  };
  std::unique_ptr<mlffd_model, Free> model;
  std::unique_ptr<mlffd_system, Free> system;
  std::vector<int> known;
  std::vector<int> counts;
  std::vector<const int *> lists;
};

}  // namespace

std::unique_ptr<Backend> load_native_backend(const std::string &path, const Options &options)
{
  return std::make_unique<NativeBackend>(path, options);
}

}  // namespace mlffd_lammps
