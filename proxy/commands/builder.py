"""``buildthrough builder``: run builds for a server, in a process without its credentials, its data and its network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options

if TYPE_CHECKING:
    import argparse

SUMMARY = "run builds for a server over a unix socket"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--socket", metavar="PATH", required=True, help="where to listen: the server's build.socket")
    options.add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run until it is told to stop."""
    settings = options.settings_of(arguments).settings
    # The other commands start without the event loop.
    from buildthrough.proxy.folder import StartError  # noqa: PLC0415
    from buildthrough.proxy.supervisor import supervise  # noqa: PLC0415

    try:
        supervise(settings, Path(arguments.socket))
    except StartError as error:
        print(f"buildthrough: {error}", file=sys.stderr)
        return 1
    return 0
