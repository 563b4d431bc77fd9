"""Making one labelled frame."""

from __future__ import annotations

from ase import Atoms

from mlff_distiller.data.teachers import Teacher


def labelled(atoms: Atoms, teacher: Teacher, regime: str) -> Atoms:
    """A copy of a structure with the teacher's labels and ``info["regime"]``.

    Raises:
        TeacherError: The teacher cannot label the structure.
    """
    frame = teacher.label(atoms)
    frame.info = {"regime": regime}
    return frame
