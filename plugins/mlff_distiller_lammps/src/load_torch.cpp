// Loads the library of the torch backend when a script first asks for it.
#include "backend.h"

#include <dlfcn.h>
#include <stdexcept>

namespace mlffd_lammps {

std::unique_ptr<Backend> load_torch_backend(const std::string &path, const Options &options)
{
  Dl_info self;
  dladdr(reinterpret_cast<void *>(&load_torch_backend), &self);
  const std::string plugin = self.dli_fname;
  const std::string library = plugin.substr(0, plugin.rfind('/') + 1) + "libmlffd_torch.so";
  void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    throw std::runtime_error("the torch backend cannot be loaded (" + std::string(dlerror()) +
                             "); build it again with 'mlffd lammps build --force'");
  using Make = Backend *(*)(const char *, const Options *);
  const auto make = reinterpret_cast<Make>(dlsym(handle, "mlffd_make_torch_backend"));
  if (!make) throw std::runtime_error("the torch backend is of another version; build it again with 'mlffd lammps build --force'");
  return std::unique_ptr<Backend>(make(path.c_str(), &options));
}

}  // namespace mlffd_lammps
