"""``buildthrough resume``: start builds again, after a drain or where the pool is locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import text
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "start builds again, after `drain` or where faults of this machine have locked the pool"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Resume."""
    pool = options.connect(arguments).post("resume", {})
    if pool.get("state") == "off":
        print("Nothing is built here: `buildthrough doctor` says why.")
        return 1
    print(escape(f"Builds are started again; there are {text(pool.get('slots'))} slots."))
    return 0
