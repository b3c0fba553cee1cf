"""``buildthrough target``: make, list and remove root file systems, whose Pythons are built for as well."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from buildthrough.builders.debootstrap import NAME
from buildthrough.builders.root_folders import folder_of_roots, folders_below
from buildthrough.proxy.commands import options
from buildthrough.proxy.logs import escape
from buildthrough.proxy.not_made import NotMade
from buildthrough.proxy.root_maker import Wanted, make_root, remove_root

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.config.schema import Settings

SUMMARY = "make, list or remove root file systems of other distributions to build for"


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
    settings = options.settings_of(arguments).settings
    targets = folder_of_roots(settings.storage.dir)
    try:
        return _ACTIONS[arguments.action](arguments, settings, targets)
    except (NotMade, OSError) as problem:
        print(f"buildthrough: {escape(str(problem))}", file=sys.stderr)
        return 1


def _list(_arguments: argparse.Namespace, _settings: Settings, targets: Path) -> int:
    for folder in folders_below(targets):
        print(f"{folder.name}  {folder}")
    return 0


def _remove(arguments: argparse.Namespace, _settings: Settings, targets: Path) -> int:
    folder = targets / arguments.name
    if not folder.is_dir():
        raise NotMade(f"There is no root file system {folder}.")
    remove_root(folder)
    print(f"removed {folder}; a server that runs learns of it at its next start")
    return 0


def _create(arguments: argparse.Namespace, settings: Settings, targets: Path) -> int:
    folder = targets / arguments.name
    wanted = Wanted(
        suite=arguments.suite,
        arch=arguments.arch,
        mirror=arguments.mirror,
        packages=tuple(arguments.include),
        welcome=_of_recipes(settings) if arguments.with_recipes else (),
    )
    left_out = make_root(folder, wanted)
    if left_out:
        print(f"the distribution has no {', '.join(left_out)}: what needs them will not build")
    print(f"{folder} is ready; a server that runs learns of it at its next start")
    return 0


def _of_recipes(settings: Settings) -> tuple[str, ...]:
    """Return the system packages of all recipes. Raise `SettingsError` for a recipe that is none."""
    from buildthrough.config.recipe_files import load_recipes  # noqa: PLC0415 - other commands start without it

    book = load_recipes(settings.build.recipes)
    return tuple(sorted({package for recipe in (*book.shipped, *book.own) for package in recipe.system_packages}))


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise argparse.ArgumentTypeError(f"{value!r} is no name: small letters, digits and hyphens")
    return value


_ACTIONS = {"create": _create, "list": _list, "remove": _remove}
