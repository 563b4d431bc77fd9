/* Training in the native engine, for mlff_distiller/training/native.py: not part of mlffd.h, and free to change with it.
 * Status codes and mlffd_last_error() as there. A step keeps what it allocated; one thread at a time may use it. */
#ifndef MLFFD_TRAINING_H
#define MLFFD_TRAINING_H

#include "mlffd.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlffd_training_step mlffd_training_step;

#define MLFFD_TRAINING_VERSION 1 /* grows with every change of this header */

/* F features, L message passes, R radial functions, S species; see model/potential.py. */
typedef struct mlffd_training_sizes {
  int32_t n_features, n_message_passes, n_rbf, n_species;
  double cutoff;                                /* Å */
  const double *charge, *charge_power, *radius; /* (S), of the repulsion */
  const double *amplitudes, *exponents;         /* (4) */
} mlffd_training_sizes;

/* N atoms of structures that follow one another, E directed edges with both directions of every pair. */
typedef struct mlffd_training_batch {
  double message_scale, energy_scale; /* of the student: 1 and eV */
  int64_t n_atoms, n_edges;
  const int64_t *species, *structures; /* (N) */
  const int64_t *receivers, *senders;  /* (E) */
  const float* edge_vec;               /* (E, 3) Å */
} mlffd_training_batch;

MLFFD_API int mlffd_training_version(void);

/* n_parameters: tensors of PaiNN, to be sure that both sides mean the same. */
MLFFD_API int mlffd_training_new(const mlffd_training_sizes* sizes, int n_parameters, int n_threads,
                                 mlffd_training_step** step);
MLFFD_API void mlffd_training_free(mlffd_training_step* step);

/* parameters: addresses of PaiNN's tensors in the order of torch. energies (N) eV, without reference energies; forces (N, 3) eV/Å */
MLFFD_API int mlffd_training_forward(mlffd_training_step* step, const float* const* parameters,
                                     const mlffd_training_batch* batch, float* energies, float* forces);

/* gradients: addresses of tensors like the parameters, which are overwritten. */
MLFFD_API int mlffd_training_backward(mlffd_training_step* step, const float* grad_energies,
                                      const float* grad_forces, float* const* gradients);

#ifdef __cplusplus
}
#endif

#endif
