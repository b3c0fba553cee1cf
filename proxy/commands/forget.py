"""``buildthrough forget``: let it be decided anew which upstream a project comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "forget which upstream a project comes from, so that it is decided anew"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("project", metavar="NAME", help="the project")
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Forget."""
    answer = options.connect(arguments).post("forget", {"project": arguments.project})
    project, upstream = text(answer.get("project")), text(answer.get("upstream"))
    print(escape(f"{project} came from {upstream}; the next request decides anew, in the order of the settings."))
    return 0
