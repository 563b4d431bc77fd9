// What LAMMPS calls when it loads the plugin: registers the pair style.
#include "lammps_plugin.h"
#include "pair_distilled.h"

using namespace LAMMPS_NS;

static void *create_pair_distilled(void *lammps) { return new PairDistilled(static_cast<LAMMPS *>(lammps)); }

extern "C" void lammpsplugin_init(void *lammps, void *handle, void *regfunc)
{
  lammpsplugin_t plugin;
  // the build folder is one for each version of LAMMPS, so this plugin was compiled for the one that loads it
  plugin.version = static_cast<LAMMPS *>(lammps)->version;
  plugin.style = "pair";
  plugin.name = "distilled";
  plugin.info = "Distilled PaiNN potential (mlff-distiller)";
  plugin.author = "the authors of mlff-distiller";
  plugin.creator.v1 = &create_pair_distilled;
  plugin.handle = handle;
  (*reinterpret_cast<lammpsplugin_regfunc>(regfunc))(&plugin, lammps);
}
