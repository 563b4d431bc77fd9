"""The lines of a LAMMPS input script that set up a system and its potential, and a whole script to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from mlff_distiller.atomic_file import replace_file
from mlff_distiller.errors import ConfigError, StructureError
from mlff_distiller.export.artifact import read_metadata
from mlff_distiller.registry import artifact_path, is_shipped
from mlff_distiller_lammps.system import LammpsSystem, lammps_system

# dtype of the network → options of the pair style; the native engine has no double precision
PRECISION = {"float32": "precision single", "float64": "backend torch precision double"}


def system_lines(system: LammpsSystem, data: str, unit_style: str = "metal") -> str:
    """Units, boundaries and the data file."""
    return f"""units {unit_style}
atom_style atomic
boundary {system.boundary}
read_data "{data}\""""


def potential_lines(
    symbols: Sequence[str], model: str | Path, dtype: str = "float32", options: str = ""
) -> str:
    """pair_style and pair_coeff; ``options`` are more options of the style.

    Raises:
        ConfigError: Unknown dtype.
    """
    if dtype not in PRECISION:
        raise ConfigError(f"expected dtype float32 or float64, got {dtype!r}")
    return f"""pair_style distilled {PRECISION[dtype]} {options}
pair_coeff * * "{model}" {" ".join(symbols)}"""


def write_input(
    atoms: Atoms, model: str, folder: Path, name: str, temperature: float = 300.0
) -> tuple[Path, Path]:
    """A data file and an input script for a structure: minimise, heat, and run at constant energy.

    Args:
        atoms: Any cell and boundary conditions.
        model: A shipped name or the path of an artifact, as the script shall name it.
        folder: Where the files go.
        name: Stem of the files.
        temperature: K.

    Returns:
        The paths of the input script and the data file.

    Raises:
        ArtifactError: There is no such student.
        StructureError: An element that it does not know.
        OutputError: A file cannot be written.
    """
    path = artifact_path(model)
    named = model if is_shipped(model) else str(path.resolve())  # lmp may run in another folder
    known = read_metadata(path).elements
    system = lammps_system(atoms)
    unknown = [symbol for symbol in system.symbols if symbol not in known]
    if unknown:
        raise StructureError(f"{model} does not know {' '.join(unknown)}; it knows {' '.join(known)}")
    data, script = folder / f"{name}.data", folder / f"in.{name}"
    system.write_data(data)
    text = f"""# {atoms.get_chemical_formula()} with the student {model}. Run: lmp -in "{script.name}"
# or on several ranks: mpirun -n 4 lmp -in "{script.name}"
{system_lines(system, data.name)}

{potential_lines(system.symbols, named)}

neighbor 1.0 bin
timestep 0.0005  # ps
thermo 100
thermo_style custom step temp pe etotal press

minimize 0 1e-3 200 2000
reset_timestep 0
velocity all create {temperature} 1 mom yes rot yes dist gaussian
fix motion all nve
fix thermostat all langevin {temperature} {temperature} 0.1 1
run 2000
unfix thermostat

dump frames all custom 100 "{name}.lammpstrj" id element xu yu zu
dump_modify frames sort id element {" ".join(system.symbols)}
run 10000
"""
    replace_file(script, [text.encode()])
    return script, data
