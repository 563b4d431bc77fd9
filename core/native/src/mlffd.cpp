// The C interface: arguments checked, exceptions turned into status codes.
#include "mlffd.h"

#include <cmath>
#include <limits>
#include <memory>

#include "committee.h"
#include "elements.h"
#include "guard.h"
#include "isa.h"
#include "rows.h"
#include "student.h"
#include "system.h"

struct mlffd_model {
  std::shared_ptr<const mlffd::Committee> committee;

  const mlffd::Model& first() const { return committee->first(); }
};

struct mlffd_system {
  mlffd::System system;
};

using mlffd::guarded;
using mlffd::require;

namespace {

void require_count(std::int64_t n) {
  require(n >= 0 && n <= mlffd::MAX_ATOMS, "expected a number of atoms of at least 0 and below 1.3e8");
}

void require_row(const mlffd_rows* rows, std::int64_t row, const float* values) {
  require(rows && values, "expected rows and values, got a null pointer");
  require(row >= 0 && row < rows->n_rows, "expected a row within 0 … n_rows - 1");
}

}  // namespace

int mlffd_interface_version(void) { return MLFFD_INTERFACE_VERSION; }

const char* mlffd_last_error(void) { return mlffd::last_error().c_str(); }

int mlffd_load(const char* path, mlffd_model** model) {
  if (model) *model = nullptr;
  return guarded([&] {
    require(path && model, "expected a path and where to put the model");
    *model = new mlffd_model{
        std::make_shared<const mlffd::Committee>(mlffd::read_students(path), mlffd::choose_kernels())};
  });
}

void mlffd_free(mlffd_model* model) { delete model; }

double mlffd_cutoff(const mlffd_model* model) { return model ? model->first().student.cutoff : 0.0; }

int mlffd_n_message_passes(const mlffd_model* model) {
  return model ? model->first().student.n_message_passes : 0;
}

int mlffd_n_features(const mlffd_model* model) { return model ? model->first().student.n_features : 0; }

int mlffd_n_elements(const mlffd_model* model) {
  return model ? static_cast<int>(model->first().student.elements.size()) : 0;
}

int mlffd_element(const mlffd_model* model, int index) {
  return index >= 0 && index < mlffd_n_elements(model)
             ? model->first().student.elements[static_cast<std::size_t>(index)]
             : 0;
}

const char* mlffd_element_symbol(int atomic_number) { return mlffd::element_symbol(atomic_number); }

const char* mlffd_metadata(const mlffd_model* model) {
  return model ? model->first().student.metadata.c_str() : "";
}

const char* mlffd_isa(const mlffd_model* model) { return model ? model->first().kernels.name : ""; }

int mlffd_system_new(const mlffd_model* model, int n_threads, mlffd_system** system) {
  if (system) *system = nullptr;
  return guarded([&] {
    require(model && system, "expected a model and where to put the system");
    require(n_threads >= 1 && n_threads <= 1024, "expected a number of threads within 1 … 1024");
    *system = new mlffd_system{{model->committee, n_threads}};
  });
}

void mlffd_system_free(mlffd_system* system) { delete system; }

int mlffd_compute(mlffd_system* system, int64_t n, const int32_t* atomic_numbers, const double* positions,
                  const double* cell, const int32_t* pbc, double skin, const mlffd_results* results) {
  return guarded([&] {
    require(system && results && (n == 0 || (atomic_numbers && positions)),
            "expected a system, atoms and results, got a null pointer");
    require_count(n);
    require(!cell == !pbc, "expected a cell together with pbc, or neither");
    require(std::isfinite(skin) && skin >= 0.0, "expected a skin of at least 0 Å");
    system->system.compute(n, atomic_numbers, positions, cell, pbc, skin, *results);
  });
}

int64_t mlffd_n_neighbor_searches(const mlffd_system* system) {
  return system ? system->system.n_neighbor_searches() : 0;
}

int mlffd_compute_edges(mlffd_system* system, int64_t n, const int32_t* atomic_numbers, int64_t n_edges,
                        const int64_t* receivers, const int64_t* senders, const double* edge_vec,
                        const mlffd_results* results) {
  return guarded([&] {
    require(system && results && (n == 0 || atomic_numbers),
            "expected a system, atoms and results, got a null pointer");
    require(n_edges == 0 || (receivers && senders && edge_vec), "expected edges, got a null pointer");
    require_count(n);
    require(n_edges >= 0 && n_edges < std::numeric_limits<std::int32_t>::max(),
            "expected a number of edges of at least 0 and below 2^31");
    system->system.compute_edges(n, atomic_numbers, n_edges, receivers, senders, edge_vec, *results);
  });
}

int mlffd_n_members(const mlffd_model* model) {
  return model ? static_cast<int>(model->committee->size()) : 0;
}

int mlffd_n_exchanges(const mlffd_model* model) {
  return mlffd_n_members(model) * (2 * mlffd_n_message_passes(model) - 1);
}

int mlffd_exchange_width(const mlffd_model* model) { return mlffd::M_PARTS * mlffd_n_features(model); }

int mlffd_rows_get(const mlffd_rows* rows, int64_t row, float* values) {
  return guarded([&] {
    require_row(rows, row, values);
    rows->get(row, values);
  });
}

int mlffd_rows_set(mlffd_rows* rows, int64_t row, const float* values) {
  return guarded([&] {
    require_row(rows, row, values);
    rows->set(row, values);
  });
}

int mlffd_compute_domain(mlffd_system* system, int64_t n_own, int64_t n_all, const int32_t* atomic_numbers,
                         const double* positions, const mlffd_neighbor_list* list, mlffd_exchange_fn exchange,
                         void* context, const mlffd_results* results) {
  return guarded([&] {
    require(system && results && (n_all == 0 || (atomic_numbers && positions)),
            "expected a system, atoms and results, got a null pointer");
    require(exchange || n_all == n_own,
            "expected an exchange function, since there are ghosts, got a null pointer");
    require_count(n_all);
    require(n_own >= 0 && n_own <= n_all, "expected n_own within 0 … n_all");
    mlffd_neighbor_list given = list ? *list : mlffd_neighbor_list{};
    if (given.index_mask == 0) given.index_mask = -1;
    const mlffd::Exchange with_others{exchange, context};
    system->system.compute_domain(n_own, n_all, atomic_numbers, positions, given,
                                  exchange ? &with_others : nullptr, *results);
  });
}
