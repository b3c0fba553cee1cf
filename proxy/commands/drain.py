"""``buildthrough drain``: let the builds that run finish, and start no more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "start no more builds, also after a restart, until `resume`; pages are served as before"
_LOOK_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--wait", action="store_true", help="wait until no build runs any more")
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Drain, and wait if so asked."""
    server = options.connect(arguments)
    pool = server.post("drain", {})
    while arguments.wait and pool.get("running"):
        time.sleep(_LOOK_SECONDS)
        pool = server.get("pool")
        if pool.get("state") not in {"draining", "drained"}:
            print("Builds were resumed meanwhile.")
            return 1
    running = pool.get("running")
    if running:
        print(escape(f"No more builds are started; those that run now ({text(running)}) go on."))
    else:
        print("No more builds are started, and none runs.")
    return 0
