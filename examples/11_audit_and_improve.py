"""Where is a student wrong in a user's own dynamics, and does it get better there? One round of audit and training. Some minutes.

Run with:  python examples/11_audit_and_improve.py [--smiles "CC(=O)NCCS"] [--temperature 700] [--output runs/improve]

A student runs hot dynamics of one molecule; its teacher labels frames of it; the student learns from the worst of them, mixed
with frames of other molecules so that it does not forget those. Then old and new student run dynamics that neither was trained
on, from the same new start, and both are audited again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from ase.io import write
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mlff_distiller.cli import run_app
from mlff_distiller.commands.students import distill_with_progress
from mlff_distiller.commands.trust import AuditSettings, audit_with_progress
from mlff_distiller.configuration import load_config
from mlff_distiller.data.molecules import molecules
from mlff_distiller.data.sampling import SamplingConfig, sample_molecules
from mlff_distiller.data.sampling.config import ConformerConfig
from mlff_distiller.data.sampling.conformers import embed
from mlff_distiller.data.sampling.dynamics import draw_momenta, langevin
from mlff_distiller.data.schema import read_dataset
from mlff_distiller.distill import DistillConfig
from mlff_distiller.distill.data import read_smiles
from mlff_distiller.evaluation.audit import Audit
from mlff_distiller.evaluation.audit_files import RECIPE
from mlff_distiller.evaluation.metrics import ForceErrors, force_errors, predict_dataset
from mlff_distiller.evaluation.plots import new_figure
from mlff_distiller.registry import load
from mlff_distiller.units import MEV
from mlff_distiller_ase import DistilledCalculator

TEST_MOLECULES = Path(__file__).parents[1] / "recipes" / "molecules" / "test.smi"
TIME_STEP = 1.0  # fs
FRICTION = 0.01  # 1/fs
EQUILIBRATION = 500  # steps
N_FRAMES = 200  # of each trajectory
FEW_FRAMES = SamplingConfig.from_json('{"dimers": {"n": 0}, "modes": {"n": 0}, "dynamics": {"n": 1}}')
console = Console()


def main(
    model: Annotated[str, typer.Option(help="A shipped name or the path of an artifact.")] = "tiny",
    smiles: Annotated[
        str,
        typer.Option(
            help="The molecule; the default is in none of the lists that the shipped students are from."
        ),
    ] = "O=[N+]([O-])c1ccc(cc1)NC=S",
    temperature: Annotated[float, typer.Option(help="K, of the dynamics.")] = 700.0,
    picoseconds: Annotated[float, typer.Option(help="Length of each trajectory.")] = 5.0,
    frames: Annotated[int, typer.Option(help="Frames that the teacher labels, of each trajectory.")] = 200,
    others: Annotated[int, typer.Option(help="Molecules to rehearse, and as many others to test on.")] = 10,
    epochs: Annotated[int, typer.Option(help="Of the training.")] = 30,
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/improve"),
) -> None:
    """Run, audit, improve, run and audit again."""
    output.mkdir(parents=True, exist_ok=True)
    rehearsal = sample_once(rehearsal_molecules(others), output / f"rehearsal-{others}.h5")
    settings = AuditSettings(frames, frames // 2, rehearsal=[rehearsal])
    trajectory = run_dynamics(model, smiles, temperature, picoseconds, 0, output / "first.xyz")
    audit_with_progress(trajectory, model, None, settings, output / "first", console)

    overrides = [
        f"training.epochs={epochs}",
        "formats=[torchscript]",
        "training.compile=false",  # where torch takes the steps, that takes longer than so short a training
    ]
    recipe = load_config(DistillConfig, output / "first" / RECIPE, overrides)
    (report,) = distill_with_progress(recipe, output / "run", console)
    improved = str(report.files["torchscript"])

    unseen = read_dataset(sample_once(read_smiles(TEST_MOLECULES)[:others], output / f"unseen-{others}.h5"))
    audits, elsewhere = {}, {}
    for label, student in (("before", model), ("after", improved)):
        trajectory = run_dynamics(
            student, smiles, temperature, picoseconds, 1, output / f"second-{label}.xyz"
        )
        audits[label], _, _ = audit_with_progress(
            trajectory, student, None, AuditSettings(frames), output / f"second-{label}", console
        )
        _, forces = predict_dataset(load(student), unseen)
        elsewhere[label] = force_errors(forces, unseen.forces.astype(np.float64))
    console.print(summary(audits, elsewhere))
    draw(audits, elsewhere, f"{smiles}, {temperature:g} K", output / "improvement.png")
    console.print(f"{output / 'improvement.png'}, {improved}", soft_wrap=True)


def rehearsal_molecules(n: int) -> list[str]:
    """Molecules evenly spread over the built-in list, without those of the test."""
    allowed = [smiles for smiles in molecules() if smiles not in set(read_smiles(TEST_MOLECULES))]
    return [allowed[k] for k in np.linspace(0, len(allowed) - 1, n).astype(int)]


def sample_once(smiles: list[str], output: Path) -> Path:
    """Frames of molecules with the labels of GFN2-xTB."""
    if not output.exists():
        sample_molecules(smiles, "gfn2-xtb", FEW_FRAMES, output)
    return output


def run_dynamics(
    model: str, smiles: str, temperature: float, picoseconds: float, seed: int, output: Path
) -> Path:
    """Langevin dynamics of a molecule with a student; the seed gives conformer, momenta and thermostat."""
    rng = np.random.default_rng(seed)
    atoms = embed(smiles, rng, ConformerConfig())[0]
    atoms.calc = DistilledCalculator(model)
    draw_momenta(atoms, 2 * temperature, rng)  # half of it becomes potential energy
    dynamics = langevin(atoms, temperature, TIME_STEP, FRICTION, rng)
    dynamics.run(EQUILIBRATION)
    frames = []
    for _ in track(range(N_FRAMES), description=f"{output.name}, {temperature:g} K", console=console):
        dynamics.run(max(1, round(1000 * picoseconds / TIME_STEP / N_FRAMES)))
        frames.append(atoms.copy())
    write(output, frames, format="extxyz")
    return output


def summary(audits: dict[str, Audit], elsewhere: dict[str, ForceErrors]) -> Table:
    """Errors before and after, on the new trajectories and on molecules that neither student has seen."""
    table = Table(
        "student", "frames", "force MAE meV/Å", "RMSE meV/Å", "R²", title="teacher's labels of new frames"
    )
    for label, audit in audits.items():
        for name, errors in (("its new dynamics", audit.forces), ("unseen molecules", elsewhere[label])):
            table.add_row(
                label, name, f"{MEV * errors.mae:.1f}", f"{MEV * errors.rmse:.1f}", f"{errors.r2:.4f}"
            )
    return table


def draw(audits: dict[str, Audit], elsewhere: dict[str, ForceErrors], title: str, path: Path) -> None:
    """Force RMSE along the new trajectories, and overall errors here and elsewhere."""
    figure = new_figure(8.5, 3.6)
    figure.suptitle(title, fontsize=11)
    along, overall = figure.subplots(1, 2, width_ratios=(2, 1))
    for label, audit in audits.items():
        along.plot(
            audit.errors.frame, MEV * audit.errors.force_rmse, ".-", linewidth=0.8, markersize=3, label=label
        )
    along.set(xlabel="frame of the new trajectory", ylabel="force RMSE (meV/Å)", ylim=(0, None))
    along.legend(fontsize=8)
    groups = np.arange(2)
    for k, (label, audit) in enumerate(audits.items()):
        heights = [MEV * audit.forces.rmse, MEV * elsewhere[label].rmse]
        bars = overall.bar(groups + 0.4 * (k - 0.5), heights, width=0.38, label=label)
        overall.bar_label(bars, fmt="%.0f", fontsize=8)
    overall.set_xticks(groups, ["its new\ndynamics", "unseen\nmolecules"])
    overall.set_ylabel("force RMSE (meV/Å)")
    overall.margins(y=0.12)
    for axes in (along, overall):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    run_app(app)
