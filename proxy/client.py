"""What a client says of itself: the User-Agent of pip and uv, read as the environment that it installs into.

It is a hint to build and nothing else; it never changes a page. The form is ``name/version {json}``, pip's since 6.0
and uv's since 0.1.22. It names the machine and the Python that the installer works for, but not what was asked for by
``--platform``, ``--python-version`` or ``uv lock``, nor a free-threaded or debug interpreter, nor a 32-bit Python
under a 64-bit kernel: such a client is taken for what it looks like, and what is built for it serves who is that.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from buildthrough.builders.target import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildthrough.builders.target import Implementation

LONGEST_HEADER = 8192
"""Characters. The real ones have some 600."""

_head = re.compile(r"(pip|uv)/[^\s/]{1,64}").fullmatch
# Bounded, because ladders of tags are made of these numbers.
_two_numbers = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})(?![0-9])").match
_one_number = re.compile(r"([0-9]{1,3})(?![0-9.])").match

_LIBC = {"glibc": "manylinux", "musl": "musllinux"}
_LINUX = frozenset(
    {"x86_64", "i686", "aarch64", "armv7l", "ppc64le", "ppc64", "s390x", "riscv64", "loongarch64"},
)
_MACOS = frozenset({"x86_64", "arm64"})
_WINDOWS = {"amd64": "amd64", "arm64": "arm64", "x86": "win32"}
_FIRST_PYTHON_3_WITHOUT_PYMALLOC_FLAG = (3, 8)
_NEWEST_GLIBC_MAJOR = 2
_MACOS_11 = 11


class _System(NamedTuple):
    system: str
    version: tuple[int, int]
    arch: str


@lru_cache(maxsize=1024)
def read_user_agent(header: str | None) -> Environment | None:
    """Return the environment behind a User-Agent header, None for any client that does not say enough.

    Never raises: the header is text from anybody.
    """
    facts = _facts(header or "")
    interpreter = _interpreter(facts)
    system = _system(facts)
    if interpreter is None or system is None:
        return None
    implementation, python, abi = interpreter
    return Environment(
        implementation=implementation,
        python=python,
        abi=abi,
        system=system.system,  # type: ignore[arg-type] # one of the literals above
        system_version=system.version,
        arch=system.arch,
    )


def _facts(header: str) -> Mapping[str, object]:
    """Return the JSON object of a header, empty where it is not pip's or uv's."""
    head, _, body = header.strip().partition(" ")
    match = _head(head)
    if match is None or len(header) > LONGEST_HEADER:
        return {}
    try:
        facts = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(facts, dict) or _text(facts, "installer", "name") != match[1]:
        return {}
    return facts


def _interpreter(facts: Mapping[str, object]) -> tuple[Implementation, tuple[int, int], str] | None:
    python = _version(_text(facts, "python"))
    if python is None or python[0] != 3:  # noqa: PLR2004 # Python 2 had ABIs that nothing here tells apart
        return None
    nodot = f"{python[0]}{python[1]}"
    match _text(facts, "implementation", "name"):
        case "CPython":
            flag = "m" if python < _FIRST_PYTHON_3_WITHOUT_PYMALLOC_FLAG else ""
            return "cp", python, f"cp{nodot}{flag}"
        case "PyPy":
            release = _version(_text(facts, "implementation", "version"))
            if _text(facts, "installer", "name") != "pip" or release is None or release == python:
                return None  # uv sends Python's version here, and the ABI needs PyPy's own
            return "pp", python, f"pypy{nodot}_pp{release[0]}{release[1]}"
        case _:
            return None


def _system(facts: Mapping[str, object]) -> _System | None:
    cpu = _text(facts, "cpu") or ""
    match _text(facts, "system", "name"):
        case "Linux":
            return _linux(facts, cpu)
        case "Darwin":
            return _macos(facts, cpu)
        case "Windows":
            arch = _WINDOWS.get(cpu.lower())
            return _System("win", (0, 0), arch) if arch else None
        case _:
            return None


def _linux(facts: Mapping[str, object], cpu: str) -> _System | None:
    """Read a Linux. Without a libc it is not glibc, as pip on musl, and which musl it is stays unknown."""
    system = _LIBC.get(_text(facts, "distro", "libc", "lib") or "")
    version = _version(_text(facts, "distro", "libc", "version"))
    if system is None or version is None or cpu not in _LINUX:
        return None
    if system == "manylinux" and version[0] != _NEWEST_GLIBC_MAJOR:
        return None
    return _System(system, version, cpu)


def _macos(facts: Mapping[str, object], cpu: str) -> _System | None:
    stated = _text(facts, "distro", "version")
    version = _version(stated)
    if version is None and stated is not None and (match := _one_number(stated)) is not None:
        version = int(match[1]), 0
    if version is None or cpu not in _MACOS or version < (10, 4):
        return None
    return _System("macosx", version if version[0] < _MACOS_11 else (version[0], 0), cpu)  # tags count majors since 11


def _version(text: str | None) -> tuple[int, int] | None:
    match = _two_numbers(text) if text else None
    return (int(match[1]), int(match[2])) if match else None


def _text(facts: Mapping[str, object], *path: str) -> str | None:
    """Return the text behind a path of keys, None where there is none or something else."""
    value: object = facts
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value if isinstance(value, str) else None
