"""Bounds the memory of a process tree where no control group does: looks ten times a second."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PERIOD = 0.1
_KIBIBYTE = 1024
_COUNTED = ("RssAnon:", "RssShmem:")


class MemoryWatchdog:
    """Watches a process and all below it. Memory of files and of temporary file systems is not seen."""

    def __init__(self, root: Callable[[], Awaitable[int | None]], limit_bytes: int, proc: Path = Path("/proc")) -> None:
        """Watch the process that ``root`` will name, and its descendants."""
        self._root = root
        self._limit = limit_bytes
        self._proc = proc
        self.peak_bytes = 0
        """The most that was seen."""

    async def overrun(self) -> Literal["memory"] | None:
        """Wait until the tree uses more than the limit; return None where there is no tree."""
        root = await self._root()
        if root is None:
            return None
        while self.peak_bytes <= self._limit:
            await asyncio.sleep(_PERIOD)
            self.peak_bytes = max(self.peak_bytes, await asyncio.to_thread(self.measure, root))
        return "memory"

    def measure(self, root: int) -> int:
        """Return the bytes that a tree uses now. Blocking."""
        total = 0
        seen: set[str] = set()
        waiting = [str(root)]
        while waiting:
            pid = waiting.pop()
            if pid not in seen:
                seen.add(pid)
                total += _resident(self._proc / pid)
                waiting += _children(self._proc / pid)
        return total


def _resident(process: Path) -> int:
    try:
        lines = (process / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0
    return _KIBIBYTE * sum(int(line.split()[1]) for line in lines if line.startswith(_COUNTED))


def _children(process: Path) -> list[str]:
    children: list[str] = []
    try:
        for task in (process / "task").iterdir():
            children += (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        pass
    return children
