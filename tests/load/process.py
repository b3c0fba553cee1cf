"""What a process holds, as the kernel tells, and how long its event loop keeps others waiting."""

from __future__ import annotations

import http.client
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.e2e.server import Server


def descriptors(pid: int) -> list[str]:
    """Return what each open descriptor is."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return sorted(found)


def resident(pid: int) -> int:
    """Return the bytes in memory (RSS)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settled(pid: int, most: int, seconds: float = 60) -> list[str]:
    """Wait until no more than so many descriptors are open, and return those that are at the end."""
    end = time.monotonic() + seconds
    while len(found := descriptors(pid)) > most and time.monotonic() < end:
        time.sleep(0.2)
    return found


def traceback_in(server: Server) -> str:
    """Return what the log says around a traceback, empty where there is none."""
    before, found, after = server.log.read_text().partition("Traceback")
    return f"{before[-500:]}{found}{after[:6000]}" if found else ""


@dataclass(slots=True)
class Watch:
    """Samples memory and descriptors, and pings, in a thread."""

    pid: int
    url: str
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._sample, self._ping)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _sample(self) -> None:
        while not self._stop.wait(0.5):
            self.memory.append(resident(self.pid))
            self.files.append(len(descriptors(self.pid)))

    def _ping(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        while not self._stop.wait(0.02):
            began = time.monotonic()
            connection.request("GET", "/health/live")
            assert connection.getresponse().read() is not None
            self.pings.append(time.monotonic() - began)
        connection.close()
