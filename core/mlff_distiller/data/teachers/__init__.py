"""Teachers by name: the slow, accurate sources of energies and forces that students are distilled from.

- `gfn2-xtb` (the default), `gfn1-xtb`: tight binding by tblite; no weights to fetch
- `orb-v3-conservative-inf-omat` and its like: networks by orb-models
- `mace-off-small` and its like, `mace:<path>`: networks by mace-torch
- `aimnet2` and its like: networks by aimnet
- `student:<name or path>`: a distilled student, for progressive distillation
- `ase:<package.module>:<factory>`: any ASE calculator
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mlff_distiller.data.teachers.base import Teacher, unknown_teacher
from mlff_distiller.errors import ConfigError

__all__ = ["Teacher", "load_teacher", "teacher_names"]

DEFAULT_TEACHER = "gfn2-xtb"
_TEMPLATES = ("orb-<model>", "mace:<path>", "student:<name or path>", "ase:<package.module>:<factory>")


def load_teacher(name: str = DEFAULT_TEACHER, **options: Any) -> Teacher:
    """The teacher of that name.

    Load it in each process that labels; it is not meant to be sent between them.

    Args:
        name: See the module's documentation and `teacher_names()`; in names of models, "_" and capitals are
            taken as "-" and small letters.
        options: Options of that teacher, documented at its factory (`xtb.xtb_teacher`, `orb.orb_teacher`,
            `mace.mace_teacher`, `aimnet2.aimnet2_teacher`, `custom.custom_teacher`).

    Raises:
        TeacherError: The name is unknown, or the teacher cannot be loaded.
        ConfigError: An option is unknown or out of range.
        MissingDependencyError: The package that it needs is not installed.
    """
    if ":" not in name:
        name = name.lower().replace("_", "-")
    factory = _factory(name)
    try:
        inspect.signature(factory).bind(name, **options)
    except TypeError as error:
        known = [p.name for p in inspect.signature(factory).parameters.values() if p.kind is p.KEYWORD_ONLY]
        raise ConfigError(f"Teacher {name!r}: {error}; its options are: {', '.join(known)}.") from error
    return factory(name, **options)


def teacher_names() -> list[str]:
    """The names that can be given to `load_teacher`, those with a part of your own as templates."""
    from mlff_distiller.data.teachers import aimnet2, mace, xtb

    return [*xtb.NAMES, *aimnet2.NAMES, *mace.NAMES, *_TEMPLATES]


def _factory(name: str) -> Callable[..., Teacher]:
    """The function that loads the teacher of that name; a family's module is imported only when asked for."""
    if name.startswith("ase:"):
        from mlff_distiller.data.teachers.custom import custom_teacher as factory
    elif name.startswith("student:"):
        factory = _student_teacher
    elif name.startswith("orb-"):
        from mlff_distiller.data.teachers.orb import orb_teacher as factory
    elif name.startswith("mace:"):
        from mlff_distiller.data.teachers.mace import mace_file_teacher as factory
    elif name.startswith("mace-"):
        from mlff_distiller.data.teachers.mace import mace_teacher as factory
    elif name.startswith("aimnet2"):
        from mlff_distiller.data.teachers.aimnet2 import aimnet2_teacher as factory
    elif name in ("gfn1-xtb", "gfn2-xtb"):
        from mlff_distiller.data.teachers.xtb import xtb_teacher as factory
    else:
        raise unknown_teacher(name, teacher_names())
    return factory


def _student_teacher(name: str, **options: Any) -> Teacher:
    """The teacher around the student that "student:<name or path>" stands for."""
    from mlff_distiller.data.student_teacher import student_teacher

    return student_teacher(name.removeprefix("student:"), **options)
