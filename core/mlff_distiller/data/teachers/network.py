"""What the teachers that are neural networks of other packages have in common.

Such a package changes settings of the whole process (torch's default dtype, say), reads charge and spin where
ASE's cache does not look, and fetches its weights from a network that may not be there. Here these are set
right, once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises for a file that is not its own
from typing import Literal

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorSetupError, all_changes
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from mlff_distiller.data.teachers.charge import spin_multiplicity, total_charge
from mlff_distiller.errors import ConfigError, TeacherError

Precision = Literal["float32", "float64"]
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def dtype_of(precision: str) -> torch.dtype:
    """The torch dtype of that name.

    Raises:
        ConfigError: It is neither "float32" nor "float64".
    """
    if precision not in _DTYPES:
        raise ConfigError(f"precision must be one of {sorted(_DTYPES)}, got {precision!r}.")
    return _DTYPES[precision]


class NetworkCalculator(Calculator):
    """A network's own ASE calculator, made to depend on the atoms alone and to leave the process as it was.

    Charge and spin come from the initial charges and magnetic moments (`charge.py`); every evaluation is a
    fresh one.
    """

    def __init__(self, network: Calculator, dtype: torch.dtype) -> None:
        """Wrap a calculator whose network computes in `dtype`."""
        super().__init__()
        self.network = network
        self.dtype = dtype
        has_stress = "stress" in network.implemented_properties
        self.implemented_properties = ["energy", "forces", *(["stress"] if has_stress else [])]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Energy (eV), forces (N, 3) eV/Å and, for three-dimensional crystals, stress (6,) eV/Å^3 at once."""
        super().calculate(atoms, properties, system_changes)
        if self.atoms is None:
            raise CalculatorSetupError("This calculator was given no atoms.")
        explicit = self.atoms.copy()
        explicit.info |= {"charge": total_charge(explicit), "spin": spin_multiplicity(explicit)}
        wanted = [p for p in self.implemented_properties if p != "stress" or explicit.pbc.all()]
        self.network.reset()
        with torch_settings(self.dtype):
            self.network.calculate(explicit, wanted, all_changes)
        self.results = {name: self.network.results[name] for name in wanted}
        if "stress" in wanted and self.results["stress"].shape == (3, 3):
            self.results["stress"] = full_3x3_to_voigt_6_stress(self.results["stress"])


@contextmanager
def torch_settings(dtype: torch.dtype) -> Iterator[None]:
    """Run a block with a default dtype and full-precision products; then restore both settings."""
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    torch.set_default_dtype(dtype)
    torch.set_float32_matmul_precision("highest")  # TF32 would put noise into the labels
    try:
        yield
    finally:
        torch.set_default_dtype(before[0])
        torch.set_float32_matmul_precision(before[1])


@contextmanager
def loading(name: str) -> Iterator[None]:
    """Turn the failure to find or read a network's weights into a sentence that says what to do.

    Raises:
        TeacherError: The block raised OSError (no network), or an error for a file that is something else.
    """
    try:
        yield
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise TeacherError(
            f"Teacher {name!r} could not load its weights ({reason}). Without a network connection, download "
            "the file elsewhere and pass it by the option weights=PATH."
        ) from error


def refuse_elements_outside(known: Iterable[int]) -> Callable[[Atoms], str | None]:
    """The `Teacher.refusal` of a network that knows these atomic numbers only."""
    known = frozenset(int(z) for z in known)

    def refusal(atoms: Atoms) -> str | None:
        unknown = sorted(set(atoms.numbers.tolist()) - known)
        if unknown:
            return f"the network does not know the elements {', '.join(chemical_symbols[z] for z in unknown)}"
        return None

    return refusal


def weights_file(name: str, weights: str | Path) -> Path:
    """The path of a weights file that is there.

    Raises:
        TeacherError: There is no such file.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise TeacherError(f"Teacher {name!r}: there is no weights file {str(path)!r}.")
    return path


def fingerprint(path: Path) -> str:
    """The file's name and SHA-256: what identifies weights that have no published name."""
    with path.open("rb") as file:
        return f"{path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
