#include "ghost_rows.h"

#include "comm.h"

#include <algorithm>

namespace mlffd_lammps {

GhostRows::GhostRows(LAMMPS_NS::LAMMPS &running, LAMMPS_NS::Pair &style, const Domain &rows, const std::vector<int> &sites)
    : lammps(running), pair(style), domain(rows), site_of(sites)
{
}

bool GhostRows::single_rank() const { return lammps.comm->nprocs == 1; }

void GhostRows::agree()
{
  asked_for.clear();
  if (single_rank()) return;
  agreeing = true;
  lammps.comm->reverse_comm(&pair, 1);
  agreeing = false;
}

void GhostRows::forward(Rows &rows_to_fill, std::size_t bytes_of_row)
{
  if (single_rank()) return;
  rows = &rows_to_fill;
  row_bytes = bytes_of_row;
  lammps.comm->forward_comm(&pair, static_cast<int>(row_doubles()));
}

void GhostRows::reverse(double *rows, int doubles)
{
  if (single_rank()) return;
  gradients = rows;
  width = doubles;
  lammps.comm->reverse_comm(&pair, doubles);
}

int GhostRows::pack_forward(const int *atoms, double *buffer) const
{
  const auto asked = asked_for.find(atoms);
  if (asked == asked_for.end()) return 0;
  double *target = buffer;
  for (const int k : asked->second) {
    rows->get(domain.row_of_site(site_of[atoms[k]]), target);
    target += row_doubles();
  }
  return static_cast<int>(target - buffer);
}

void GhostRows::unpack_forward(int n, int first, const double *buffer)
{
  for (int i = first; i < first + n; i++) {
    if (!is_ghost(site_of[i])) continue;
    rows->set(site_of[i], buffer);
    buffer += row_doubles();
  }
}

int GhostRows::pack_reverse(int n, int first, double *buffer) const
{
  double *target = buffer;
  for (int i = first; i < first + n; i++) {
    if (agreeing)
      *target++ = is_ghost(site_of[i]);
    else if (is_ghost(site_of[i]))
      target = std::copy_n(gradients + static_cast<std::size_t>(site_of[i]) * width, width, target);
  }
  return static_cast<int>(target - buffer);
}

void GhostRows::unpack_reverse(int n, const int *atoms, const double *buffer)
{
  std::vector<int> &asked = asked_for[atoms];
  if (agreeing) {
    for (int k = 0; k < n; k++)
      if (buffer[k] != 0.0) asked.push_back(k);
    return;
  }
  for (const int k : asked) {
    double *target = gradients + static_cast<std::size_t>(domain.row_of_site(site_of[atoms[k]])) * width;
    for (int c = 0; c < width; c++) target[c] += *buffer++;
  }
}

}  // namespace mlffd_lammps
