// Chemical symbols of the elements 1 … 100.
#pragma once

#include <string>

namespace mlffd_lammps {

inline constexpr const char *SYMBOLS[] = {
    "",   "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",
    "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn",
    "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho",
    "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po",
    "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm"};
inline constexpr int N_ELEMENTS = sizeof(SYMBOLS) / sizeof(SYMBOLS[0]) - 1;

inline std::string element_symbol(int number) { return number > 0 && number <= N_ELEMENTS ? SYMBOLS[number] : "?"; }

// 0 where there is no such element
inline int atomic_number(const std::string &symbol)
{
  for (int number = 1; number <= N_ELEMENTS; number++)
    if (symbol == SYMBOLS[number]) return number;
  return 0;
}

}  // namespace mlffd_lammps
