// pair_style distilled: a distilled PaiNN student. Knows LAMMPS; knows no torch and no network.
#pragma once

#include "backend.h"
#include "ghost_rows.h"
#include "pair.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairDistilled : public Pair {
 public:
  explicit PairDistilled(class LAMMPS *);
  ~PairDistilled() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;
  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  void *extract_peratom(const char *, int &) override;
  double memory_usage() override;

 private:
  void load(const std::string &file);
  void check_ranks_agree(const std::string &path);
  void map_types(int, char **);
  void check_neighbors_are_complete();
  void check_masses();
  void check_hybrid_left_all_pairs();
  void assign_sites();
  void list_neighbors();
  void move_sites();
  void check_structure();
  void check_results();
  void tally();

  mlffd_lammps::Options options;
  std::string backend_name = "native";
  std::unique_ptr<mlffd_lammps::Backend> backend;
  std::vector<int> number_of_type;  // atomic number of each type, 0 for NULL; entry 0 unused

  mlffd_lammps::Domain domain;       // made anew with every neighbour list, but for the positions
  std::vector<int> atom_of;   // (sites) LAMMPS' atom
  std::vector<int> site_of;   // (LAMMPS' atoms, ghosts included) site, or -1 for types that are NULL
  bigint made_at = -1;        // the step of LAMMPS' neighbor list that they were made for
  mlffd_lammps::Sums sums;
  std::vector<double> force_spread;  // (LAMMPS' owned atoms) for fix pair

  mlffd_lammps::GhostRows ghosts;
};

}  // namespace LAMMPS_NS
