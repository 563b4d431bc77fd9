"""Split a dataset by molecule into training, validation and test parts.

Frames of one molecule are near copies of one another: a split by frame would test what was learnt by heart.

S structures.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
from ase.symbols import Symbols

from mlff_distiller.data.dataset import Dataset
from mlff_distiller.errors import ConfigError, DatasetError

logger = logging.getLogger(__name__)

PARTS: tuple[Literal["train", "valid", "test"], ...] = ("train", "valid", "test")

_STEREO_MARKS = re.compile(r"\[([A-Z])@{1,2}H?\]|[@/\\]")  # [C@H] is C

_FORMULA = "formula:"  # begins what a structure without an id goes by
FILE = "file:"  # begins the id of a structure that is named by its file, whose dots do not part molecules


def split_by_molecule(
    dataset: Dataset, fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the training, validation and test structures; no molecule is in two parts.

    Stereoisomers, told by the marks in their SMILES, are one molecule.

    The molecules are ranked by a hash of their id and the seed, and the ranking is cut at the fractions. So
    the part of a molecule does not depend on the order of the frames, nor on how many each molecule has; a
    molecule that is added later moves only the few others that lie at a cut.

    A frame of several molecules ("A.B") goes to the part that all of them are in. Where they are in different
    parts the frame is left out of all three, and the count is logged. (To keep such frames, all molecules
    that ever met in one would have to be in the same part: with dimers of random pairs, all of them.)

    A structure without a ``molecule_id`` counts as a molecule named by its chemical formula, which puts
    isomers in one part; this is logged too.

    Args:
        dataset: S structures.
        fractions: Shares of the *molecules* for training, validation, test; they add up to 1. A part with a
            share above 0 gets at least one molecule, a part with a share of 0 is empty.
        seed: Another seed is another split.

    Returns:
        Three ascending integer arrays, disjoint, with at most S entries in all.

    Raises:
        ConfigError: Fractions that are not three shares of 1.
        DatasetError: Fewer molecules than parts to fill, or a part that got no frame.
    """
    _check_fractions(fractions)
    _warn_of_unnamed(dataset)
    components = molecules_by_structure(dataset)
    molecules = sorted(
        {molecule for frame in components for molecule in frame}, key=lambda name: _rank(name, seed)
    )
    counts = part_sizes(len(molecules), fractions)
    part_of = dict(zip(molecules, np.repeat(np.arange(3), counts).tolist(), strict=True))

    parts = np.full(len(dataset), -1)
    for i, frame in enumerate(components):
        candidates = {part_of[molecule] for molecule in frame}
        if len(candidates) == 1:
            parts[i] = candidates.pop()
    if crossing := int((parts == -1).sum()):
        logger.warning(
            "%d of %d structures are in no part: they hold molecules that are in different parts.",
            crossing,
            len(dataset),
        )
    training, validation, test = (np.flatnonzero(parts == part) for part in range(3))
    _check_filled((training, validation, test), fractions)
    return training, validation, test


def _check_fractions(fractions: Sequence[float]) -> None:
    usable = len(fractions) == 3 and all(math.isfinite(f) and f >= 0 for f in fractions)
    if not usable or abs(sum(fractions) - 1) > 1e-9:
        raise ConfigError(
            "Expected three fractions (training, validation, test), none negative, that add up to 1, as in "
            f"0.8, 0.1, 0.1; got {', '.join(str(f) for f in fractions)}."
        )


def molecules_by_structure(dataset: Dataset) -> list[tuple[str, ...]]:
    """The molecules in each structure, S tuples, whose stereoisomers count as one; one without an id is named by its formula."""
    components: list[tuple[str, ...]] = []
    known: dict[tuple[str, str], tuple[str, ...]] = {}
    keys = zip(dataset.molecule_id.tolist(), dataset.regime.tolist(), strict=True)
    for key, formula in zip(keys, _formulas(dataset), strict=True):
        if not key[0]:
            components.append((_FORMULA + formula,))
            continue
        if key not in known:
            known[key] = tuple(sorted({_without_stereo_marks(name) for name in molecules_in(*key)}))
        components.append(known[key])
    return components


def shared_molecules(dataset: Dataset, others: Iterable[Dataset]) -> np.ndarray:
    """Which structures, (S,), may be of a molecule that ``others`` have.

    Molecules are compared by name. A name of a file, or none, does not say the molecule: then equal compositions count.
    """
    names: set[str] = set()
    formulas: set[str] = set()
    formulas_without_name: set[str] = set()
    for other in others:
        for frame, formula in zip(molecules_by_structure(other), _formulas(other), strict=True):
            names.update(frame)
            formulas.add(formula)
            if not _says_molecule(frame):
                formulas_without_name.add(formula)
    return np.array(
        [
            not names.isdisjoint(frame)
            or formula in (formulas_without_name if _says_molecule(frame) else formulas)
            for frame, formula in zip(molecules_by_structure(dataset), _formulas(dataset), strict=True)
        ],
        dtype=bool,
    )


def _says_molecule(frame: tuple[str, ...]) -> bool:
    return not any(name.startswith((FILE, _FORMULA)) for name in frame)


def _formulas(dataset: Dataset) -> list[str]:
    """The composition of each structure; frames of one molecule, most of a dataset, are formatted once."""
    formula = cache(lambda numbers: Symbols(np.frombuffer(numbers, np.int64)).get_chemical_formula())
    numbers = dataset.atomic_numbers.astype(np.int64)
    return [formula(numbers[start:end].tobytes()) for start, end in pairwise(dataset.splits.tolist())]


def _warn_of_unnamed(dataset: Dataset) -> None:
    if unnamed := int((dataset.molecule_id == "").sum()):
        logger.warning(
            "%d of %d structures have no molecule_id: they are split by chemical formula.",
            unnamed,
            len(dataset),
        )


def molecules_of(dataset: Dataset) -> set[str]:
    """The molecules in a dataset, as far as its structures are named."""
    keys = set(zip(dataset.molecule_id.tolist(), dataset.regime.tolist(), strict=True))
    return {molecule for name, regime in keys if name for molecule in molecules_in(name, regime)}


def molecules_in(molecule_id: str, regime: str = "") -> tuple[str, ...]:
    """The molecules that an id names: "A.B" is A and B; a file ("file:ice.cif") is one, as is any crystal."""
    if molecule_id.startswith(FILE) or regime == "periodic":
        return (molecule_id,)
    return tuple(sorted(set(molecule_id.split("."))))


def _without_stereo_marks(molecule: str) -> str:
    """One text for stereoisomers, as RDKit writes them; files keep their names.

    By text and not by RDKit, so that a split is the same where RDKit is not installed. Isomers whose atoms RDKit writes in
    another order stay apart: of 830 sets of isomers of the recipes' molecules, 7 (no
    command counts them).
    """
    return molecule if molecule.startswith(FILE) else _STEREO_MARKS.sub(lambda mark: mark[1] or "", molecule)


def _rank(molecule: str, seed: int) -> bytes:
    """A place in the ranking that depends on nothing but the molecule and the seed, on any machine."""
    return hashlib.sha256(f"{seed}:{molecule}".encode()).digest()


def part_sizes(n_molecules: int, fractions: Sequence[float]) -> list[int]:
    """How many molecules each part gets: close to its share, and at least one if the share is above 0.

    Raises:
        DatasetError: Fewer molecules than parts.
    """
    wanted = sum(fraction > 0 for fraction in fractions)
    if n_molecules < wanted:
        raise DatasetError(
            f"Expected at least {wanted} different molecules to fill {wanted} parts, got {n_molecules}. "
            "Sample more molecules, set molecule_id on the structures, or set the fraction of a part to 0 "
            "if you do not need it."
        )
    sizes = [max(1, math.floor(fraction * n_molecules)) if fraction > 0 else 0 for fraction in fractions]
    while sum(sizes) != n_molecules:
        step = 1 if sum(sizes) < n_molecules else -1
        # The part that the step brings closest to its share, among those that can take it.
        movable = [part for part in range(3) if fractions[part] > 0 and sizes[part] + step >= 1]
        part = max(movable, key=lambda part: step * (fractions[part] * n_molecules - sizes[part]))
        sizes[part] += step
    return sizes


def _check_filled(parts: Sequence[np.ndarray], fractions: Sequence[float]) -> None:
    for name, indices, fraction in zip(PARTS, parts, fractions, strict=True):
        if fraction > 0 and len(indices) == 0:
            raise DatasetError(
                f"The {name} part is empty: all frames of its molecules hold molecules of other parts too. "
                f"Sample them on their own as well, raise the fraction {fraction}, or try another seed."
            )
