#include "student.h"

#include <algorithm>
#include <cmath>

#include "archive.h"
#include "error.h"
#include "json.h"

namespace mlffd {
namespace {

constexpr int FORMAT_VERSION = 2;
constexpr int MAX_MEMBERS = 64;
constexpr int MAX_FEATURES = 4096, MAX_PASSES = 64, MAX_RBF = 1024, MAX_ELEMENT = 118;
constexpr double MIN_CUTOFF = 1.0;  // Å; the filter tables need some room above the shortest distance allowed
constexpr double MAX_CUTOFF = 100.0;  // Å; beyond it every structure is one of errors

// Fills in all but the weights, and returns the number of members.
int read_metadata(Student& student, std::string_view document) {
  student.metadata = document;
  const json::Value metadata = json::parse(document);
  const double version = json::member(metadata, "format_version").real;
  if (version != FORMAT_VERSION)
    throw ArtifactError("it is of format " + std::to_string(std::lround(std::clamp(version, -1.0, 1e9))) +
                        ", and this library reads format " + std::to_string(FORMAT_VERSION) +
                        ": install the version that wrote it, or export the student again");
  const json::Value& architecture = json::member(metadata, "architecture");
  const auto size = [&](const char* name, int low, int high) {
    return static_cast<int>(json::integer(json::member(architecture, name), low, high, name));
  };
  student.n_features = size("n_features", 2, MAX_FEATURES);
  student.n_message_passes = size("n_interactions", 1, MAX_PASSES);
  student.n_rbf = size("n_rbf", 1, MAX_RBF);
  if (student.n_features % 2) throw ArtifactError("expected an even n_features");
  student.cutoff = json::member(architecture, "cutoff").real;
  if (!(student.cutoff >= MIN_CUTOFF && student.cutoff <= MAX_CUTOFF))
    throw ArtifactError("expected a cutoff within 1 … 100 Å");
  for (const json::Value& element : json::member(architecture, "elements").items)
    student.elements.push_back(
        static_cast<int>(json::integer(element, student.elements.empty() ? 1 : student.elements.back() + 1,
                                       MAX_ELEMENT, "ascending elements")));
  if (student.elements.empty()) throw ArtifactError("expected at least one element");
  const json::Value* const members = metadata.find("n_members");  // newer than the first artifacts
  return members ? static_cast<int>(json::integer(*members, 1, MAX_MEMBERS, "n_members")) : 1;
}

// The weights whose names begin with a prefix.
class Weights {
 public:
  Weights(std::map<std::string, Tensor>& tensors, std::string prefix)
      : tensors_(tensors), prefix_(std::move(prefix)) {}

  std::vector<double> take(const std::string& name, const std::vector<std::size_t>& shape) {
    const auto found = tensors_.find(prefix_ + name);
    if (found == tensors_.end()) throw ArtifactError("it lacks the weights " + prefix_ + name);
    if (found->second.shape != shape)
      throw ArtifactError("the weights " + prefix_ + name + " have another shape than expected");
    return std::move(found->second.values);
  }

  double scalar(const std::string& name) { return take(name, {}).front(); }

  Linear linear(const std::string& name, std::size_t n_out, std::size_t n_in, bool bias = true) {
    Linear layer{n_out, n_in, take(name + ".weight", {n_out, n_in}), std::vector<double>(n_out, 0.0)};
    if (bias) layer.bias = take(name + ".bias", {n_out});
    return layer;
  }

  // torch.nn.Sequential(Linear, SiLU, Linear)
  Perceptron perceptron(const std::string& name, std::size_t n_in, std::size_t n_hidden, std::size_t n_out) {
    return {linear(name + ".0", n_hidden, n_in), linear(name + ".2", n_out, n_hidden)};
  }

 private:
  std::map<std::string, Tensor>& tensors_;
  const std::string prefix_;
};

void read_weights(Student& student, Weights weights) {
  const auto F = static_cast<std::size_t>(student.n_features), R = static_cast<std::size_t>(student.n_rbf);
  const std::size_t S = student.elements.size();
  student.message_scale = weights.scalar("painn.message_scale");
  student.energy_scale = weights.scalar("energy_scale");
  student.reference_energies = weights.take("reference.e0", {S});
  student.embedding = weights.take("painn.embedding.weight", {S, F});
  student.initial_phi = weights.take("painn.initial_message.phi.weight", {S, 2 * F});
  student.initial_filter = weights.linear("painn.initial_message.filter.linear", 2 * F, R);
  for (int l = 0; l + 1 < student.n_message_passes; ++l) {
    const std::string update = "painn.updates." + std::to_string(l),
                      message = "painn.messages." + std::to_string(l);
    student.updates.push_back({weights.linear(update + ".mix", 2 * F, F, false),
                               weights.perceptron(update + ".a", 2 * F, F, 3 * F)});
    student.messages.push_back({weights.perceptron(message + ".phi", F, F, 3 * F),
                                weights.linear(message + ".filter.linear", 3 * F, R)});
  }
  student.final_update = {weights.linear("painn.final_update.mix", 2 * F, F, false),
                          weights.perceptron("painn.final_update.a", 2 * F, F, 2 * F)};
  student.readout = weights.perceptron("painn.readout", F, F / 2, 1);
  student.repulsion = {weights.take("repulsion.charge", {S}), weights.take("repulsion.charge_power", {S}),
                       weights.take("repulsion.radius", {S}), weights.take("repulsion.amplitudes", {4}),
                       weights.take("repulsion.exponents", {4})};
  for (const double radius : student.repulsion.radius)
    if (!(radius > 0)) throw ArtifactError("expected positive covalent radii");
}

}  // namespace

std::vector<Student> read_students(const std::string& path) {
  try {
    const std::string file = read_file(path);
    Student common;
    const auto metadata = find_entry(file, "/extra/metadata.json");
    if (!metadata)
      throw ArtifactError("it holds no metadata: it was not exported by mlff-distiller, use `mlffd export`");
    const int n_members = read_metadata(common, *metadata);
    const auto weights = find_entry(file, "/extra/weights.safetensors");
    if (!weights)
      throw ArtifactError(
          "it was exported before artifacts carried plain weights: export it again with "
          "`mlffd export OLD.pt -o NEW.pt`");
    std::map<std::string, Tensor> tensors = read_safetensors(*weights);
    std::vector<Student> students(static_cast<std::size_t>(n_members), common);
    for (int k = 0; k < n_members; ++k)
      read_weights(students[static_cast<std::size_t>(k)],
                   Weights(tensors, n_members == 1 ? "" : "members." + std::to_string(k) + "."));
    return students;
  } catch (const ArtifactError& error) {
    throw ArtifactError(path + " cannot be used: " + error.what());
  }
}

}  // namespace mlffd
