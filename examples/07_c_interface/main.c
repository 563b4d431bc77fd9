/* Energy and forces of a water molecule, from C.
 *
 *     cmake -S core/native -B build && cmake --build build
 *     cc -std=c99 -Icore/native/include examples/07_c_interface/main.c \
 *         -Lbuild -lmlffd -Wl,-rpath,$PWD/build -o water
 *     ./water core/mlff_distiller/pretrained/tiny/tiny.pt
 */
#include <stdio.h>

#include "mlffd.h"

enum { N = 3 };

static int report(void) {
  fprintf(stderr, "%s\n", mlffd_last_error());
  return 1;
}

int main(int argc, char** argv) {
  const int32_t atomic_numbers[N] = {8, 1, 1};
  const double positions[3 * N] = {0.0, 0.0, 0.119, 0.0, 0.763, -0.477, 0.0, -0.763, -0.477}; /* Å */
  const double skin = 0.5; /* Å; the neighbour list is kept until an atom has moved half of it */
  mlffd_model* model = NULL;
  mlffd_system* system = NULL;
  double energy, forces[3 * N];
  mlffd_results results = {0}; /* what is left null is not computed */
  int i, failed;

  if (argc != 2) {
    fprintf(stderr, "usage: %s STUDENT.pt\n", argv[0]);
    return 2;
  }
  if (mlffd_interface_version() != MLFFD_INTERFACE_VERSION) {
    fprintf(stderr, "compiled with another version of mlffd.h than the library\n");
    return 1;
  }
  if (mlffd_load(argv[1], &model) || mlffd_system_new(model, 1, &system)) return report();
  printf("cutoff %.2f Å, %d message passes, instruction set %s\n", mlffd_cutoff(model),
         mlffd_n_message_passes(model), mlffd_isa(model));

  results.energy = &energy;
  results.forces = forces;
  failed = mlffd_compute(system, N, atomic_numbers, positions, NULL, NULL, skin, &results);
  if (failed) {
    report();
  } else {
    printf("energy %.6f eV\n", energy);
    for (i = 0; i < N; ++i)
      printf("force on atom %d: %10.6f %10.6f %10.6f eV/Å\n", i, forces[3 * i], forces[3 * i + 1],
             forces[3 * i + 2]);
  }
  mlffd_system_free(system);
  mlffd_free(model);
  return failed;
}
