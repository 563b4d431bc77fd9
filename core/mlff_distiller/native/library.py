"""The C interface of the native engine (``mlffd.h``), through ctypes: the same boundary that any other program uses."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from mlff_distiller.errors import (
    ArtifactError,
    ConfigError,
    DistillerError,
    MissingDependencyError,
    StructureError,
)

INTERFACE_VERSION = 5  # MLFFD_INTERFACE_VERSION of the header that these declarations follow
LIBRARY_PATH = Path(__file__).parent / ("libmlffd.dylib" if sys.platform == "darwin" else "libmlffd.so")
_PACKAGED_HEADERS = Path(__file__).parent / "include"
HEADER_FOLDER = (
    _PACKAGED_HEADERS if _PACKAGED_HEADERS.exists() else Path(__file__).parents[2] / "native/include"
)

_ERRORS = {
    1: StructureError,
    2: ArtifactError,
    3: ConfigError,
}  # enum mlffd_status; what else fails is a defect


class Results(ctypes.Structure):
    """``mlffd_results``: addresses of float64 arrays, or None."""

    _fields_ = (
        ("energy", c_void_p),
        ("forces", c_void_p),
        ("virial", c_void_p),
        ("atomic_energies", c_void_p),
        ("atomic_virials", c_void_p),
        ("force_spread", c_void_p),
    )


class NeighborList(ctypes.Structure):
    """``mlffd_neighbor_list``."""

    _fields_ = (
        ("n_neighbors", c_void_p),
        ("neighbors", c_void_p),
        ("index_mask", c_int32),
        ("n_images", c_int64),
        ("image_of", c_void_p),
    )


Exchange = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_int64, c_int)  # mlffd_exchange_fn

Signature = tuple[Any, list[Any]]  # types of the result and of the arguments

_SIGNATURES: dict[str, Signature] = {
    "mlffd_interface_version": (c_int, []),
    "mlffd_last_error": (c_char_p, []),
    "mlffd_load": (c_int, [c_char_p, POINTER(c_void_p)]),
    "mlffd_free": (None, [c_void_p]),
    "mlffd_cutoff": (c_double, [c_void_p]),
    "mlffd_n_features": (c_int, [c_void_p]),
    "mlffd_n_exchanges": (c_int, [c_void_p]),
    "mlffd_n_members": (c_int, [c_void_p]),
    "mlffd_isa": (c_char_p, [c_void_p]),
    "mlffd_system_new": (c_int, [c_void_p, c_int, POINTER(c_void_p)]),
    "mlffd_system_free": (None, [c_void_p]),
    "mlffd_compute": (
        c_int,
        [c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p, c_double, c_void_p],
    ),
    "mlffd_n_neighbor_searches": (c_int64, [c_void_p]),
    "mlffd_compute_edges": (
        c_int,
        [c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_void_p],
    ),
    "mlffd_rows_get": (c_int, [c_void_p, c_int64, c_void_p]),
    "mlffd_rows_set": (c_int, [c_void_p, c_int64, c_void_p]),
    "mlffd_compute_domain": (
        c_int,
        [c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_void_p, Exchange, c_void_p, c_void_p],
    ),
}


def is_built() -> bool:
    """Whether this installation has the compiled library."""
    return LIBRARY_PATH.exists()


@cache
def load_library() -> ctypes.CDLL:
    """The library with the signatures of its functions.

    Raises:
        MissingDependencyError: It was not built with the package, or it was built from another version of the header.
    """
    try:
        library = ctypes.CDLL(str(LIBRARY_PATH))
    except OSError as error:
        raise MissingDependencyError(
            f"the native engine cannot be loaded ({error}); install the package again where CMake and a C++17 compiler "
            "are at hand, or choose the TorchScript backend"
        ) from None
    found = library.mlffd_interface_version()
    if found != INTERFACE_VERSION:  # before its functions are looked up, which another interface may not have
        raise MissingDependencyError(
            f"{LIBRARY_PATH} has interface {found}, and this package needs {INTERFACE_VERSION}; install the package again"
        )
    declare(library, _SIGNATURES)
    return library


def declare(library: ctypes.CDLL, signatures: Mapping[str, Signature]) -> None:
    """Say what functions of the library take and return.

    Raises:
        AttributeError: It has no function of that name.
    """
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments


def check(status: int) -> None:
    """Raise what a status of the library stands for, with the library's sentence.

    Raises:
        StructureError, ArtifactError, ConfigError: What the caller can fix.
        DistillerError: Anything else.
    """
    if status:
        sentence = load_library().mlffd_last_error().decode()
        raise _ERRORS.get(status, DistillerError)(sentence)


class Handle:
    """An object of the library, freed with its Python object.

    Args:
        create: Writes the new object's address through the pointer that it is given, and returns a status.
        free: Function of the library that frees it.
    """

    def __init__(self, create: Callable[[Any], int], free: Callable[[c_void_p], None]) -> None:
        self.address = c_void_p()
        self._free = free
        check(create(ctypes.byref(self.address)))

    def __del__(self) -> None:
        if self.address:
            self._free(self.address)
            self.forget()

    def forget(self) -> None:
        """Be null: the object is freed, or must never be."""
        self.address = c_void_p()
