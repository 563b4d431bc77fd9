"""A molecule by the student in a box of TIP3P water by a force field: mechanical embedding. About a minute.

Run with:  python examples/05_mixed_ml_mm.py [--model tiny] [--output runs/mixed] [--picoseconds 0.5]

The molecule is alanine dipeptide. Its internal energy is the student's; its van der Waals and Coulomb interactions with the
water are those of Amber14, and so is the water. OpenMM-ML removes the internal terms of the molecule from the force field.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Annotated

import numpy as np
import openmm
import typer
from ase import units
from openmm import app
from openmmml import MLPotential
from rich.console import Console

from mlff_distiller.cli import run_app
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.registry import artifact_path
from mlff_distiller_openmm.states import read_energies, read_positions

ML_GROUP = 1  # force group of the student, so that its energy can be read alone
CUTOFF = 0.7  # nm, of the force field
TEMPERATURE = 300.0  # K
TIME_STEP = 0.0005  # ps; the molecule's hydrogens are free
HEAVY_ATOMS = """\
ATOM      1  CH3 ACE A   1       2.499   1.688   0.721  1.00  0.00           C
ATOM      2  C   ACE A   1       1.646   0.760  -0.100  1.00  0.00           C
ATOM      3  O   ACE A   1       1.476   0.913  -1.306  1.00  0.00           O
ATOM      4  N   ALA A   2       1.038  -0.239   0.620  1.00  0.00           N
ATOM      5  CA  ALA A   2       0.128  -1.200  -0.009  1.00  0.00           C
ATOM      6  CB  ALA A   2       0.123  -2.501   0.784  1.00  0.00           C
ATOM      7  C   ALA A   2      -1.299  -0.614  -0.136  1.00  0.00           C
ATOM      8  O   ALA A   2      -2.301  -1.187   0.285  1.00  0.00           O
ATOM      9  N   NME A   3      -1.356   0.579  -0.830  1.00  0.00           N
ATOM     10  C   NME A   3      -2.611   1.188  -1.182  1.00  0.00           C
END
"""
console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/mixed"),
    picoseconds: Annotated[float, typer.Option(help="Length of the run.")] = 0.5,
    padding: Annotated[
        float, typer.Option(help="Water around the molecule, nm; at least 0.7.", min=CUTOFF)
    ] = 0.9,
) -> None:
    """Solvate, mix, equilibrate, run, draw."""
    output.mkdir(parents=True, exist_ok=True)
    field = app.ForceField("amber14-all.xml", "amber14/tip3p.xml")
    modeller, ml_atoms = solvated_dipeptide(field, padding)
    topology = modeller.topology
    mm_system = field.createSystem(topology, nonbondedMethod=app.PME, nonbondedCutoff=CUTOFF)  # pyright: ignore[reportArgumentType]
    potential = MLPotential("distilled", model=artifact_path(model))
    system = potential.createMixedSystem(topology, mm_system, ml_atoms, forceGroup=ML_GROUP)
    console.print(f"{len(ml_atoms)} atoms by the student, {topology.getNumAtoms() - len(ml_atoms)} of water")

    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 5.0, TIME_STEP)
    integrator.setRandomNumberSeed(1)
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("CPU"))
    simulation.context.setPositions(modeller.positions)
    simulation.minimizeEnergy(maxIterations=50)
    simulation.context.setVelocitiesToTemperature(TEMPERATURE, 1)

    n_frames, interval = max(2, round(200 * picoseconds)), 10
    records = []
    for _ in range(n_frames):
        simulation.step(interval)
        records.append(observe(simulation, ml_atoms))
    draw(np.array(records), interval * TIME_STEP, output / "mixed.png")
    positions = simulation.context.getState(positions=True).getPositions()
    with open(output / "mixed.pdb", "w", encoding="utf-8") as file:
        app.PDBFile.writeFile(topology, positions, file)
    console.print(f"{output}/mixed.png, mixed.pdb")


def solvated_dipeptide(field: app.ForceField, padding: float) -> tuple[app.Modeller, list[int]]:
    """The molecule with hydrogens in a box of water, and the indices of its atoms."""
    pdb = app.PDBFile(StringIO(HEAVY_ATOMS))
    modeller = app.Modeller(pdb.topology, pdb.positions)
    modeller.addHydrogens(field)
    ml_atoms = [atom.index for atom in modeller.topology.atoms()]
    modeller.addSolvent(field, model="tip3p", padding=padding)
    return modeller, ml_atoms


def observe(simulation: app.Simulation, ml_atoms: list[int]) -> tuple[float, ...]:
    """The student's energy in eV, the temperature in K, φ and ψ in degrees."""
    context, system = simulation.context, simulation.system
    internal, _ = read_energies(context.getState(energy=True, groups=1 << ML_GROUP))
    state = context.getState(energy=True, positions=True)
    free = (
        3 * system.getNumParticles() - system.getNumConstraints() - 3
    )  # less the motion of the centre of mass
    temperature = 2 * read_energies(state)[1] / (free * units.kB)
    molecule = [atom for atom in simulation.topology.atoms() if atom.index in ml_atoms]
    positions = read_positions(state)
    angles = [dihedral(positions[indices]) for indices in dihedral_atoms(molecule)]
    return internal, temperature, *angles


def dihedral_atoms(atoms: list[app.topology.Atom]) -> list[list[int]]:
    """Indices of the four atoms of φ and of ψ."""
    by_name = {(atom.residue.index, atom.name): atom.index for atom in atoms}
    return [
        [by_name[0, "C"], by_name[1, "N"], by_name[1, "CA"], by_name[1, "C"]],
        [by_name[1, "N"], by_name[1, "CA"], by_name[1, "C"], by_name[2, "N"]],
    ]


def dihedral(x: np.ndarray) -> float:
    """Degrees, of four points (4, 3)."""
    a, b, c = np.diff(x, axis=0)
    left, right = np.cross(a, b), np.cross(b, c)
    return float(np.degrees(np.arctan2(np.dot(np.cross(left, right), b / np.linalg.norm(b)), left @ right)))


def draw(records: np.ndarray, interval: float, path: Path) -> None:
    """Energy of the molecule, temperature, and backbone dihedrals against time."""
    picoseconds = interval * np.arange(1, len(records) + 1)
    energy, temperature, phi, psi = records.T
    figure = new_figure(6.5, 6.0)
    axes = figure.subplots(3, 1, sharex=True)
    axes[0].plot(picoseconds, energy - energy.min(), linewidth=0.8)
    axes[0].set_ylabel("the student's\nenergy (eV)")
    axes[1].plot(picoseconds, temperature, linewidth=0.8)
    axes[1].set_ylabel("temperature (K)")
    axes[2].plot(picoseconds, phi, label="φ", linewidth=0.8)
    axes[2].plot(picoseconds, psi, label="ψ", linewidth=0.8)
    axes[2].set(xlabel="time (ps)", ylabel="dihedral (°)", ylim=(-180, 180), yticks=(-180, -90, 0, 90, 180))
    axes[2].legend(loc="upper right", ncols=2)
    for each in axes:
        each.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    cli.command()(main)
    run_app(cli)
