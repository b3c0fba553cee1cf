"""A root file system made by debootstrap: which command, from which mirror. Nothing is run here.

Sources: debootstrap(8), sources.list(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PACKAGES: Final = (
    "python3", "python3-dev", "gcc", "g++", "make", "libc6-dev", "pkg-config", "patch", "binutils",
)  # fmt: skip
"""What building C code for the distribution's Python needs."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SUITE = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,126}")
_ONE_LINE = re.compile(r"deb\s+(?:\[[^\]]*\]\s+)?(?P<uri>\w+://\S+)\s+\S+\s+.*\bmain\b")
ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "armv7l", "i386": "i686", "riscv64": "riscv64"}
"""Debian's names, and what a Python there calls its machine."""


class NotSensible(Exception):
    """What was asked for cannot be made; the message says why."""


def command_line(
    *, program: str, suite: str, mirror: str, folder: Path, arch: str | None, packages: Sequence[str]
) -> tuple[str, ...]:
    """Return the argv. Raise `NotSensible` for a suite, an architecture or a package that cannot be one."""
    if not _SUITE.fullmatch(suite):
        raise NotSensible(f"{suite!r} is no suite of a distribution, such as trixie")
    if arch is not None and arch not in ARCHITECTURES:
        raise NotSensible(f"{arch!r} is none of {', '.join(ARCHITECTURES)}")
    for package in packages:
        if not _PACKAGE.fullmatch(package):
            raise NotSensible(f"{package!r} is no name of a Debian package")
    wanted = ",".join(dict.fromkeys((*PACKAGES, *packages)))
    chosen = () if arch is None else (f"--arch={arch}",)
    return (program, "--variant=minbase", f"--include={wanted}", *chosen, suite, str(folder), mirror)


def find_mirror(sources: Iterable[str]) -> str | None:
    """Return the first mirror that lists of package sources name, in either form; None where none does."""
    for text in sources:
        fields: dict[str, str] = {}
        for line in (*text.splitlines(), ""):
            if match := _ONE_LINE.match(line):
                return match["uri"].rstrip("/")
            name, separator, value = line.partition(":")
            if separator and not line.startswith(("#", " ", "\t")):
                fields[name.strip().lower()] = value.strip()
            elif not line.strip():
                if "deb" in fields.get("types", "").split() and "main" in fields.get("components", "").split():
                    return fields["uris"].split()[0].rstrip("/")
                fields = {}
    return None
