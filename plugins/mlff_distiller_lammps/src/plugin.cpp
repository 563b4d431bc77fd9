// What LAMMPS calls when it loads the plugin: registers the pair style.
#include "error.h"
#include "lammps_plugin.h"
#include "library.h"
#include "pair_distilled.h"
#if __has_include("version.h")
#include "version.h"
#endif

using namespace LAMMPS_NS;

// A source tree says its version. The wheel does not, but has a build folder for each version, so what loads this is what it
// was compiled for.
static const char *compiled_for(const LAMMPS *lmp)
{
#ifdef LAMMPS_VERSION
  return LAMMPS_VERSION;
#else
  return lmp->version;
#endif
}

static void check_integers(LAMMPS *lmp)
{
  const int tag = lammps_extract_setting(lmp, "tagint"), big = lammps_extract_setting(lmp, "bigint");
  if (tag != static_cast<int>(sizeof(tagint)) || big != static_cast<int>(sizeof(bigint)))
    lmp->error->all(FLERR,
                    "pair style distilled was compiled for integers of SMALLBIG, and this LAMMPS has others (atom IDs of {} "
                    "bytes); build it with -DLAMMPS_SIZES=smallbig",
                    tag);
}

static void *create_pair_distilled(void *lammps) { return new PairDistilled(static_cast<LAMMPS *>(lammps)); }

extern "C" void lammpsplugin_init(void *lammps, void *handle, void *regfunc)
{
  LAMMPS *const lmp = static_cast<LAMMPS *>(lammps);
  check_integers(lmp);
  lammpsplugin_t plugin;
  plugin.version = compiled_for(lmp);
  plugin.style = "pair";
  plugin.name = "distilled";
  plugin.info = "Distilled PaiNN potential (mlff-distiller)";
  plugin.author = "the authors of mlff-distiller";
  plugin.creator.v1 = &create_pair_distilled;
  plugin.handle = handle;
  (*reinterpret_cast<lammpsplugin_regfunc>(regfunc))(&plugin, lammps);
}
