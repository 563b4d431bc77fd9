// A student as its artifact describes it: plain numbers, checked, in no particular layout.
#pragma once

#include <string>
#include <vector>

#include "safetensors.h"

namespace mlffd {

// torch.nn.Linear: y = weight x + bias, weight (n_out, n_in).
struct Linear {
  std::size_t n_out = 0, n_in = 0;
  std::vector<double> weight, bias;
};

// The two linear layers around a SiLU.
struct Perceptron {
  Linear hidden, out;
};

struct MessageWeights {
  Perceptron phi;
  Linear filter;
};

struct UpdateWeights {
  Linear mix;  // U and V, without bias
  Perceptron a;
};

// Ziegler-Biersack-Littmark repulsion; the vectors run over the species.
struct RepulsionWeights {
  std::vector<double> charge, charge_power, radius;
  std::vector<double> amplitudes, exponents;  // of the four terms of the screening function
};

// F features, L message passes, R radial functions, S species.
struct Student {
  std::string metadata;  // the JSON document
  int n_features = 0, n_message_passes = 0, n_rbf = 0;
  double cutoff = 0.0;
  std::vector<int> elements;  // (S) atomic numbers, ascending

  double message_scale = 1.0, energy_scale = 1.0;
  std::vector<double> reference_energies;  // (S) eV
  std::vector<double> embedding;           // (S, F)
  std::vector<double> initial_phi;         // (S, 2F)
  Linear initial_filter;
  std::vector<UpdateWeights> updates;    // L - 1
  std::vector<MessageWeights> messages;  // L - 1
  UpdateWeights final_update;
  Perceptron readout;
  RepulsionWeights repulsion;
};

// The students of an artifact: one, or the members of a committee, which differ in their weights only. Throws
// ArtifactError with a sentence that names the file.
std::vector<Student> read_students(const std::string& path);

}  // namespace mlffd
