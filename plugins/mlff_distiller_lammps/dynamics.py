"""A run at constant energy in LAMMPS, its energies, and its trajectory back in ASE's frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms, units

from mlff_distiller.constant_energy import FRICTION, EnergyTrace, NVESettings, append_frame, start_velocities
from mlff_distiller.errors import EngineError
from mlff_distiller.registry import artifact_path
from mlff_distiller.units import FS_PER_PS
from mlff_distiller_lammps.run import run_lammps
from mlff_distiller_lammps.script import potential_lines, system_lines
from mlff_distiller_lammps.system import LammpsSystem, lammps_system


def lammps_nve(
    atoms: Atoms,
    model: str | Path,
    settings: NVESettings,
    n_ranks: int = 1,
    report: Callable[[int], None] | None = None,
) -> EnergyTrace:
    """Equilibrate with ``fix langevin``, then ``fix nve`` alone.

    Args:
        atoms: Left at the end of the run, with its velocities.
        model: A shipped name or the path of an artifact.
        settings: What to run.
        n_ranks: MPI processes.
        report: Called with the number of steps done, equilibration included.

    Raises:
        EngineError: LAMMPS stopped; with its words.
    """
    start_velocities(atoms, settings)
    system = lammps_system(atoms)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        system.write_data(folder / "start.data")
        script = folder / "in.nve"
        script.write_text(_script(system, artifact_path(model).resolve(), settings), encoding="utf-8")
        run_lammps(script, n_ranks, report)
        table = np.loadtxt(folder / "energies.txt", ndmin=2)  # step, potential, kinetic
        if len(table) != settings.n_steps // settings.interval + 1:
            raise EngineError(f"LAMMPS wrote {len(table)} records of the energies, which is not all of them")
        if settings.trajectory is not None:
            _write_frames(folder / "frames.dump", system, atoms.copy(), settings.trajectory)
        end = np.loadtxt(folder / "end.dump", skiprows=9, ndmin=2)
        atoms.positions = system.positions_from_lammps(end[:, 1:4])
        atoms.set_velocities(system.vectors_from_lammps(end[:, 4:7]) / (FS_PER_PS * units.fs))
    return EnergyTrace(table[:, 0] * settings.time_step, table[:, 1], table[:, 2], len(atoms))


def _script(system: LammpsSystem, model: Path, settings: NVESettings) -> str:
    start = _equilibration(system, settings) if settings.n_equilibration > 0 else ""
    return f"""{system_lines(system, "start.data")}
{potential_lines(system.symbols, model, settings.dtype)}
timestep {settings.time_step / FS_PER_PS}
fix motion all nve
thermo 100
{start}
reset_timestep 0
variable potential equal pe
variable kinetic equal ke
fix record all print {settings.interval} "$(step) ${{potential}} ${{kinetic}}" file energies.txt screen no title ""
dump frames all custom {settings.frame_interval} frames.dump id xu yu zu
dump_modify frames sort id format float %.10g
run {settings.n_steps}
write_dump all custom end.dump id xu yu zu vx vy vz modify sort id format float %.15g
"""


def _equilibration(system: LammpsSystem, settings: NVESettings) -> str:
    is_molecule = not system.atoms.pbc.any() and len(system.atoms) > 1
    damping = 1 / FRICTION / FS_PER_PS  # ps
    temperature, seed = settings.temperature, settings.seed + 1  # LAMMPS wants seeds above zero
    return f"""fix thermostat all langevin {temperature} {temperature} {damping} {seed}
run {settings.n_equilibration}
unfix thermostat
velocity all zero linear
{"velocity all zero angular" if is_molecule else ""}
"""


def _write_frames(dump: Path, system: LammpsSystem, atoms: Atoms, trajectory: Path) -> None:
    """Turn the frames back and write them as extended XYZ."""
    trajectory.unlink(missing_ok=True)
    n_lines = len(atoms) + 9
    lines = dump.read_text(encoding="utf-8").splitlines()
    for start in range(0, len(lines), n_lines):
        table = np.loadtxt(lines[start + 9 : start + n_lines], ndmin=2)
        atoms.positions = system.positions_from_lammps(table[:, 1:4])
        append_frame(trajectory, atoms)
