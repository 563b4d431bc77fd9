"""The distilled potential in LAMMPS."""
