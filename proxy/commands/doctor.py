"""``buildthrough doctor``: what this machine can isolate, what it can build for, and what is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse

SUMMARY = "say what this machine can build, and what is missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    options.add_settings(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; fail where nothing can be built."""
    settings = options.settings_of(arguments).settings
    # The other commands start without the web server and the database.
    from buildthrough.proxy.folder import StartError  # noqa: PLC0415
    from buildthrough.proxy.server import diagnose  # noqa: PLC0415

    try:
        findings, can_build = diagnose(settings)
    except StartError as error:
        print(f"buildthrough: {error}", file=sys.stderr)
        return 1
    for line in findings:
        print(escape(line))
    return 0 if can_build else 1
