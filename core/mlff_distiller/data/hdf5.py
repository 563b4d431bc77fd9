"""Look-ups in an open HDF5 file that tell what is absent from what is damaged.

h5py's own ``get`` and ``in`` answer "nothing there" in both cases, so that a damaged array could pass as one
that was never written.
"""

from __future__ import annotations

import h5py
import numpy as np

from mlff_distiller.errors import DatasetError

# NumPy kinds that convert to an element type with no change of meaning: numbers of any width.
_KINDS = {np.int64: "iu", np.float64: "fiu", np.float32: "fiu", np.bool_: "biu"}


def find(file: h5py.File, path: str) -> h5py.Group | h5py.Dataset | None:
    """The group or array at ``path``, or None if the file lists none.

    Raises:
        OSError: It is listed and cannot be opened.
    """
    node = file
    for name in path.strip("/").split("/"):
        if not isinstance(node, h5py.Group) or name not in list(node):
            return None
        try:
            node = node[name]
        except KeyError as error:
            raise OSError(f"{path}: {error.args[0]}") from error
    return node if isinstance(node, h5py.Group | h5py.Dataset) else None


def load(file: h5py.File, path: str, dtype: type[np.generic], source: str) -> np.ndarray:
    """The array at ``path``, converted to ``dtype``.

    Raises:
        DatasetError: There is no array, or it holds something else than such numbers.
    """
    node = find(file, path)
    if not isinstance(node, h5py.Dataset):
        raise DatasetError(
            f"{source}: {path}: expected an array here, got {'nothing' if node is None else 'a group'}. "
            f"The file holds: {_arrays_in(file)}. The schema is described in mlff_distiller.data.schema."
        )
    if node.dtype.kind not in _KINDS[dtype] or node.shape is None:
        raise DatasetError(
            f"{source}: {path}: expected numbers that convert to {np.dtype(dtype)}, got the type "
            f"{node.dtype}. Write the array again with that type."
        )
    return node[()].astype(dtype)


def _arrays_in(file: h5py.File) -> str:
    paths: list[str] = []
    file.visititems(lambda name, node: paths.append(f"/{name}") if isinstance(node, h5py.Dataset) else None)
    return ", ".join(paths) or "no arrays"
