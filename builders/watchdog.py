"""Looks ten times a second at what a command uses up, for the limits that no kernel call and no control group keeps."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from buildthrough.builders.cgroup import Cgroup
    from buildthrough.builders.sandbox import Limits

_PERIOD = 0.1
_STARVED = 0.5
"""Of one processor: what gets less while it is ready to run is starved."""
_KIBIBYTE = 1024
_COUNTED = ("RssAnon:", "RssShmem:")
_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES = slice(11, 15)
"""In user and kernel mode, of a process and of the children that it has waited for: fields after its name (proc(5))."""
_THREADS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a process and all below it use."""

    memory_bytes: int = 0
    """Of processes; files and temporary file systems are not seen."""
    cpu_seconds: float = 0.0
    tasks: int = 0
    """Processes and threads."""


class Watchdog:
    """Watches a process and all below it. Where a control group counts, its counters are read instead."""

    def __init__(
        self,
        root: Callable[[], Awaitable[int | None]],
        limits: Limits,
        *,
        cgroup: Cgroup | None = None,
        folders: tuple[str, ...] = (),
        starved: Callable[[float], None] = lambda _seconds: None,
        proc: Path = Path("/proc"),
    ) -> None:
        """Watch the process that ``root`` will name, and its descendants.

        ``folders`` are those of its own file systems whose files are counted, as it names them. ``starved`` is told the
        seconds that something of it was ready to run and had to wait for a processor: builds take what others leave.
        """
        self._root = root
        self._limits = limits
        self._cgroup = cgroup
        self._folders = folders
        self._proc = proc
        self._starved = starved
        self.peak_bytes = 0
        """The most memory that was seen, 0 where a control group counts it."""
        self.peak_tasks = 0
        """The most processes and threads that were seen, 0 where a control group counts them."""
        self.cpu_seconds = 0.0
        """The most processor time that was seen: what it had used when it was last looked at."""

    async def overrun(self) -> Literal["memory", "cpu", "inodes"] | None:
        """Wait until a limit is overrun and return which; None where there is no process to watch."""
        root = await self._root()
        if root is None:
            return None
        looked = monotonic()
        while True:
            await asyncio.sleep(_PERIOD)
            spent = self.cpu_seconds
            if limit := await asyncio.to_thread(self.look, root):
                return limit
            before, looked = looked, monotonic()
            passed = looked - before
            had = self.cpu_seconds - spent
            if had < _STARVED * passed and await asyncio.to_thread(self.is_ready, root):
                self._starved(passed - had)

    def look(self, root: int) -> Literal["memory", "cpu", "inodes"] | None:
        """Look once; return the limit that is overrun. Blocking."""
        counted = None if self._cgroup is None else self._cgroup.cpu_seconds()
        if self._cgroup is None or counted is None:
            use = self.measure(root)
            counted = use.cpu_seconds
            if self._cgroup is None:
                self.peak_bytes = max(self.peak_bytes, use.memory_bytes)
                self.peak_tasks = max(self.peak_tasks, use.tasks)
        self.cpu_seconds = max(self.cpu_seconds, counted)
        if self.peak_bytes > self._limits.memory_bytes or (self._cgroup is not None and self._cgroup.oom_kills()):
            return "memory"  # what has lost a process to it may wait for that one for ever
        if self.cpu_seconds > self._limits.cpu_seconds:
            return "cpu"
        return "inodes" if self.inodes(root) > self._limits.inodes else None

    def is_ready(self, root: int) -> bool:
        """Whether some process of a tree could run now. Blocking."""
        return any(_state(self._proc / pid) == "R" for pid in self._tree(root))

    def _tree(self, root: int) -> Iterator[str]:
        seen: set[str] = set()
        waiting = [str(root)]
        while waiting:
            pid = waiting.pop()
            if pid not in seen:
                seen.add(pid)
                yield pid
                waiting += _children(self._proc / pid)

    def measure(self, root: int) -> Use:
        """Return what a tree uses now, its processes that have ended included in the time. Blocking."""
        memory, ticks, tasks = 0, 0, 0
        for pid in self._tree(root):
            memory += _resident(self._proc / pid)
            spent, threads = _spent(self._proc / pid)
            ticks += spent
            tasks += threads
        return Use(memory_bytes=memory, cpu_seconds=ticks / _TICKS, tasks=tasks)

    def inodes(self, root: int) -> int:
        """Return how many files, folders and links are in the process's own file systems. Blocking."""
        used = 0
        for folder in self._folders:
            seen = self._proc / str(root) / "root" / folder.lstrip("/")
            with suppress(OSError):  # it has ended meanwhile
                if self._is_hosts(seen, folder):
                    continue  # it has not yet turned its back on this machine's
                room = os.statvfs(seen)
                used += room.f_files - room.f_ffree
        return used

    @staticmethod
    def _is_hosts(seen: Path, folder: str) -> bool:
        own = Path(folder)
        return own.exists() and seen.stat().st_dev == own.stat().st_dev


def _resident(process: Path) -> int:
    try:
        lines = (process / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0
    return _KIBIBYTE * sum(int(line.split()[1]) for line in lines if line.startswith(_COUNTED))


def _spent(process: Path) -> tuple[int, int]:
    """Return the ticks of processor time, and the number of threads."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0, 0
    return sum(map(int, fields[_TIMES])), int(fields[_THREADS])


def _state(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return ""


def _children(process: Path) -> list[str]:
    children: list[str] = []
    try:
        for task in (process / "task").iterdir():
            children += (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        pass
    return children
