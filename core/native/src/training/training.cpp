// The C interface of training.
#include "training.h"

#include <memory>

#include "../guard.h"
#include "step.h"

using mlffd::guarded;
using mlffd::require;

struct mlffd_training_step {
  mlffd_training_step(const mlffd::training::Sizes& sizes, int n_threads) : step(sizes, n_threads) {}
  mlffd::training::Step step;
};

int mlffd_training_version(void) { return MLFFD_TRAINING_VERSION; }

int mlffd_training_new(const mlffd_training_sizes* sizes, int n_parameters, int n_threads,
                       mlffd_training_step** step) {
  if (step) *step = nullptr;
  return guarded([&] {
    require(sizes && step, "expected sizes and where to put the step");
    require(n_threads >= 1 && n_threads <= 1024, "expected a number of threads within 1 … 1024");
    const auto of_species = [&](const double* p) { return std::vector<double>(p, p + sizes->n_species); };
    const auto of_terms = [](const double* p) { return std::vector<double>(p, p + 4); };
    auto made = std::make_unique<mlffd_training_step>(
        mlffd::training::Sizes{
            sizes->n_features,
            sizes->n_message_passes,
            sizes->n_rbf,
            sizes->n_species,
            sizes->cutoff,
            {of_species(sizes->charge), of_species(sizes->charge_power), of_species(sizes->radius),
             of_terms(sizes->amplitudes), of_terms(sizes->exponents)}},
        n_threads);
    require(static_cast<std::size_t>(n_parameters) == made->step.n_parameters(),
            "expected as many parameters as the network has");
    *step = made.release();
  });
}

void mlffd_training_free(mlffd_training_step* step) { delete step; }

int mlffd_training_forward(mlffd_training_step* step, const float* const* parameters,
                           const mlffd_training_batch* batch, float* energies, float* forces) {
  return guarded([&] {
    step->step.forward(parameters, {batch->message_scale, batch->energy_scale},
                       {batch->n_atoms, batch->n_edges, batch->species, batch->structures, batch->receivers,
                        batch->senders, batch->edge_vec},
                       energies, forces);
  });
}

int mlffd_training_backward(mlffd_training_step* step, const float* grad_energies, const float* grad_forces,
                            float* const* gradients) {
  return guarded([&] { step->step.backward(grad_energies, grad_forces, gradients); });
}
