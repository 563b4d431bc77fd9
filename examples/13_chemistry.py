"""What a chemist looks at, against the teacher: relaxed geometries, frequencies, dihedral scans, and hot dynamics.

Run with:  python examples/13_chemistry.py [--models tiny] [--molecules 10] [--picoseconds 1] [--jobs 2] [--output runs/chemistry]

The molecules are the first of recipes/molecules/test.smi, which no shipped student has seen in training or validation.
Geometries: RMSD after alignment, from relaxations that start at the teacher's minimum. Frequencies: of the smallest of the
molecules, each method at its own minimum. Scans: rigid, from the teacher's minimum. Dynamics: Langevin at 500 K and 0.5 fs; a
molecule is intact if no bond was ever 0.5 Å from its length at the teacher's minimum. Prints tables, writes chemistry.json
and draws the scans.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer
from ase import Atoms, units
from ase.build import minimize_rotation_and_translation
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import BFGS
from ase.vibrations import Vibrations
from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import argrelmax

from mlff_distiller.bonds import find_bonds
from mlff_distiller.cli import run_app
from mlff_distiller.data.sampling.config import ConformerConfig
from mlff_distiller.data.sampling.conformers import embed, n_heavy_atoms
from mlff_distiller.data.sampling.topology import bond_lengths, side_of_bond
from mlff_distiller.data.teachers import load_teacher
from mlff_distiller.errors import StructureError
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.evaluation.trajectory import BROKEN
from mlff_distiller_ase import DistilledCalculator

TEST = Path(__file__).parents[1] / "recipes" / "molecules" / "test.smi"
SCANS = {  # SMILES, and the four atoms of the dihedral angle among its heavy atoms
    "butane": ("CCCC", (0, 1, 2, 3)),
    "ethylene glycol": ("OCCO", (0, 1, 2, 3)),
    "biphenyl": ("c1ccccc1-c1ccccc1", (4, 5, 6, 7)),
}
STEP = 15  # degrees
TEMPERATURE = 500.0  # K
MEV = 1000.0
STYLE: dict[str, Any] = {"linewidth": 1.2, "linestyle": "--"}
STYLES: dict[str, dict[str, Any]] = {"teacher": {"color": "black", "linewidth": 1.8}}
MakeCalculator = Callable[[], Any]
Curves = dict[str, np.ndarray]  # the angles, and the energies of each method

console = Console()


def main(
    models: Annotated[str, typer.Option(help="Names or paths, with commas.")] = "tiny",
    molecules: Annotated[int, typer.Option(min=1, help="How many test molecules.")] = 10,
    picoseconds: Annotated[float, typer.Option(min=0.0, help="Dynamics of each molecule.")] = 1.0,
    teacher: Annotated[str, typer.Option(help="As in mlffd label.")] = "gfn2-xtb",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/chemistry"),
) -> None:
    """Everything for every model."""
    output.mkdir(parents=True, exist_ok=True)
    smiles = TEST.read_text(encoding="utf-8").split()[:molecules]
    small = sorted(smiles, key=n_heavy_atoms)[: min(10, molecules)]
    methods: dict[str, MakeCalculator] = {"teacher": lambda: load_teacher(teacher).calculator}
    methods |= {model: (lambda model=model: DistilledCalculator(model)) for model in models.split(",")}
    minima = {text: relaxed(start(text), methods["teacher"]()) for text in track(smiles, "teacher's minima")}
    expected = {
        text: frequencies(minima[text], methods["teacher"]())
        for text in track(small, "teacher's frequencies")
    }
    found = {
        model: compare(model, methods[model], minima, expected, picoseconds, jobs)
        for model in models.split(",")
    }
    (output / "chemistry.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    show(found, len(smiles), len(small), picoseconds)
    scans = {title: scan(*chain, methods) for title, chain in SCANS.items()}
    show_barriers(scans)
    draw_scans(scans, output / "scans.png")


def compare(
    model: str,
    make: MakeCalculator,
    minima: dict[str, Atoms],
    expected: dict[str, np.ndarray],
    picoseconds: float,
    jobs: int,
) -> dict[str, Any]:
    """The numbers of one student."""
    rmsd = {
        text: distance(relaxed(atoms, make()), atoms)
        for text, atoms in track(minima.items(), f"{model}: minima")
    }
    errors = np.concatenate(
        [
            np.abs(frequencies(relaxed(minima[text], make()), make()) - values)
            for text, values in track(expected.items(), f"{model}: frequencies")
        ]
    )
    runs = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(worst_bond)(model, atoms, picoseconds, seed) for seed, atoms in enumerate(minima.values())
    )
    changes = cast(Iterable[float], runs)  # joblib declares that a generator may also be None
    bonds = dict(zip(minima, track(changes, f"{model}: dynamics", total=len(minima)), strict=True))
    return {
        "rmsd": rmsd,
        "median_rmsd": float(np.median(list(rmsd.values()))),
        "frequency_mae": float(errors.mean()),
        "largest_bond_change": bonds,
        "n_intact": sum(value <= BROKEN for value in bonds.values()),
    }


def start(smiles: str) -> Atoms:
    """One conformer."""
    return embed(smiles, np.random.default_rng(0), ConformerConfig())[0]


def relaxed(atoms: Atoms, calculator: Any) -> Atoms:
    """A copy at the calculator's nearest minimum."""
    moved = atoms.copy()
    moved.calc = calculator
    BFGS(moved, logfile=None).run(fmax=0.005, steps=500)
    moved.calc = None  # a teacher's calculator cannot be sent to other processes
    return moved


def distance(atoms: Atoms, reference: Atoms) -> float:
    """RMSD in Å after the best rotation and translation."""
    moved = atoms.copy()
    minimize_rotation_and_translation(reference, moved)
    return float(np.sqrt(((moved.positions - reference.positions) ** 2).sum(axis=1).mean()))


def frequencies(atoms: Atoms, calculator: Any) -> np.ndarray:
    """The 3N - 6 highest, 1/cm, ascending; imaginary ones count as negative."""
    moved = atoms.copy()
    moved.calc = calculator
    with tempfile.TemporaryDirectory() as folder:
        vibrations = Vibrations(moved, name=f"{folder}/vibrations", delta=0.005)
        vibrations.run()
        values = vibrations.get_frequencies()
    return np.sort(np.real(values) - np.imag(values))[6:]


def worst_bond(model: str, minimum: Atoms, picoseconds: float, seed: int) -> float:
    """The largest change of a bond, Å, in dynamics that start at the teacher's minimum; infinite where the run broke off."""
    bonds, lengths = find_bonds(minimum)
    atoms = minimum.copy()
    atoms.calc = DistilledCalculator(model)
    rng = np.random.default_rng(seed)
    thermalize_momenta(atoms, TEMPERATURE, rng=rng)
    dynamics = Langevin(
        atoms, 0.5 * units.fs, temperature_K=TEMPERATURE, friction=0.01 / units.fs, rng=rng, fixcm=False
    )
    worst = [0.0]

    def watch() -> None:
        worst[0] = max(worst[0], float(np.abs(bond_lengths(atoms.positions, bonds) - lengths).max()))

    dynamics.attach(watch, interval=10)
    try:
        dynamics.run(round(2000 * picoseconds))
    except StructureError:
        return float("inf")
    return worst[0]


def scan(smiles: str, heavy: Sequence[int], methods: dict[str, MakeCalculator]) -> Curves:
    """Energies in meV, relative to the lowest, of a rigid rotation about the middle bond."""
    atoms = relaxed(start(smiles), methods["teacher"]())
    a, b, c, d = (np.flatnonzero(atoms.numbers > 1)[k] for k in heavy)
    turned = side_of_bond(len(atoms), find_bonds(atoms)[0], int(b), int(c))
    angles = np.arange(-180, 181, STEP)
    curves = {"angle": angles}
    for name, make in methods.items():
        moved = atoms.copy()
        moved.calc = make()
        energies = []
        for angle in angles:
            moved.set_dihedral(a, b, c, d, angle, mask=turned)
            energies.append(moved.get_potential_energy())
        curves[name] = MEV * (np.array(energies) - min(energies))
    return curves


def draw_scans(scans: Mapping[str, Curves], path: Path) -> None:
    """One panel for each molecule."""
    figure = new_figure(9.0, 3.0)
    for axes, (title, curves) in zip(figure.subplots(1, len(scans)), scans.items(), strict=True):
        for name in [name for name in curves if name != "angle"]:
            axes.plot(curves["angle"], curves[name], label=name, **STYLES.get(name, STYLE))
        axes.set(xlabel="dihedral angle (degrees)", xticks=range(-180, 181, 90))
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("energy (meV)")
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=150)
    console.print(str(path), soft_wrap=True)


def show_barriers(scans: Mapping[str, Curves]) -> None:
    """The teacher's barriers, and by how much those of each student are off."""
    students = [name for name in next(iter(scans.values())) if name not in ("angle", "teacher")]
    table = Table("barrier", "angle", "teacher meV", *students, title="barriers of the rigid scans")
    for title, curves in scans.items():
        ring = {name: values[:-1] for name, values in curves.items()}  # the last angle is the first again
        for k in argrelmax(ring["teacher"], mode="wrap")[0]:
            near = np.arange(k - 1, k + 2) % len(ring["teacher"])
            height = ring["teacher"][k]
            errors = [f"{100 * (ring[name][near].max() / height - 1):+.0f} %" for name in students]
            table.add_row(title, f"{ring['angle'][k]}°", f"{height:.0f}", *errors)
    console.print(table)


def show(found: dict[str, dict[str, Any]], n_molecules: int, n_small: int, picoseconds: float) -> None:
    """A row for each student."""
    title = f"{n_molecules} molecules that no training has seen, against the teacher"
    table = Table(
        "student",
        "RMSD Å: median, largest",
        f"frequencies of {n_small}: MAE 1/cm",
        f"intact after {picoseconds:g} ps at 500 K",
        title=title,
    )
    for model, numbers in found.items():
        rmsd = list(numbers["rmsd"].values())
        table.add_row(
            model,
            f"{numbers['median_rmsd']:.3f}, {max(rmsd):.3f}",
            f"{numbers['frequency_mae']:.0f}",
            f"{numbers['n_intact']} of {n_molecules}",
        )
    console.print(table)
    for model, numbers in found.items():
        for text, change in numbers["largest_bond_change"].items():
            if change > BROKEN:
                console.print(f"{model}: {text} lost a bond (changed by {change:.2f} Å)", highlight=False)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
