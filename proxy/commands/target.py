"""``buildthrough target``: make, list and remove root file systems, whose Pythons are built for as well."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders import debootstrap
from buildthrough.builders.debootstrap import ARCHITECTURES, NAME, NotSensible
from buildthrough.builders.root_folders import folder_of_roots, folders_below
from buildthrough.proxy.commands import options
from buildthrough.proxy.folder import StartError
from buildthrough.proxy.foreign_tools import fetch_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMMARY = "make, list or remove root file systems of other distributions to build for"
_SOURCES = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.sources", "/etc/apt/sources.list.d/*.list")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make one with debootstrap")
    create.add_argument("name", type=_name, metavar="NAME", help="how to call it, such as debian-trixie")
    create.add_argument("--suite", required=True, help="the distribution's release, such as trixie")
    create.add_argument("--arch", help="for another processor, in Debian's name: arm64; needs qemu-user-static")
    create.add_argument("--mirror", help="where its packages come from; by default this machine's own mirror")
    create.add_argument("--include", action="append", default=[], metavar="PACKAGE", help="one more; repeatable")
    create.add_argument(
        "--with-recipes", action="store_true", help="also every package that a recipe says its project needs"
    )
    for action in (create, actions.add_parser("list", help="list them")):
        options.add_settings(action)
    remove = actions.add_parser("remove", help="remove one")
    remove.add_argument("name", type=_name, metavar="NAME")
    options.add_settings(remove)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked for."""
    targets = folder_of_roots(options.settings_of(arguments).settings.storage.dir)
    if arguments.action == "list":
        for folder in folders_below(targets):
            print(f"{folder.name}  {folder}")
        return 0
    folder = targets / arguments.name
    if arguments.action == "remove":
        if not folder.is_dir():
            raise StartError(f"There is no root file system {folder}.")
        _remove(folder)
        print(f"removed {folder}; a server that runs learns of it at its next start")
        return 0
    _create(arguments, folder)
    print(f"{folder} is ready; a server that runs learns of it at its next start")
    return 0


def _create(arguments: argparse.Namespace, folder: Path) -> None:
    if folder.exists():
        raise StartError(f"{folder} is there already: remove it first, or choose another name.")
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise StartError("debootstrap is missing; on Debian: apt-get install debootstrap.")
    if os.geteuid() != 0:
        raise StartError("Only root can make a root file system: run it with sudo.")
    mirror = arguments.mirror or debootstrap.find_mirror(_sources())
    if mirror is None:
        raise StartError("This machine's package sources name no mirror: give one with --mirror.")
    machine = ARCHITECTURES.get(arguments.arch or "", platform.machine())
    if machine != platform.machine():
        _check_emulation(machine)
    part = folder.with_name(f".{folder.name}.part")
    _remove(part)
    part.mkdir(parents=True)
    try:
        argv = debootstrap.command_line(
            program=program, suite=arguments.suite, mirror=mirror, folder=part, arch=arguments.arch,
            packages=[*arguments.include, *(_of_recipes(arguments) if arguments.with_recipes else ())],
        )  # fmt: skip
        _carry_out(argv, arguments.name)
        if machine != platform.machine():
            fetch_tools(part, machine)
    except NotSensible as problem:
        raise StartError(f"It cannot be made: {problem}.") from problem
    except BaseException:
        _remove(part)
        raise
    for parent in (folder.parent, part):
        parent.chmod(0o755)  # the users that build have to get there
    part.rename(folder)


def _of_recipes(arguments: argparse.Namespace) -> list[str]:
    """Return the system packages of all recipes. Raise `SettingsError` for a recipe that is none."""
    from buildthrough.config.recipe_files import load_recipes  # noqa: PLC0415 - other commands start without it

    book = load_recipes(options.settings_of(arguments).settings.build.recipes)
    return sorted({package for recipe in (*book.shipped, *book.own) for package in recipe.system_packages})


def _carry_out(argv: Sequence[str], name: str) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    proxies = {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    done = subprocess.run(
        argv, env={**environment, **proxies}, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    )
    if done.returncode != 0:
        raise StartError(f"debootstrap ended with {done.returncode}: {name} was not made; what it printed says why.")


def _check_emulation(machine: str) -> None:
    """Refuse another processor whose programs cannot be run here."""
    name = {"armv7l": "arm", "i686": "i386"}.get(machine, machine)
    if machine == "i686" and platform.machine() == "x86_64":
        return
    if not Path("/proc/sys/fs/binfmt_misc", f"qemu-{name}").is_file():
        raise StartError(
            f"Programs for {machine} cannot be run here: on Debian, apt-get install qemu-user-static binfmt-support, "
            "and see that /proc/sys/fs/binfmt_misc is mounted."
        )


def _sources() -> list[str]:
    return [file.read_text() for pattern in _SOURCES for file in sorted(Path("/").glob(pattern.lstrip("/")))]


def _remove(folder: Path) -> None:
    """Remove a root file system; what debootstrap mounted in it is let go first."""
    for mounted in ("proc", "sys"):
        if os.path.ismount(folder / mounted):
            subprocess.run(["umount", "--lazy", str(folder / mounted)], check=True)
    if folder.exists():
        shutil.rmtree(folder)


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise argparse.ArgumentTypeError(f"{value!r} is no name: small letters, digits and hyphens")
    return value
