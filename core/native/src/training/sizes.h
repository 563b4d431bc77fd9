// What a student's training needs to know besides its parameters.
#pragma once

#include "../student.h"

namespace mlffd::training {

// F features, L message passes, R radial functions, S species.
struct Sizes {
  int n_features, n_message_passes, n_rbf, n_species;
  double cutoff;
  RepulsionWeights repulsion;
};

}  // namespace mlffd::training
