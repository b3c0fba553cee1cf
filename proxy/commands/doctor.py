"""``buildthrough doctor``: what this machine can isolate, what it can build for, and what is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import size, text
from buildthrough.proxy.logs import escape
from buildthrough.proxy.remote import RemoteError

if TYPE_CHECKING:
    import argparse

    from buildthrough.config.schema import Settings
    from buildthrough.proxy.remote import Remote

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
    for line in [*findings, *_running(settings)]:
        print(escape(line))
    return 0 if can_build else 1


def _running(settings: Settings) -> list[str]:
    """Say what a running server says of its data folder."""
    server = options.running(settings)
    if server is None:
        return []
    try:
        told = server.get("storage")
    except RemoteError as error:
        return [f"    the server on it does not say how it is: {error}"]
    kept = ", ".join(f"{kind} {size(count)}" for kind, count in told.get("kept", {}).items())
    lines = [f"    the server that runs on it keeps {kept}"]
    if told.get("full"):
        lines.append("    FULL: nothing more can be removed; upstream's files are passed through and not kept")
    return [*lines, *_pool(server)]


def _pool(server: Remote) -> list[str]:
    """Say what a running server says of its builders."""
    try:
        told = server.get("pool")
    except RemoteError:
        return []  # it is of an older version
    total = told.get("total") or {}
    room = f"{size(total.get('memory_bytes'))} and {text(total.get('cpus'))} processors for all builds"
    slots = f"{text(told.get('running'))} of {text(told.get('slots'))} slots taken"
    lines = [f"    its pool is {text(told.get('state'))}: {slots}, {room}"]
    if away := told.get("away"):
        lines.append(f"    its BUILDER IS AWAY since {text(away.get('since'))}: {text(away.get('why'))}")
        lines.append("    builds wait for it; nothing is to be done here once it runs")
    if lock := told.get("lock"):
        lines.append(f"    LOCKED since {text(lock.get('since'))}: {text(lock.get('why'))}")
        lines.append(f"    {text(lock.get('advice'))}")
    elif told.get("state") in {"draining", "drained"}:
        lines.append("    no more builds are started until `buildthrough resume`")
    return lines
