"""``buildthrough serve``: run the server until it is told to stop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options

if TYPE_CHECKING:
    import argparse

SUMMARY = "run the server"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--host", help="address to listen on (server.host)")
    parser.add_argument("--port", help="port to listen on (server.port)")
    parser.add_argument("--upstream", metavar="URL", help="the index to stand in front of (upstream.url)")
    options.add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the server."""
    settings = options.settings_of(arguments).settings
    # The other commands start without the web server and the database.
    from buildthrough.proxy.folder import StartError  # noqa: PLC0415
    from buildthrough.proxy.start import serve  # noqa: PLC0415

    try:
        serve(settings)
    except StartError as error:
        print(f"buildthrough: {error}", file=sys.stderr)
        return 1
    return 0
