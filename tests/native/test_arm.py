"""The engine on 64-bit ARM: made by a cross compiler, run by an emulator (Debian: g++-aarch64-linux-gnu, qemu-user)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.native.conftest import DRIVER, EXAMPLE, NATIVE, SHIPPED, assert_prints_what_python_computes, run

TOOLS = ("cmake", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "qemu-aarch64")
EMULATOR = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")  # where its C and C++ libraries are

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}"),
]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arm")
    run(
        "cmake",
        "-S",
        NATIVE,
        "-B",
        folder,
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        "-DCMAKE_CXX_FLAGS=-Werror",
        f"-DMLFFD_TEST_DRIVER={DRIVER}",
    )
    run("cmake", "--build", folder, "--parallel", "2")
    return folder


def test_same_numbers(build: Path) -> None:
    link = (f"-L{build}", "-lmlffd", f"-Wl,-rpath,{build}", "-o", build / "water")
    run("aarch64-linux-gnu-gcc", f"-I{NATIVE / 'include'}", EXAMPLE, *link)
    for artifact in SHIPPED:
        assert_prints_what_python_computes(run(*EMULATOR, build / "water", artifact), artifact)


def test_parts(build: Path, random_artifact: Path, random_committee: Path, tmp_path: Path) -> None:
    """Neighbours, domains, threads, and derivatives against differences, as in `test_sanitized`."""
    for artifact in (random_artifact, random_committee):
        assert run(*EMULATOR, build / "sanitized", artifact, tmp_path / "damaged.pt").strip() == "clean"
