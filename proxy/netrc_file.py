"""A netrc file, where pip and others look for credentials: what it has for one host."""

from __future__ import annotations

import asyncio
import netrc
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.credentials import basic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildthrough.proxy.credentials import Credentials

LOOK_SECONDS: Final = 30.0
"""How long the file is taken for unchanged without looking."""


def netrc_path(environment: Mapping[str, str]) -> Path | None:
    """Return where the netrc file is, if there is one: ``$NETRC``, or ``.netrc`` of the home folder. Blocking."""
    try:
        path = Path(environment["NETRC"]) if environment.get("NETRC") else Path.home() / ".netrc"
        return path if path.is_file() else None
    except (OSError, RuntimeError):  # no right to look, or no home
        return None


def from_netrc(path: Path, host: str) -> Credentials | None:
    """Return what a netrc file has for this very host; its ``default`` is for everybody and is not used. Blocking.

    Raise ValueError, whose text is a sentence without what stands in the file, where it cannot be read.
    """
    try:
        found = netrc.netrc(path).hosts.get(host)
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        # The parser's own words quote the file.
        raise ValueError(f"The file {path} cannot be read as netrc: nothing in it is used.") from None
    if found is None:
        return None
    login, account, password = found
    return basic(login or account or "", password or "")


class NetrcFile:
    """What a netrc file has for a host, read again where the file has changed: tokens in it may be short-lived."""

    def __init__(self, path: Path, host: str, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._path = path
        self._host = host
        self._look_seconds = look_seconds
        self._looked: float | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._known: Credentials | None = None

    async def current(self) -> Credentials | None:
        """Return the credentials; the former ones while the file cannot be read."""
        now = time.monotonic()
        if self._looked is None or now - self._looked >= self._look_seconds:
            self._looked = now
            await asyncio.to_thread(self._look)
        return self._known

    def _look(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._known = from_netrc(self._path, self._host)
                self._stamp = stamp
        except (OSError, ValueError):
            return  # it may be in the middle of being written
