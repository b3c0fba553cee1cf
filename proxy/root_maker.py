"""Makes root file systems with debootstrap, as root, and removes them. Blocking."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from buildthrough.builders import debootstrap
from buildthrough.builders.debootstrap import ARCHITECTURES, NotSensible
from buildthrough.proxy.foreign_tools import fetch_tools
from buildthrough.proxy.not_made import NotMade

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.sources", "/etc/apt/sources.list.d/*.list")
_PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a root file system is to hold."""

    suite: str
    arch: str | None
    """Debian's name of another processor, None for this machine's."""
    mirror: str | None
    """None for the one of this machine's package sources."""
    packages: tuple[str, ...]
    welcome: tuple[str, ...]
    """Packages that are left out where the distribution has none of them."""


def make_root(folder: Path, wanted: Wanted) -> tuple[str, ...]:
    """Make a root file system; what the programs say goes to standard error. Raise `NotMade`.

    Return the welcome packages that the distribution has not.
    """
    if folder.exists():
        raise NotMade(f"{folder} is there already: remove it first, or choose another name.")
    machine = ARCHITECTURES.get(wanted.arch or "", platform.machine())
    part = folder.with_name(f".{folder.name}.part")
    argv = _plan(part, wanted, machine)
    remove_root(part)
    part.mkdir(parents=True)
    try:
        _carry_out(argv)
        left_out = _add_packages(part, wanted.welcome) if wanted.welcome else ()
        if machine != platform.machine():
            fetch_tools(part, machine)
        for each in (folder.parent, part):
            each.chmod(0o755)  # the users that build have to get there
        part.rename(folder)
    except BaseException:
        remove_root(part)
        raise
    return left_out


def remove_root(folder: Path) -> None:
    """Remove a root file system; what debootstrap mounted in it is let go first."""
    for mounted in ("proc", "sys"):
        if os.path.ismount(folder / mounted):
            _carry_out(("umount", "--lazy", str(folder / mounted)))
    if folder.exists():
        shutil.rmtree(folder)


def _plan(part: Path, wanted: Wanted, machine: str) -> Sequence[str]:
    """Return debootstrap's command line. Raise `NotMade` where it could not work."""
    program = shutil.which("debootstrap", path=_PROGRAMS)
    if program is None:
        raise NotMade("debootstrap is missing; on Debian: apt-get install debootstrap.")
    if os.geteuid() != 0:
        raise NotMade("Only root can make a root file system: run it with sudo.")
    mirror = wanted.mirror or debootstrap.find_mirror(_sources())
    if mirror is None:
        raise NotMade("This machine's package sources name no mirror: give one with --mirror.")
    if machine != platform.machine():
        _check_emulation(machine)
    try:
        return debootstrap.command_line(
            program=program, suite=wanted.suite, mirror=mirror, folder=part, arch=wanted.arch, packages=wanted.packages
        )
    except NotSensible as problem:
        raise NotMade(f"It cannot be made: {problem}.") from problem


def _check_emulation(machine: str) -> None:
    """Refuse another processor whose programs cannot be run here."""
    if machine == "i686" and platform.machine() == "x86_64":
        return
    name = {"armv7l": "arm", "i686": "i386"}.get(machine, machine)
    if not Path("/proc/sys/fs/binfmt_misc", f"qemu-{name}").is_file():
        raise NotMade(
            f"Programs for {machine} cannot be run here: on Debian, apt-get install qemu-user-static binfmt-support, "
            "and see that /proc/sys/fs/binfmt_misc is mounted."
        )


def _add_packages(root: Path, packages: Sequence[str]) -> tuple[str, ...]:
    """Install those that the distribution has; return those that it has not."""
    inside = ("chroot", str(root))
    _carry_out((*inside, "apt-get", "--quiet", "update"))
    show = (*inside, "apt-cache", "--quiet", "show")
    there = [name for name in packages if _run((*show, name), subprocess.DEVNULL) == 0]
    _carry_out((*inside, "apt-get", "--quiet", "--yes", "--no-install-recommends", "install", *there))
    _carry_out((*inside, "apt-get", "clean"))
    return tuple(sorted(set(packages) - set(there)))


def _carry_out(argv: Sequence[str]) -> None:
    """Run a program of the system, its output for the reader. Raise `NotMade` where it fails."""
    code = _run(argv, sys.stderr)
    if code != 0:
        raise NotMade(f"{shlex.join(argv)} ended with {code}; what it printed says why.")


def _run(argv: Sequence[str], output: TextIO | int) -> int:
    proxies = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    environment = {"PATH": _PROGRAMS, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **proxies}
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    return done.returncode


def _sources() -> list[str]:
    return [file.read_text() for pattern in _SOURCES for file in sorted(Path("/").glob(pattern.lstrip("/")))]
