"""Whether anything in the sandbox looked up the name of a host: the kernel tells when the made-up /etc/hosts is opened.

A program that wants the network asks for a host's address first, whatever it prints when it gets none. Only a hint to
what the log means: what runs here could open that file as well.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_HOSTS = Path("/etc/hosts")
_NONBLOCK, _CLOSE_ON_EXEC = 0o4000, 0o2000000
_OPENED = 0x20
_BUFFER = 65536
TRACE = "note: a host's name was looked up, and there is no network"


class Lookups:
    """Watches from its making on."""

    def __init__(self, made_up: str) -> None:
        """Watch the file if it is this sandbox's own: others read that of the machine."""
        self._events: int | None = None
        if made_up and _content() == made_up:
            libc = ctypes.CDLL(None, use_errno=True)
            events = libc.inotify_init1(_NONBLOCK | _CLOSE_ON_EXEC)
            if events >= 0 and libc.inotify_add_watch(events, os.fsencode(_HOSTS), _OPENED) >= 0:
                self._events = events

    def happened(self) -> bool:
        """Whether there was any since this was asked last."""
        if self._events is None:
            return False
        try:
            return bool(os.read(self._events, _BUFFER))
        except BlockingIOError:
            return False


def _content() -> str:
    try:
        return _HOSTS.read_text(encoding="utf-8")
    except OSError:
        return ""
