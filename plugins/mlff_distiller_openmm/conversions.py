"""OpenMM's units in those of the core, and back: the only place where they meet. OpenMM has kJ/mol, nm and ps."""

from __future__ import annotations

from ase import units

ANGSTROM = units.nm / units.Angstrom  # Å in one nm
KJ_PER_MOL = units.mol / units.kJ  # kJ/mol in one eV
KJ_PER_MOL_NM = KJ_PER_MOL * ANGSTROM  # kJ/mol/nm in one eV/Å
PS = units.fs * 1000.0  # ASE's unit of time in one ps
FS = 0.001  # ps in one fs
