/* mlffd.h: distilled PaiNN students on CPUs, for programs in C, C++, Fortran, Julia, Python, ...
 *
 * Units: Å, eV. Arrays are contiguous and row-major; cell rows are lattice vectors. Link with -lmlffd.
 *
 *     mlffd_model *model;
 *     mlffd_system *system;
 *     double energy, forces[3 * N];
 *     mlffd_results results = {.energy = &energy, .forces = forces};
 *     if (mlffd_load("tiny.pt", &model) || mlffd_system_new(model, 1, &system)
 *         || mlffd_compute(system, N, numbers, positions, NULL, NULL, 0.5, &results))
 *         fprintf(stderr, "%s\n", mlffd_last_error());
 *
 * A model is immutable and may be shared by threads. A system holds the memory of a calculation: one thread
 * at a time may use it, and it keeps what it allocated for the next step. Every function that can fail
 * returns MLFFD_OK (0) or an error code, and mlffd_last_error() then says in one sentence what was expected,
 * what came, and what to do.
 */
#ifndef MLFFD_H
#define MLFFD_H

#include <stdint.h>

#if defined(__GNUC__)
#define MLFFD_API __attribute__((visibility("default")))
#else
#define MLFFD_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows with every incompatible change of this header; compare with mlffd_interface_version(). */
#define MLFFD_INTERFACE_VERSION 5

enum mlffd_status {
  MLFFD_OK = 0,
  MLFFD_STRUCTURE_ERROR = 1, /* nothing to evaluate: NaN, unknown element, overlap, singular cell; or results
                              * that are not finite */
  MLFFD_ARTIFACT_ERROR = 2,  /* a file that is missing, damaged, or of an unknown format */
  MLFFD_ARGUMENT_ERROR = 3,  /* a mistake of the calling program, or an unknown MLFFD_ISA */
  MLFFD_EXCHANGE_ERROR = 4,  /* the exchange callback of a domain reported a failure */
  MLFFD_INTERNAL_ERROR = 5   /* out of memory, or a defect of this library */
};

typedef struct mlffd_model mlffd_model;
typedef struct mlffd_system mlffd_system;

/* Where to write the results; null pointers are skipped. virial = -dE/dε = -Σ_pairs r ⊗ dE/dr, not divided by
 * a volume. */
typedef struct mlffd_results {
  double* energy;          /* (1) eV, reference energies of the free atoms included */
  double* forces;          /* (n, 3) eV/Å */
  double* virial;          /* (9) eV */
  double* atomic_energies; /* (n) eV */
  double* atomic_virials;  /* (n, 9) eV; half of each pair's virial to each of its atoms */
  double* force_spread;    /* (n) eV/Å, sqrt(Σ_m |F_m - F̄|² / M) over the members of a committee, or 0 */
} mlffd_results;

/* The interface version that the library was built with. */
MLFFD_API int mlffd_interface_version(void);

/* Why the last call of this thread failed; valid until the thread's next call. */
MLFFD_API const char* mlffd_last_error(void);

/* Read an artifact (the .pt file that `mlffd export` writes). After a failure *model is null, and freeing null does
 * nothing. The environment variable MLFFD_ISA (portable, avx2, avx512) overrides the choice of instructions, which
 * otherwise is the best that the processor has. */
MLFFD_API int mlffd_load(const char* path, mlffd_model** model);

/* Systems that use the model stay valid. */
MLFFD_API void mlffd_free(mlffd_model* model);

/* What a model is; 0 or "" of a null pointer. */
MLFFD_API double mlffd_cutoff(const mlffd_model* model);        /* Å */
MLFFD_API int mlffd_n_message_passes(const mlffd_model* model); /* L */
MLFFD_API int mlffd_n_features(const mlffd_model* model);       /* F */
MLFFD_API int mlffd_n_elements(const mlffd_model* model);
MLFFD_API int mlffd_element(const mlffd_model* model, int index); /* atomic number, or 0 */
MLFFD_API const char* mlffd_element_symbol(int atomic_number);    /* "H" of 1; "" where there is no such element */
MLFFD_API const char* mlffd_metadata(const mlffd_model* model);   /* metadata.json, UTF-8; lives with the model */
MLFFD_API int mlffd_n_members(const mlffd_model* model);          /* of a committee; 1 for a student */
MLFFD_API const char* mlffd_isa(const mlffd_model* model);        /* "portable", "avx2" or "avx512" */

/* Memory and threads for calculations with a model. Results do not depend on the number of threads. */
MLFFD_API int mlffd_system_new(const mlffd_model* model, int n_threads, mlffd_system** system);
MLFFD_API void mlffd_system_free(mlffd_system* system);

/* One structure of n atoms with the library's own neighbour list.
 *
 * The list holds pairs up to cutoff + skin and is kept until an atom has moved by skin / 2, or n, the atomic
 * numbers, the cell or pbc change. cell (9) and pbc (3) are both null for a structure in open space; rows of
 * cell along which pbc is 0 are ignored. Any triclinic cell will do, also one smaller than the cutoff. */
MLFFD_API int mlffd_compute(mlffd_system* system, int64_t n, const int32_t* atomic_numbers,
                            const double* positions, const double* cell, const int32_t* pbc, double skin,
                            const mlffd_results* results);

/* How often mlffd_compute had to search for neighbours since the system was made. */
MLFFD_API int64_t mlffd_n_neighbor_searches(const mlffd_system* system);

/* The caller's edges, in any order, both directions of every pair: edge_vec (n_edges, 3) points from receiver
 * to sender. Edges beyond the cutoff count for nothing. */
MLFFD_API int mlffd_compute_edges(mlffd_system* system, int64_t n, const int32_t* atomic_numbers,
                                  int64_t n_edges, const int64_t* receivers, const int64_t* senders,
                                  const double* edge_vec, const mlffd_results* results);

/* Engines that divide space between processes.
 *
 * Atoms 0 … n_own - 1 belong to this process; atoms n_own … n_all - 1 are copies ("ghosts") of atoms of any
 * process, periodic images included, at positions that are already shifted. Every atom within one cutoff of
 * an own atom must be there. The neighbour list is a full one of the own atoms, with a skin or without: own
 * atom i has n_neighbors[i] neighbours neighbors[i][k] & index_mask.
 *
 * Periodic images of own atoms, and further images of ghosts, may instead follow all of these, as atoms
 * n_all … n_all + n_images - 1: they need positions and no atomic numbers, and share the rows of the atoms that they
 * are images of. They are cheaper than ghosts: nothing is exchanged for them, and a pair of an own atom and an image
 * of an own atom is computed once.
 *
 * exchange(context, rows, n_rows, width) is called mlffd_n_exchanges() times in every step, on every process, also
 * where n_own = 0 or where something is wrong with this process's atoms or its list (but not after a null pointer or
 * impossible numbers of atoms, which are the calling program's). There are n_rows = n_all rows of `width` float32. It
 * copies those of own atoms that others have as ghosts into its messages (mlffd_rows_get) and sets those of its ghosts to
 * what their owners sent (mlffd_rows_set). A ghost's row can be read again once it is set. It returns 0, or anything else
 * to give up; it must not throw, jump out, or use the same system. A single process without ghosts may pass null.
 *
 * Energy, atomic energies and atomic virials are those of the own atoms; the virial is this process's share,
 * so that sums over processes are those of the whole. Forces on own atoms are complete: no force is to be
 * sent back. */
typedef struct mlffd_rows mlffd_rows; /* exists during the call of an exchange */
typedef int (*mlffd_exchange_fn)(void* context, mlffd_rows* rows, int64_t n_rows, int width);
MLFFD_API int mlffd_rows_get(const mlffd_rows* rows, int64_t row, float* values);
MLFFD_API int mlffd_rows_set(mlffd_rows* rows, int64_t row, const float* values);

typedef struct mlffd_neighbor_list {
  const int32_t* n_neighbors;      /* (n_own) */
  const int32_t* const* neighbors; /* (n_own) pointers */
  int32_t index_mask;              /* -1 or 0 for none; LAMMPS keeps flags in the upper bits */
  int64_t n_images;
  const int32_t* image_of; /* (n_images) the own atom or the ghost that each is an image of */
} mlffd_neighbor_list;

MLFFD_API int mlffd_n_exchanges(const mlffd_model* model);    /* calls a step: 2 L - 1 for each member */
MLFFD_API int mlffd_exchange_width(const mlffd_model* model); /* the widest row: 5 F */
MLFFD_API int mlffd_compute_domain(mlffd_system* system, int64_t n_own, int64_t n_all,
                                   const int32_t* atomic_numbers, const double* positions,
                                   const mlffd_neighbor_list* list, mlffd_exchange_fn exchange, void* context,
                                   const mlffd_results* results);

#ifdef __cplusplus
}
#endif
#endif
