"""The native engine against the contract of every backend, and against float64 eager."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.neighborlist import neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.conftest import ethanol, random_student, tensors
from tests.contract import PotentialContract, compute
from tests.native.conftest import SHIPPED, box_of_atoms, export, relative_error

from mlff_distiller.ase_bridge import structures_graph
from mlff_distiller.errors import ArtifactError, ConfigError, MissingDependencyError, StructureError
from mlff_distiller.export.torchscript import student_from_artifact
from mlff_distiller.model.potential import Evaluation, StudentForceField
from mlff_distiller.native import NativePotential
from mlff_distiller.native.library import Handle, Results, check, load_library
from mlff_distiller.registry import artifact_path


def evaluate(potential: NativePotential, atoms: Atoms) -> Evaluation:
    """One structure through the fast path."""
    return potential.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda n: f"{n} passes")
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    student = random_student(n_interactions=request.param)
    return export(student, tmp_path_factory.mktemp("contract") / "student.pt")


class TestContract(PotentialContract):
    tolerance = 2e-5

    @pytest.fixture
    def potential(self, artifact: Path) -> NativePotential:
        return NativePotential(artifact)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
@pytest.mark.parametrize(
    "make", [ethanol, lambda: molecule("C6H6"), lambda: box_of_atoms(192)], ids=["ethanol", "benzene", "box"]
)
def test_shipped_students_against_float64(path: Path, make) -> None:
    atoms = make()
    atoms.rattle(0.05, seed=4)
    student = student_from_artifact(path).double()
    exact = student.predict(**tensors(atoms))
    native = evaluate(NativePotential(path), atoms)
    assert relative_error(native.forces, exact.forces) < 5e-6
    assert native.energy == pytest.approx(exact.energy.item(), abs=3e-6 * len(atoms))
    assert relative_error(native.atomic_energies, exact.atomic_energies) < 1e-6
    np.testing.assert_allclose(native.virial, exact.virial[0], atol=2e-5 * float(exact.virial.abs().max()))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_small_forces_near_a_minimum_are_as_exact_as_float32_allows(path: Path) -> None:
    """They are differences of large terms: an error of the tables shows here first."""
    atoms = molecule("CH3COOH")
    exact = student_from_artifact(path).double().predict(**tensors(atoms))
    assert relative_error(evaluate(NativePotential(path), atoms).forces, exact.forces) < 4e-6


@st.composite
def crystals(draw: st.DrawFn) -> Atoms:
    """A few atoms in any triclinic cell with any pbc, not wrapped, and none on top of another."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_atoms = draw(st.integers(1, 6))
    cell = rng.uniform(-1.0, 1.0, (3, 3)) + np.diag(rng.uniform(2.5, 7.0, 3))
    positions = rng.uniform(-1.0, 2.0, (n_atoms, 3)) @ cell
    atoms = Atoms(rng.choice([1, 6, 7, 8], n_atoms), positions, cell=cell, pbc=rng.integers(0, 2, 3))
    assume(len(neighbor_list("i", atoms, 0.9)) == 0)
    return atoms


@settings(max_examples=60, deadline=None)
@given(atoms=crystals())
def test_own_neighbours_equal_those_of_vesin(random_artifact: Path, atoms: Atoms) -> None:
    potential = _loaded(random_artifact)
    given_edges = compute(potential, atoms)
    own_edges = evaluate(potential, atoms)
    scale = 1.0 + float(given_edges.forces.abs().max())
    np.testing.assert_allclose(own_edges.forces, given_edges.forces, rtol=0, atol=5e-5 * scale)
    np.testing.assert_allclose(own_edges.virial, given_edges.virial[0], rtol=0, atol=5e-4 * scale)
    np.testing.assert_allclose(
        own_edges.atomic_energies, given_edges.atomic_energies, rtol=0, atol=5e-5 * scale
    )


@cache
def _loaded(path: Path) -> NativePotential:
    return NativePotential(path)


def test_skin_changes_nothing_but_the_number_of_searches(random_artifact: Path) -> None:
    skinned, bare = NativePotential(random_artifact, skin=0.6), NativePotential(random_artifact, skin=0.0)
    atoms = box_of_atoms(60)
    rng = np.random.default_rng(5)
    for step in range(30):
        a, b = evaluate(skinned, atoms), evaluate(bare, atoms)
        np.testing.assert_allclose(a.forces, b.forces, rtol=0, atol=5e-5)
        assert a.energy == pytest.approx(b.energy, abs=1e-4)
        atoms.positions += rng.normal(0.0, 0.03, atoms.positions.shape)
        if step == 10:
            atoms.positions[3] += atoms.cell.array[1]  # the same place, in another image
        if step == 20:
            atoms.set_cell(atoms.cell.array * 1.01)
        if step == 25:
            atoms.numbers[0] = 7
    assert 3 < skinned.n_neighbor_searches < 20
    assert bare.n_neighbor_searches == 30


def test_nan_of_an_atom_without_neighbours_is_noticed(random_artifact: Path) -> None:
    """The list of the step before has no pair with it, and the atoms after it have not moved."""
    potential = NativePotential(random_artifact, skin=0.5)
    atoms = Atoms("HOHO", [[30.0, 0, 0], [0, 0, 0], [0, 0, 1.2], [0, 1.2, 0]])
    evaluate(potential, atoms)
    atoms.positions[0, 1] = np.nan
    with pytest.raises(StructureError, match="the position of atom 0 is not finite"):
        evaluate(potential, atoms)


def test_a_search_for_every_change_but_of_positions(random_artifact: Path) -> None:
    potential = NativePotential(random_artifact)
    atoms = box_of_atoms(40)
    changes = [
        lambda: None,
        lambda: atoms.numbers.__setitem__(0, 8 if atoms.numbers[0] != 8 else 1),
        lambda: atoms.set_cell(atoms.cell.array * 1.001),
        lambda: atoms.set_pbc([True, False, True]),
        lambda: atoms.append("H") or atoms.positions.__setitem__(-1, [0.0, 30.0, 0.0]),
    ]
    for k, change in enumerate(changes):
        change()
        evaluate(potential, atoms)
        evaluate(potential, atoms)
        assert potential.n_neighbor_searches == k + 1


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_threads_change_no_bit(path: Path) -> None:
    atoms = box_of_atoms(400)
    one = evaluate(NativePotential(path), atoms)
    for threads in (2, 3, 4, 5, 7):
        several = evaluate(NativePotential(path, threads=threads), atoms)
        assert several.energy == one.energy
        for a, b in zip(several[1:], one[1:], strict=True):
            np.testing.assert_array_equal(a, b)


def test_calls_from_several_threads_take_turns() -> None:
    """As OpenMM's contexts of one system and ASE's parallel NEB make them."""
    potential = NativePotential(SHIPPED[0])
    structures = [ethanol(), molecule("C6H6")]
    expected = [evaluate(potential, atoms).forces for atoms in structures]

    def run(k: int) -> bool:
        return all((evaluate(potential, structures[k]).forces == expected[k]).all() for _ in range(500))

    with ThreadPoolExecutor() as pool:
        assert all(pool.map(run, (0, 1)))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_goes_on_without_the_threads() -> None:
    potential = NativePotential(SHIPPED[0], threads=2)
    atoms = ethanol()
    expected = evaluate(potential, atoms).energy
    context = multiprocessing.get_context("fork")
    found = context.Queue()

    def work() -> None:
        nonlocal potential
        energy = evaluate(potential, atoms).energy
        another = NativePotential(SHIPPED[0], threads=2)
        del potential  # whose threads did not come along
        assert evaluate(another, atoms).energy == energy
        found.put(energy)

    child = context.Process(target=work, daemon=True)
    child.start()
    assert found.get(timeout=60) == expected
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_in_the_middle_of_a_call_can_compute() -> None:
    potential, atoms = NativePotential(SHIPPED[1], threads=2), box_of_atoms(1500)
    expected = evaluate(potential, atoms).energy
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    is_over = threading.Event()

    def keep_busy() -> None:
        while not is_over.is_set():
            evaluate(potential, atoms)

    thread = threading.Thread(target=keep_busy)
    thread.start()
    try:
        for _ in range(5):  # the other thread is between two calls for a thousandth of the time
            child = context.Process(target=lambda: found.put(evaluate(potential, atoms).energy), daemon=True)
            child.start()
            assert found.get(timeout=60) == expected
            child.join(60)
            assert child.exitcode == 0
    finally:
        is_over.set()
        thread.join()


@pytest.mark.skipif(shutil.which("localedef") is None, reason="no localedef to make a locale with")
def test_loads_where_the_decimal_separator_is_a_comma(tmp_path: Path) -> None:
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("localedef has no German locale to compile")
    script = (
        "import locale, sys; locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8'); assert locale.localeconv()['decimal_point'] == ','\n"
        "from pathlib import Path; from mlff_distiller.native import NativePotential; NativePotential(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "LOCPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, str(SHIPPED[0])], env=environment, check=True, timeout=120)


def test_instruction_sets_agree(random_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = box_of_atoms(100)
    best = NativePotential(random_artifact)
    reference = evaluate(best, atoms)
    for isa in ("portable", best.isa):
        monkeypatch.setenv("MLFFD_ISA", isa)
        potential = NativePotential(random_artifact)
        assert potential.isa == isa
        assert relative_error(evaluate(potential, atoms).forces, reference.forces) < 3e-6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_forces_are_the_gradient_of_the_tabulated_energy(path: Path) -> None:
    """Work along a path equals the difference of energy, table errors included: what keeps the energy of a trajectory.

    Against the exact network the energy may be wrong by the table's error; against itself only the rounding of energies in
    float32 is left, whose sign is random: so energies are averaged, and the RMS over paths is what is bounded. It grows with
    the forces, which in this random box differ from student to student (RMS 4 to 25 eV/Å).
    """
    potential, atoms = NativePotential(path), box_of_atoms(60, seed=3)
    middle = atoms.positions.copy()
    force_rms = np.sqrt(np.mean(np.square(evaluate(potential, atoms).forces)))
    errors = [path_error(potential, atoms, middle, seed) for seed in range(12)]
    assert np.sqrt(np.mean(np.square(errors))) < 2e-6 * force_rms  # of the work over 1 Å


def path_error(potential: NativePotential, atoms: Atoms, middle: np.ndarray, seed: int) -> float:
    """Difference of energy plus work of the forces along a random straight line, eV; middle (N, 3) Å."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=middle.shape) * 0.05
    nodes, weights = np.polynomial.legendre.leggauss(
        96
    )  # the path crosses features that are sharp on its scale
    work = 0.0
    for node, weight in zip(nodes, weights, strict=True):
        atoms.positions = middle + 0.5 * node * direction
        work += 0.5 * weight * float((evaluate(potential, atoms).forces * direction).sum())
    start, end = (averaged_energy(potential, atoms, middle + s * direction, rng) for s in (-0.5, 0.5))
    return end - start + work


def averaged_energy(
    potential: NativePotential, atoms: Atoms, positions: np.ndarray, rng: np.random.Generator
) -> float:
    """Energy at positions (N, 3) Å, eV: the mean over 16 points 1e-5 Å away, where it is linear to 1e-9 eV but rounds anew."""
    atoms.positions = positions
    forces = evaluate(potential, atoms).forces
    energies = []
    for _ in range(16):
        step = 1e-5 * rng.normal(size=positions.shape)
        atoms.positions = positions + step
        energies.append(evaluate(potential, atoms).energy + float((forces * step).sum()))
    return float(np.mean(energies))


def test_structures_that_cannot_be_evaluated(random_artifact: Path) -> None:
    potential = NativePotential(random_artifact)
    atoms = ethanol()

    def refuses(message: str, **changes: Any) -> None:
        arguments = {
            "atomic_numbers": atoms.numbers.copy(),
            "positions": atoms.positions.copy(),
            "cell": np.eye(3) * 9.0,
            "pbc": np.ones(3, bool),
        } | changes
        with pytest.raises(StructureError, match=message):
            potential.evaluate(**arguments)

    bad = atoms.positions.copy()
    bad[4, 1] = np.nan
    refuses("the position of atom 4 is not finite", positions=bad)
    refuses("periodic along 3 direction.* its cell is singular; set the cell", cell=np.zeros((3, 3)))
    numbers = atoms.numbers.copy()
    numbers[2] = 26
    refuses("atom 2 has atomic number 26, .*it knows H C N O F P S Cl", atomic_numbers=numbers)
    close = atoms.positions.copy()
    close[5] = close[1] + [0.1, 0.0, 0.0]
    refuses("atoms 1 and 5 are 10 pm apart, less than 30 pm", positions=close)
    refuses("expected positions .9, 3.", positions=close[:4])
    refuses("expected positions .9, 3.", positions=close[:1])  # would broadcast
    refuses("cell .3, 3.", cell=np.ones(3))
    refuses("whole numbers of at most 32 bits, got float64", atomic_numbers=atoms.numbers + 0.9)
    refuses("whole numbers of at most 32 bits, got int64", atomic_numbers=atoms.numbers + 2**32)
    assert np.isfinite(evaluate(potential, atoms).energy)  # a refusal leaves the potential usable


def test_weights_beyond_any_number(tmp_path: Path) -> None:
    student = StudentForceField(4, 1, 8, cutoff=5.0, max_z=10, elements=[1, 8]).double()
    with torch.no_grad():
        student.painn.initial_message.filter.linear.weight.fill_(1e200)
    with pytest.raises(ArtifactError, match="too large to compute with"):
        NativePotential(export(student, tmp_path / "diverged.pt"))


def test_the_path_of_an_artifact_may_be_a_string() -> None:
    assert NativePotential(str(artifact_path("ultra-tiny"))).cutoff == 5.0


def test_filters_too_sharp_for_a_table(tmp_path: Path) -> None:
    path = export(StudentForceField(4, 1, 1024, cutoff=5.0, max_z=10, elements=[1, 8]), tmp_path / "sharp.pt")
    with pytest.raises(ArtifactError, match="too sharp for the tables .* use the TorchScript backend"):
        NativePotential(path)


def test_edges_need_both_directions(random_artifact: Path) -> None:
    graph = structures_graph([ethanol()], 4.0)
    half = graph.edge_index[0] < graph.edge_index[1]
    with pytest.raises(ConfigError, match="both directions of every pair"):
        NativePotential(random_artifact).compute(
            graph.atomic_numbers, graph.edge_index[:, half], graph.edge_vec[half], graph.batch, graph.cell
        )


def test_edges_to_images_need_both_directions(random_artifact: Path) -> None:
    """Rounding apart: a component that ought to be zero has another sign in a vector than in its opposite."""
    potential = NativePotential(random_artifact)
    atoms = Atoms("C", [[0.3, 0.7, 0.9]], cell=[3.0, 3.0, 20.0], pbc=[True, True, False])
    graph = structures_graph([atoms], 4.0)
    expected = potential.compute(*graph).energy
    rounded = graph.edge_vec + 1e-15
    assert potential.compute(*graph._replace(edge_vec=rounded)).energy == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ConfigError, match="both directions of every pair"):
        potential.compute(
            graph.atomic_numbers, graph.edge_index[:, 1:], graph.edge_vec[1:], graph.batch, graph.cell
        )


def test_calls_that_make_no_sense(random_artifact: Path, tmp_path: Path) -> None:
    library = load_library()
    assert library.mlffd_cutoff(None) == 0.0
    assert library.mlffd_n_members(None) == 0
    with pytest.raises(ArtifactError, match="cannot be read"):
        Handle(lambda p: library.mlffd_load(str(tmp_path).encode(), p), library.mlffd_free)
    model = Handle(lambda p: library.mlffd_load(str(random_artifact).encode(), p), library.mlffd_free)
    system = Handle(lambda p: library.mlffd_system_new(model.address, 1, p), library.mlffd_system_free)
    numbers, cell, results = np.zeros(0, np.int32), np.eye(3), Results()
    with pytest.raises(ConfigError, match="cell together with pbc"):
        check(
            library.mlffd_compute(
                system.address,
                0,
                numbers.ctypes.data,
                None,
                cell.ctypes.data,
                None,
                0.0,
                byref(results),
            )
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads within 1"),
        ({"skin": -1.0}, "skin of at least 0"),
        ({"skin": np.nan}, "skin"),
    ],
)
def test_options_out_of_range(random_artifact: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NativePotential(random_artifact, **options)


def test_unknown_instruction_set(random_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFFD_ISA", "avx1024")
    with pytest.raises(ConfigError, match="MLFFD_ISA is 'avx1024', and this processor can run: .*portable"):
        NativePotential(random_artifact)


def test_artifact_without_plain_weights(random_artifact: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.pt"
    with zipfile.ZipFile(random_artifact) as source, zipfile.ZipFile(old, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith("safetensors"):
                target.writestr(entry.filename, source.read(entry))
    with pytest.raises(ArtifactError, match="export it again with `mlffd export OLD.pt -o NEW.pt`"):
        NativePotential(old)


def test_damaged_artifact(random_artifact: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pt"
    content = bytearray(random_artifact.read_bytes())
    content[content.index(b"weights.safetensors") + 2000] ^= 1
    damaged.write_bytes(content)
    library, model = load_library(), c_void_p()
    with pytest.raises(ArtifactError, match="weights.safetensors fails the checksum"):
        check(library.mlffd_load(str(damaged).encode(), byref(model)))
    with pytest.raises(ArtifactError, match="cannot be opened"):
        check(library.mlffd_load(b"/nowhere/student.pt", byref(model)))


@pytest.fixture
def unloaded_library() -> Iterator[None]:
    """The library is looked for anew, in this test and in the next one."""
    load_library.cache_clear()
    yield
    load_library.cache_clear()


def test_library_of_another_version(
    unloaded_library: None, random_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lack functions that this package calls, so its version comes first."""

    class Older:
        def mlffd_interface_version(self) -> int:
            return 1

    monkeypatch.setattr("mlff_distiller.native.library.ctypes.CDLL", lambda _: Older())
    with pytest.raises(MissingDependencyError, match="has interface 1, and this package needs"):
        NativePotential(random_artifact)


def test_library_that_was_not_built(
    unloaded_library: None, random_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlff_distiller.native.library.LIBRARY_PATH", Path("/nowhere/libmlffd.so"))
    with pytest.raises(MissingDependencyError, match="native engine cannot be loaded"):
        NativePotential(random_artifact)
