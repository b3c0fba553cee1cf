"""``buildthrough cancel``: end a build that waits or runs, or all of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.builds import positive
from buildthrough.proxy.commands.table import text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "cancel a build that waits or runs, or all of a project; the next request may ask for it again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?", type=positive, help="the build's number, as `builds` shows it")
    which.add_argument("--project", metavar="NAME", help="all builds of a project")
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Cancel."""
    wanted = {"project": arguments.project} if arguments.project else {"build": arguments.id}
    numbers = options.connect(arguments).post("cancel", wanted).get("cancelled", [])
    builds = "1 build" if len(numbers) == 1 else f"{len(numbers)} builds"
    print(escape(f"{builds} cancelled: {', '.join(text(number) for number in numbers)}."))
    return 0
