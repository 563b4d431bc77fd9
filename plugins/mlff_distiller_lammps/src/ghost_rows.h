// Rows of ghosts on their way between ranks, over LAMMPS' own communication.
//
// LAMMPS has a ghost for every copy of an atom within reach, most of them copies of what is known already: only rows travel.
// What makes that right:
// - Of the copies of an atom of another rank the first is its row (assign_sites). `agree` tells every sender which entries of
//   its lists have a row at the receiver, and only these are sent.
// - A swap may pass on ghosts that came with an earlier swap. The first copy is the one with a row, so the row is there by
//   then; and backwards, a row is sent on only after the swaps that add to it.
// - A list of a swap is known by its address. Lists and sites stay as they are until LAMMPS makes its next neighbor list, in
//   the same step on every rank (also where atoms change their type, as in fix atom/swap): then all agree anew.
// - A sender may have filled only the rows that a ghost within the cutoff needs. The others travel too, and nobody reads them.
#pragma once

#include "backend.h"
#include "lammps.h"
#include "pair.h"

#include <unordered_map>
#include <vector>

namespace mlffd_lammps {

class GhostRows : public Exchange {
 public:
  // domain and site_of (of LAMMPS' atoms: the site, or -1) are the pair style's, which outlive this.
  GhostRows(LAMMPS_NS::LAMMPS &, LAMMPS_NS::Pair &, const Domain &domain, const std::vector<int> &site_of);

  void agree();  // on every rank, after every new list

  bool single_rank() const override;
  void forward(Rows &rows, std::size_t row_bytes) override;
  void reverse(double *rows, int width) override;

  // What LAMMPS calls of the pair style while one of the above runs; all return the doubles written.
  int pack_forward(const int *atoms, double *buffer) const;
  void unpack_forward(int n, int first, const double *buffer);
  int pack_reverse(int n, int first, double *buffer) const;
  void unpack_reverse(int n, const int *atoms, const double *buffer);

 private:
  bool is_ghost(int site) const { return site >= domain.n_own && site < domain.n_rows; }
  std::size_t row_doubles() const { return (row_bytes + sizeof(double) - 1) / sizeof(double); }

  LAMMPS_NS::LAMMPS &lammps;
  LAMMPS_NS::Pair &pair;
  const Domain &domain;
  const std::vector<int> &site_of;
  std::unordered_map<const int *, std::vector<int>> asked_for;  // by the list of a swap: its entries that have a row there

  // of the exchange that is running
  bool agreeing = false;
  Rows *rows = nullptr;  // forward
  std::size_t row_bytes = 0;
  double *gradients = nullptr;  // reverse
  int width = 0;
};

}  // namespace mlffd_lammps
