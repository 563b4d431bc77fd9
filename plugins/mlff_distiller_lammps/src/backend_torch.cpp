// The exported TorchScript student. The only file here that knows torch; compiled into a library of its own, so that LAMMPS
// loads torch only when a script asks for it.
//
// Message passing across ranks: features of ghosts are exchanged forward before each message after the first, their gradients
// backward by the exchange's own backward function. So ghosts reach one cutoff only, and the result is exact.
#include "backend.h"
#include "edges.h"
#include "mean.h"

#include <c10/core/AutogradState.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <cstring>
#include <stdexcept>

namespace mlffd_lammps {
namespace {

using torch::Tensor;

// The rows of a contiguous tensor on the CPU.
class TensorRows : public Rows {
 public:
  explicit TensorRows(const Tensor &tensor)
      : bytes(static_cast<char *>(tensor.data_ptr())), size(tensor.size(1) * tensor.element_size())
  {
  }
  std::size_t row_bytes() const { return size; }
  void get(int row, void *values) override { std::memcpy(values, bytes + row * size, size); }
  void set(int row, const void *values) override { std::memcpy(bytes + row * size, values, size); }

 private:
  char *bytes;
  std::size_t size;
};

// Forward: the owned rows (n_own, W) to all rows (n_rows, W). Backward: gradients of ghost rows go to their owners.
struct ExchangeRows : public torch::autograd::Function<ExchangeRows> {
  static Tensor forward(torch::autograd::AutogradContext *context, const Tensor &owned, int64_t n_rows, int64_t address)
  {
    context->saved_data["exchange"] = address;
    context->saved_data["n_own"] = owned.size(0);
    Tensor rows = torch::zeros({n_rows, owned.size(1)}, torch::TensorOptions(owned.dtype()));
    rows.narrow(0, 0, owned.size(0)).copy_(owned.detach());  // to the CPU, where LAMMPS' communication is
    TensorRows each(rows);
    reinterpret_cast<Exchange *>(address)->forward(each, each.row_bytes());
    return rows.to(owned.device());
  }

  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext *context,
                                               torch::autograd::tensor_list gradients)
  {
    const Tensor gradient = gradients[0];
    Tensor rows = gradient.to(torch::kCPU, torch::kDouble).contiguous().clone();
    auto *exchange = reinterpret_cast<Exchange *>(context->saved_data["exchange"].toInt());
    exchange->reverse(rows.data_ptr<double>(), static_cast<int>(rows.size(1)));
    const Tensor owned = rows.narrow(0, 0, context->saved_data["n_own"].toInt());
    return {owned.to(gradient.device(), gradient.scalar_type()), Tensor(), Tensor()};
  }
};

// The edges of a domain as tensors, made once for all members of a committee.
struct EdgeTensors {
  Tensor numbers, index, vectors;
};

// One student of the file.
class Student {
 public:
  Student(torch::jit::Module student, bool double_precision) : module(std::move(student))
  {
    if (!module.find_method("domain_start"))
      throw std::runtime_error("it was exported by an older mlff-distiller; write it again with 'mlffd export'");
    if (double_precision) to_double();  // single is what the file holds; E0 is double in both
    n_features = module.attr("n_features").toInt();
    n_layers = module.attr("n_interactions").toInt();
  }

  int64_t features() const { return n_features; }
  double cutoff() const { return module.attr("cutoff").toDouble(); }
  std::vector<int> elements() const
  {
    std::vector<int> known;
    for (const auto z : module.attr("elements").toIntVector()) known.push_back(static_cast<int>(z));
    return known;
  }

  void compute(const Domain &domain, Exchange &exchange, const Edges &edges, const EdgeTensors &tensors, Sums &sums)
  {
    const auto dtype = module.attr("energy_scale").toTensor().scalar_type();
    const Tensor edge_vec = tensors.vectors.to(dtype).detach().requires_grad_(true);
    const Tensor species = run("species", {tensors.numbers}).toTensor();
    const Tensor e = interaction_energies(domain, exchange, species, tensors.index, edge_vec);
    const Tensor gradient =
        torch::autograd::grad({e.sum()}, {edge_vec})[0].to(torch::kCPU, torch::kDouble).contiguous();

    const Tensor e0 = module.attr("reference").toModule().attr("e0").toTensor();
    const Tensor energies = (e.detach().to(torch::kDouble) + e0.index({species.narrow(0, 0, domain.n_own)}))
                                .to(torch::kCPU).contiguous();
    sums.atomic_energies.assign(energies.data_ptr<double>(), energies.data_ptr<double>() + domain.n_own);
    for (const double energy : sums.atomic_energies) sums.energy += energy;
    edges.add_gradient(gradient.data_ptr<double>(), sums);
  }

 private:
  // Module::to(dtype) would turn the integer tables into floating-point numbers too
  void to_double()
  {
    const auto convert = [](Tensor x) {
      if (x.is_floating_point()) x.set_data(x.to(torch::kDouble));
    };
    for (const Tensor &x : module.parameters()) convert(x);
    for (const Tensor &x : module.buffers()) convert(x);
  }

  // (n_own) eV. The stages are those of StudentForceField.domain_start … domain_finish.
  Tensor interaction_energies(const Domain &domain, Exchange &exchange, const Tensor &species, const Tensor &edge_index,
                              const Tensor &edge_vec)
  {
    const auto start = run("domain_start", {species, edge_index, edge_vec}).toTuple()->elements();
    Tensor s = start[0].toTensor(), v = start[1].toTensor();
    for (int64_t layer = 0; layer + 1 < n_layers; layer++) {
      const auto updated =
          run("domain_update", {layer, s.narrow(0, 0, domain.n_own), v.narrow(0, 0, domain.n_own)}).toTuple()->elements();
      const Tensor owned =
          torch::cat({updated[0].toTensor(), updated[1].toTensor().reshape({domain.n_own, 3 * n_features})}, 1);
      const Tensor rows =
          ExchangeRows::apply(owned, static_cast<int64_t>(domain.n_rows), reinterpret_cast<int64_t>(&exchange));
      const auto received = run("domain_message",
                                {layer, rows.narrow(1, 0, n_features),
                                 rows.narrow(1, n_features, 3 * n_features).reshape({domain.n_rows, 3, n_features}),
                                 edge_index, start[2], start[3], start[4]}).toTuple()->elements();
      s = received[0].toTensor();
      v = received[1].toTensor();
    }
    return run("domain_finish", {species, s.narrow(0, 0, domain.n_own), v.narrow(0, 0, domain.n_own), edge_index, edge_vec})
        .toTensor();
  }

  torch::IValue run(const std::string &method, std::vector<torch::IValue> inputs)
  {
    return module.get_method(method)(std::move(inputs));
  }

  torch::jit::Module module;
  int64_t n_features, n_layers;
};

torch::Device device_called(const std::string &name)
{
  try {
    return torch::Device(name);
  } catch (const c10::Error &failure) {
    throw std::runtime_error("'" + name + "' is no device of torch: " + failure.what_without_backtrace());
  }
}

class TorchBackend : public Backend {
 public:
  TorchBackend(const std::string &path, const Options &options) : device(device_called(options.device))
  {
    at::set_num_threads(options.n_threads);
    // for a GPU, autograd would call ExchangeRows::backward in a thread of its own, where MPI must not be called
    c10::AutogradState::get_tls_state().set_multithreading_enabled(false);
    try {
      torch::jit::Module module = torch::jit::load(path, device);
      module.eval();
      if (!module.hasattr("members")) students.emplace_back(module, options.double_precision);
      else
        for (const auto &member : module.attr("members").toModule().children())
          students.emplace_back(member, options.double_precision);
    } catch (const c10::Error &failure) {
      throw std::runtime_error(path + " cannot be loaded by torch: " + failure.what_without_backtrace());
    } catch (const std::runtime_error &failure) {
      throw std::runtime_error(path + " cannot be used: " + failure.what());
    }
    known = students.front().elements();
    student_cutoff = students.front().cutoff();
  }

  double cutoff() const override { return student_cutoff; }
  const std::vector<int> &elements() const override { return known; }
  bool is_committee() const override { return students.size() > 1; }
  int row_width() const override { return static_cast<int>(4 * students.front().features()); }
  bool checks_structure() const override { return false; }

  void compute(const Domain &domain, Exchange &exchange, Sums &sums) override
  try {
    edges.collect(domain, student_cutoff);
    const auto n_edges = static_cast<int64_t>(edges.size());
    const Tensor numbers =
        torch::from_blob(const_cast<int *>(domain.numbers.data()), {domain.n_rows}, torch::kInt32);
    const EdgeTensors tensors = {
        numbers.to(device, torch::kInt64),
        torch::stack({torch::from_blob(edges.receivers.data(), {n_edges}, torch::kInt64),
                      torch::from_blob(edges.senders.data(), {n_edges}, torch::kInt64)}).to(device),
        torch::from_blob(edges.vectors.data(), {n_edges, 3}, torch::kDouble).to(device)};
    if (students.size() == 1) return students.front().compute(domain, exchange, edges, tensors, sums);
    std::vector<Sums> found(students.size(), sums);  // sized and zeroed
    for (std::size_t k = 0; k < students.size(); k++)
      students[k].compute(domain, exchange, edges, tensors, found[k]);
    write_mean(domain, exchange, found, sums);
  } catch (const c10::Error &failure) {
    throw std::runtime_error(failure.what_without_backtrace());
  }

 private:
  torch::Device device;
  std::vector<Student> students;
  double student_cutoff;
  std::vector<int> known;
  Edges edges;
};

}  // namespace
}  // namespace mlffd_lammps

// The one symbol that the plugin looks up.
extern "C" mlffd_lammps::Backend *mlffd_make_torch_backend(const char *path, const mlffd_lammps::Options *options)
{
  return new mlffd_lammps::TorchBackend(path, *options);
}
