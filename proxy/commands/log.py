"""``buildthrough log ID``: what a build printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.builds import positive
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "print the log of one build"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("id", metavar="ID", type=positive, help="the number of the build, as `builds` lists it")
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the log. On a terminal control characters are escaped: a package wrote them."""
    is_terminal = sys.stdout.isatty()
    last = "\n"
    for piece in options.connect(arguments).text(f"builds/{arguments.id}/log"):
        if piece:
            sys.stdout.write(escape(piece, keep="\n\t") if is_terminal else piece)
            last = piece[-1]
    if last != "\n" and is_terminal:
        sys.stdout.write("\n")
    return 0
