// pair_style distilled: a distilled PaiNN student. Knows LAMMPS; knows no torch and no network.
#pragma once

#include "backend.h"
#include "pair.h"

#include <memory>
#include <string>
#include <unordered_map>
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
  // LAMMPS' communication as the backend sees it. (A member and no base class: Pair's destructor may throw.)
  class RankExchange : public mlffd_lammps::Exchange {
   public:
    explicit RankExchange(PairDistilled &style) : pair(style) {}
    bool single_rank() const override;
    void forward(void *rows, std::size_t row_bytes) override;
    void reverse(double *rows, int width) override;

   private:
    PairDistilled &pair;
  };

  void load(const std::string &file);
  void map_types(int, char **);
  void check_neighbors_are_complete();
  void assign_sites();
  void agree_on_rows();
  void list_neighbors();
  void move_sites();
  void check_structure();
  void tally();
  bool is_ghost(int site) const { return site >= domain.n_own && site < domain.n_rows; }

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

  // Rows on their way between ranks. A swap of LAMMPS sends a list of atoms, which is known by its address: of these, the
  // receiver has a row of its own for the entries that are asked for here.
  std::unordered_map<const int *, std::vector<int>> asked_for;
  bool agreeing = false;
  char *rows_bytes = nullptr;
  std::size_t row_size = 0;
  double *rows_double = nullptr;
  int row_width = 0;
};

}  // namespace LAMMPS_NS
