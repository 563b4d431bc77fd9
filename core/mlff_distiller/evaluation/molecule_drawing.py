"""A structure in three dimensions: balls and sticks in perspective, atoms coloured by a value.

Drawn by hand rather than with matplotlib's 3D axes, which sort whole artists by depth and so put bonds before atoms.
N atoms, B bonds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Circle
from scipy.spatial.transform import Rotation

from mlff_distiller.bonds import find_bonds

BALL = 0.55  # radius of an atom in covalent radii
VIEW_DISTANCE = 3.0  # of the eye, in radii of the structure
TILT = (25.0, 20.0)  # degrees about x and y, away from the flattest view, in which atoms hide each other


def draw_structure(
    axes: Axes, atoms: Atoms, values: np.ndarray, notes: Sequence[tuple[int, str]], colormap: Colormap
) -> ScalarMappable:
    """Draw atoms with bonds, and a scale bar of 1 Å.

    Args:
        axes: Emptied of ticks and frame.
        atoms: N of them.
        values: (N,) for the colours.
        notes: Atom and text to write beside it.
        colormap: From the smallest value, zero, to the largest.

    Returns:
        What a colour bar can be made from.
    """
    colors = ScalarMappable(Normalize(0.0, max(float(values.max()), 1e-9)), colormap)
    eye = _turned(atoms.positions)
    reach = float(np.linalg.norm(eye, axis=1).max()) + 1.0
    scale = VIEW_DISTANCE * reach / (VIEW_DISTANCE * reach - eye[:, 2])  # (N,) nearer is larger
    flat = eye[:, :2] * scale[:, None]
    depth = (eye[:, 2] + reach) / (2 * reach)  # (N,) 0 far … 1 near
    radii = BALL * covalent_radii[atoms.numbers] * scale
    _draw_bonds(axes, atoms, flat, depth)
    for i in range(len(atoms)):
        fill = colors.to_rgba(values[i])
        axes.add_patch(
            Circle(
                tuple(flat[i]), radii[i], facecolor=fill, edgecolor="0.15", linewidth=0.6, zorder=1 + depth[i]
            )
        )
    _write_notes(axes, flat, radii, notes)
    low, high = (flat - radii[:, None]).min(axis=0) - 0.4, (flat + radii[:, None]).max(axis=0) + 0.4
    axes.plot([low[0], low[0] + 1.0], [low[1] - 0.2] * 2, color="black", linewidth=1.5)
    axes.text(low[0] + 1.15, low[1] - 0.2, "1 Å", va="center")
    axes.set(xlim=(low[0] - 0.2, high[0]), ylim=(low[1] - 0.6, high[1]), aspect="equal")
    axes.set_axis_off()
    return colors


def _turned(positions: np.ndarray) -> np.ndarray:
    """Positions (N, 3) Å about their centre: the two longest principal axes across the picture, tilted a little."""
    centred = positions - positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2]  # (3, 3) rows, the longest first
    axes[2] = np.cross(axes[0], axes[1])  # no mirror image
    return Rotation.from_euler("xy", TILT, degrees=True).apply(centred @ axes.T)


def _draw_bonds(axes: Axes, atoms: Atoms, flat: np.ndarray, depth: np.ndarray) -> None:
    free = Atoms(
        atoms.numbers, atoms.positions
    )  # a bond through the wall of the cell would cross the picture
    for i, j in find_bonds(free)[0]:
        z = 1 + min(depth[i], depth[j]) - 1e-6  # behind both of its atoms
        axes.plot(*flat[[i, j]].T, color="0.15", linewidth=3.2, solid_capstyle="round", zorder=z)
        axes.plot(*flat[[i, j]].T, color="0.75", linewidth=2.0, solid_capstyle="round", zorder=z)


def _write_notes(axes: Axes, flat: np.ndarray, radii: np.ndarray, notes: Sequence[tuple[int, str]]) -> None:
    """Texts in a column beside the structure, from top to bottom as their atoms are, each with a line to its atom."""
    ordered = sorted(notes, key=lambda note: -flat[note[0], 1])
    heights = np.linspace(0.92, 0.08, len(ordered)) if len(ordered) > 1 else [0.9]
    for (atom, text), height in zip(ordered, heights, strict=True):
        axes.annotate(
            text,
            xy=tuple(flat[atom]),
            xytext=(1.02, height),
            textcoords="axes fraction",
            va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.7, "color": "0.2", "shrinkB": 3},
            zorder=5,
        )
