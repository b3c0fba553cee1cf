"""``buildthrough verify``: read everything in the data folder, and say what is wrong with it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from buildthrough.proxy.commands import options
from buildthrough.proxy.commands.table import size
from buildthrough.proxy.logs import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from buildthrough.proxy.verification import Finding

SUMMARY = "read everything in the data folder and say what is wrong"
_TOLD_SECONDS = 0.2
_MOST_REPAIRS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--repair", action="store_true", help="drop what is damaged, so that it is fetched or built again"
    )
    options.add_server(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each thing that is wrong; fail where something is, and stays so."""
    root = options.settings_of(arguments).settings.storage.dir
    # The other commands start without the event loop and the database.
    import asyncio  # noqa: PLC0415

    from buildthrough.builders.database import DatabaseFault  # noqa: PLC0415
    from buildthrough.proxy.errors import StorageFault  # noqa: PLC0415
    from buildthrough.proxy.folder import DataFolder, StartError  # noqa: PLC0415
    from buildthrough.proxy.verification import Verification  # noqa: PLC0415

    folder = DataFolder(root)
    progress = _Progress()
    try:
        if not root.is_dir():
            return _fail(f"There is no data folder {root}; name another with --data-dir.")
        is_served = folder.is_held()
        wrong = 0
        todo: list[Finding] = []
        for finding in Verification(root, is_served=is_served, note=progress.note).run():
            progress.clear()
            print(escape(str(finding)), flush=True)
            wrong += 1
            if finding.remedy != "operator" and len(todo) < _MOST_REPAIRS:
                todo.append(finding)
        progress.clear()
        if not wrong:
            print(f"Nothing is wrong. {size(progress.read)} were read.")
            return 0
        if not arguments.repair:
            print(f"{wrong} wrong. {size(progress.read)} were read. --repair drops what is damaged.")
            return 1
        if is_served:
            repaired = _ask_server(arguments, todo)
        else:
            with folder.held():
                repaired = asyncio.run(_repair(root, todo))
    except (StorageFault, DatabaseFault) as fault:
        return _fail(fault.sentence)
    except (OSError, StartError) as error:
        return _fail(f"The data folder {root} cannot be used ({getattr(error, 'strerror', None) or error}).")
    print(f"{wrong} wrong, {repaired} put right. {size(progress.read)} were read.")
    return 0 if repaired == wrong else 1


def _ask_server(arguments: argparse.Namespace, todo: Sequence[Finding]) -> int:
    """Have the running server put things right: it looks itself. Return how many it did."""
    server = options.connect(arguments)
    healing = [finding for finding in todo if finding.remedy == "heal"]
    return sum(bool(server.post("repair", {"kind": one.kind, "name": one.name}).get("repaired")) for one in healing)


async def _repair(root: Path, todo: Sequence[Finding]) -> int:
    """Put things right in a folder that is ours now. Return how many were."""
    from buildthrough.proxy.stores import open_healing  # noqa: PLC0415 - as above

    async with open_healing(root) as healing:
        return sum([one.remedy == "start" or await healing.heal(one.kind, one.name) for one in todo])


def _fail(sentence: str) -> int:
    print(f"buildthrough: {escape(sentence)}", file=sys.stderr)
    return 1


class _Progress:
    """How far it is, for who looks on at a terminal."""

    def __init__(self) -> None:
        self.read = 0
        """Bytes that were read."""
        self._is_seen = sys.stderr.isatty()
        self._told = 0.0

    def note(self, kind: str, count: int) -> None:
        """Note that so many bytes were read."""
        self.read += count
        if self._is_seen and time.monotonic() > self._told + _TOLD_SECONDS:
            self._told = time.monotonic()
            sys.stderr.write(f"\r\x1b[K{kind}: {size(self.read)} read")
            sys.stderr.flush()

    def clear(self) -> None:
        """Give the line back."""
        if self._is_seen:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
