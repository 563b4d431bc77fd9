"""Which particles of a System the potential acts on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

from ase.data import chemical_symbols

from mlff_distiller.errors import ConfigError, StructureError

if TYPE_CHECKING:
    from openmm.app import Topology


@dataclass(frozen=True)
class Region:
    """The n atoms that the potential acts on, among the N particles of a System.

    Attributes:
        numbers: Atomic numbers of the n atoms.
        atoms: Their indices in the System, in the same order; None where they are all of its particles.
        n_particles: N.
        periodic: Whether the potential sees periodic images, along all three box vectors.
    """

    numbers: tuple[int, ...]
    atoms: tuple[int, ...] | None
    n_particles: int
    periodic: bool


def find_region(
    topology_or_numbers: Topology | Sequence[int], atoms: Iterable[int] | None, periodic: bool | None
) -> Region:
    """The region of a topology, or of the atomic numbers of all particles; see `create_force` for the arguments.

    Raises:
        ConfigError: Indices that are out of range, given twice, or none at all.
        StructureError: A particle of the region has no element.
    """
    numbers, has_box = _describe(topology_or_numbers)
    chosen = None if atoms is None else _checked_indices(atoms, len(numbers))
    indices = range(len(numbers)) if chosen is None else chosen
    for index in indices:
        if not 1 <= numbers[index] < len(chemical_symbols):
            raise StructureError(
                f"particle {index} has no element (a virtual site?), but is among the atoms of the potential; "
                "leave it out with atoms="
            )
    selected = tuple(numbers[index] for index in indices)
    return Region(selected, chosen, len(numbers), has_box if periodic is None else periodic)


def _describe(topology_or_numbers: Topology | Sequence[int]) -> tuple[list[int], bool]:
    """Atomic numbers of all particles, 0 where there is no element, and whether there are box vectors."""
    if isinstance(topology_or_numbers, Iterable):
        return _whole_numbers(topology_or_numbers, "a Topology or atomic numbers"), False
    elements = [atom.element for atom in topology_or_numbers.atoms()]
    numbers = [0 if element is None else element.atomic_number for element in elements]
    return numbers, topology_or_numbers.getPeriodicBoxVectors() is not None


def _whole_numbers(values: Iterable[Any], expected: str) -> list[int]:
    """Never another number: a mask, a symbol or an Atoms object would give one, or an error without a word on it."""
    values = list(values)
    if not all(isinstance(value, Integral) and not isinstance(value, bool) for value in values):
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise ConfigError(f"expected {expected}, whole numbers; got {kinds}")
    return [int(value) for value in values]


def _checked_indices(atoms: Iterable[int], n_particles: int) -> tuple[int, ...]:
    chosen = tuple(_whole_numbers(atoms, "indices of particles in atoms="))
    outside = [index for index in chosen if not 0 <= index < n_particles]
    if not chosen or outside or len(set(chosen)) < len(chosen):
        what = f"{outside[0]} among them" if outside else "one twice" if chosen else "none"
        raise ConfigError(
            f"expected atoms= to hold different indices within 0 … {n_particles - 1}, got {what}; "
            "count particles from 0, in the order of the System"
        )
    return chosen
