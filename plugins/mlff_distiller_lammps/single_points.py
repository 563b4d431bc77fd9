"""Energies, forces and stresses of structures by LAMMPS, in one run for all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.stress import full_3x3_to_voigt_6_stress

from mlff_distiller.engines import SinglePoint
from mlff_distiller.registry import artifact_path
from mlff_distiller_lammps.run import run_lammps
from mlff_distiller_lammps.script import potential_lines, system_lines
from mlff_distiller_lammps.system import LammpsSystem, lammps_system

_EV = {"metal": 1.0, "real": units.kcal / units.mol}  # LAMMPS' energy unit in eV
_PRESSURE = {"metal": units.bar, "real": units.bar * 1.01325}  # bar and atmospheres in eV/Å³


def lammps_single_points(
    structures: Mapping[str, Atoms],
    model: str | Path,
    dtype: str = "float32",
    n_ranks: int = 1,
    unit_style: str = "metal",
    options: str = "",
) -> dict[str, SinglePoint]:
    """Evaluate structures with ``pair_style distilled``.

    Args:
        structures: Any cells and boundary conditions.
        model: A shipped name or the path of an artifact.
        dtype: ``float32`` or ``float64``.
        n_ranks: MPI processes.
        unit_style: ``metal`` or ``real``, of the LAMMPS run; results are in eV and Å in both.
        options: More options of the pair style.

    Raises:
        EngineError: LAMMPS refused a structure; with its words.
    """
    systems = {name: lammps_system(atoms) for name, atoms in structures.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blocks = []
        for index, system in enumerate(systems.values()):
            system.write_data(folder / f"{index}.data")
            blocks.append(_block(index, system, artifact_path(model).resolve(), dtype, unit_style, options))
        script = folder / "in.single"
        script.write_text("\nclear\n".join(blocks), encoding="utf-8")
        run_lammps(script, n_ranks)
        return {
            key: _read_result(folder, index, system, unit_style)
            for index, (key, system) in enumerate(systems.items())
        }


def _block(index: int, system: LammpsSystem, model: Path, dtype: str, unit_style: str, options: str) -> str:
    stress = " ".join(f"$(c_virial[{k}]:%.17g)" for k in range(1, 7))
    return f"""{system_lines(system, f"{index}.data", unit_style)}
{potential_lines(system.symbols, model, dtype, options)}
compute virial all pressure NULL virial
thermo_style custom step pe c_virial[1]
run 0 post no
print "$(pe:%.17g) {stress}" file {index}.sums
write_dump all custom {index}.forces id type x y z fx fy fz modify sort id format float %.17g
"""


def _read_result(folder: Path, index: int, system: LammpsSystem, unit_style: str) -> SinglePoint:
    numbers = [float(word) for word in (folder / f"{index}.sums").read_text().split()]
    energy, (xx, yy, zz, xy, xz, yz) = numbers[0], numbers[1:]
    table = np.loadtxt(folder / f"{index}.forces", skiprows=9, ndmin=2)
    forces = system.vectors_from_lammps(table[:, 5:8])
    stress = None
    if system.atoms.pbc.all():
        pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) * _PRESSURE[unit_style]
        stress = full_3x3_to_voigt_6_stress(system.stress_from_lammps(-pressure))
    return SinglePoint(energy * _EV[unit_style], forces * _EV[unit_style], stress)
