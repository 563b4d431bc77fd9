"""Where LAMMPS finds the compiled pair style. Imported at every start of ``lmp``: standard library only."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SOURCES = Path(__file__).parent / "src"


def plugin_folder() -> str:
    """The folder of the plugin built for the installed LAMMPS, torch and sources; it may not exist yet.

    Entry point ``lammps.plugins``: LAMMPS loads every file there that ends in ``plugin.so``.
    """
    return str(build_folder(_version("lammps"), _version("torch")))


def build_folder(lammps: str, torch: str) -> Path:
    """One folder for each version of LAMMPS, of torch and of our sources, so that no stale plugin is ever loaded."""
    sources = b"".join(path.read_bytes() for path in sorted(SOURCES.glob("*")) if path.is_file())
    digest = hashlib.sha256(sources).hexdigest()[:8]
    return cache_folder() / "lammps" / f"lammps-{lammps}-torch-{torch}-{digest}"


def cache_folder() -> Path:
    """``$MLFFD_CACHE``, or a folder in the user's cache."""
    if "MLFFD_CACHE" in os.environ:
        return Path(os.environ["MLFFD_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlff-distiller"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
