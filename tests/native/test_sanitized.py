"""The engine under sanitizers of memory, undefined behaviour and threads, on every instruction set that this processor has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.native.conftest import DRIVER, NATIVE, run

from mlff_distiller.native import NativePotential


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="CMake is not installed")
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_clean_under_sanitizers(
    sanitizers: str, random_artifact: Path, random_committee: Path, tmp_path: Path
) -> None:
    best = NativePotential(random_artifact).isa
    emulated = "OFF" if best == "avx512" else "ON"  # the 16-wide kernels in any case
    flags = f"-fsanitize={sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1"
    run(
        "cmake",
        "-S",
        NATIVE,
        "-B",
        tmp_path,
        "-DCMAKE_BUILD_TYPE=None",
        f"-DCMAKE_CXX_FLAGS={flags}",
        f"-DMLFFD_EMULATE_AVX512={emulated}",
        f"-DMLFFD_TEST_DRIVER={DRIVER}",
    )
    run("cmake", "--build", tmp_path, "--parallel", "2")
    for isa in {"portable", best, "avx512"} if best != "portable" else {"portable"}:
        for artifact in (random_artifact, random_committee):
            output = run(tmp_path / "sanitized", artifact, tmp_path / "damaged.pt", MLFFD_ISA=isa)
            assert output.strip() == "clean"
