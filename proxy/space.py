"""The bounds on the data folder: how much it may hold, and how much of its file system stays free.

Everything counts: upstream's files, pages, logs, built wheels, records, and what is being written. Where it is too
much, upstream's files go, the least recently used first, then logs; built wheels and records never do. Who writes
claims room first, so room is made before the bytes come. Where none can be made, upstream's files are not kept any
more; wheels and records may still use what is kept free.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buildthrough.proxy import logs
from buildthrough.proxy.claims import STEP, ClaimedRoom, Claims
from buildthrough.proxy.disk import Disk
from buildthrough.proxy.errors import DiskFull, NoRoom, StorageFault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from buildthrough.proxy.blobs import LocalBlobs
    from buildthrough.proxy.claims import Claimed
    from buildthrough.proxy.eviction import Evicted, Eviction

log = logs.logger("space")

LOOK_SECONDS: Final = 10.0
"""How often the disk is looked at where nobody asks."""
REFUSED_SECONDS: Final = 60.0
"""How long a disk is believed full that took no more, whatever it says of its free bytes (a quota, inodes)."""
WALK_SECONDS: Final = 30.0
"""Pause between two walks that look for what could go."""
RECOUNT_SECONDS: Final = 3600.0
"""How long a count is believed: somebody else may have removed files."""
_WAIT_SECONDS: Final = 0.5
_WAITS: Final = 20
_CRUMBS: Final = 64 << 10
"""So little room is none."""
_AMPLE: Final = 1 << 30
"""While so much more is free, a second passes between two looks at the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A store in the data folder."""

    blobs: LocalBlobs
    eviction: Eviction
    may_go: bool


class Space:
    """The bounds, and the task that keeps them."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: float = math.inf,
        min_free: int = 0,
        others: Mapping[str, Callable[[], Awaitable[int]]] | None = None,
        observe: Callable[[str, Evicted], None] = lambda _kind, _evicted: None,
    ) -> None:
        """``others`` tell the bytes of what is bounded elsewhere, by kind. ``observe`` is told what was evicted."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._observe = observe
        self._ask_others = dict(others or {})
        self._others: dict[str, int] = {}
        self._parts: dict[str, Part] = {}
        self._claims = Claims()
        self._disk: Disk | None = None
        self._stuck = False
        self._refused_until = 0.0
        self._owed = 0
        """Bytes to free, whatever the disk says: it took no more."""
        self._said_full = False
        self._walked = -math.inf
        self._looked = -math.inf
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether upstream's files cannot be kept any more."""
        return self._stuck or time.monotonic() < self._refused_until

    @property
    def free(self) -> int:
        """Free bytes when the disk was looked at last."""
        return self._disk.free if self._disk else 0

    def kept(self) -> dict[str, int]:
        """Return the bytes that are kept, by kind."""
        parts = {kind: part.blobs.folder.tally.bytes for kind, part in self._parts.items()}
        return {**parts, "arriving": self._claims.written, **self._others}

    # --- for writers ----------------------------------------------------------------------------------------------

    def room(self, *, is_record: bool = False) -> ClaimedRoom:
        """Return the room that a store writes in. Records are never refused: they may use what is kept free."""
        return ClaimedRoom(self, self._claims, is_record=is_record)

    def add(self, kind: str, part: Part) -> None:
        """Count a store. What may go does so in the order in which it was added."""
        self._parts[kind] = part

    async def grant(self, claim: Claimed, total: int, ahead: int) -> None:
        """Find room for a claim. Raise `DiskFull` where none can be made."""
        if ahead and await self._lack(total + ahead - claim.granted) > 0:
            ahead = 0
        if (lack := await self._lack(total + ahead - claim.granted)) > 0:
            if not claim.is_record and lack > self._can_go():
                raise self._refusal(total + ahead - claim.granted - lack + self._can_go())
            self._wake.set()
        claim.granted = total + ahead
        for _ in range(_WAITS):  # only who needs room that the disk does not have waits until it is made
            if claim.is_record or self.is_full or claim.outstanding <= self.free:
                break
            await self._news()
            await self._look()

    def refuse(self) -> None:
        """Note that the disk took no more."""
        self._refused_until = time.monotonic() + REFUSED_SECONDS
        self._owed = STEP
        self._say_full()
        self._wake.set()

    # --- the task -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the bounds until cancelled. A disk that fails is a line in the log."""
        counted = -math.inf
        while True:
            self._wake.clear()
            try:
                await self._look()
                for kind, ask in self._ask_others.items():
                    self._others[kind] = await ask()
                if time.monotonic() > counted + RECOUNT_SECONDS:
                    counted = time.monotonic()
                    await self._walk()
                await self.keep()
            except StorageFault as fault:
                log.warning("the data folder cannot be kept within its bounds", fault=fault.sentence)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def keep(self) -> None:
        """Remove what is too much, as far as it may go. Raise `StorageFault`."""
        removed: dict[str, int] = {}
        has_walked = False
        owed, self._owed = self._owed, 0
        if owed:
            await self._evict(owed, removed)
        while (lack := await self._lack(0)) > 0:
            if await self._evict(math.ceil(lack), removed):
                has_walked = False
            elif has_walked or not await self._find_more():
                break
            else:
                has_walked = True
        self._stuck = lack > 0
        self._tell()
        if removed:
            log.info("files were removed to stay within the bounds", **removed)
        if self.is_full:
            self._say_full()
        elif self._said_full:
            self._said_full = False
            log.info("there is room again: files are kept")

    async def _evict(self, lack: int, removed: dict[str, int]) -> bool:
        """Remove some of what goes first; whether any was."""
        for kind, part in self._parts.items():
            while part.may_go and not part.eviction.is_used_up:
                evicted = await part.eviction.evict(lack)
                self._tell()
                if evicted.count:
                    self._observe(kind, evicted)
                    removed[kind] = removed.get(kind, 0) + evicted.count
                    return True
        return False

    async def _find_more(self) -> bool:
        """Walk through the stores again, unless that was just done; whether there is something to remove now."""
        if time.monotonic() < self._walked + WALK_SECONDS or not self._can_go(counted=True):
            return False
        await self._walk()
        return any(part.may_go and not part.eviction.is_used_up for part in self._parts.values())

    async def _walk(self) -> None:
        self._walked = time.monotonic()
        for part in self._parts.values():
            await part.eviction.walk()

    async def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            self._disk = await asyncio.to_thread(Disk.of, self._folder)
        except OSError as error:
            raise StorageFault("The data folder cannot be looked at: is its disk still there?") from error

    async def _lack(self, more: int) -> float:
        """Return the bytes that are too many if so many more are granted; not positive where they fit."""
        promised = more + self._claims.outstanding
        if self.free < self._min_free + promised + _AMPLE or time.monotonic() > self._looked + 1:
            await self._look()
        lack = max(sum(self.kept().values()) + promised - self._max_bytes, self._min_free + promised - self.free)
        return max(lack, 1) if self._disk and not self._disk.has_inodes else lack

    def _can_go(self, *, counted: bool = False) -> float:
        """Return the bytes that could go; before all was counted, nobody knows."""
        if self._stuck and not counted:
            return 0
        parts = [part for part in self._parts.values() if part.may_go]
        if not all(part.blobs.folder.tally.is_known for part in parts):
            return math.inf
        return sum(part.eviction.kept_bytes for part in parts)

    def _refusal(self, possible: float) -> StorageFault:
        """Return why a claim is not granted where so many bytes could be."""
        if possible > _CRUMBS and not self.is_full:
            return NoRoom("The file is larger than all that can be kept: see the disk and storage.max_size.")
        if not self._stuck:
            self._refused_until = max(self._refused_until, time.monotonic() + LOOK_SECONDS)
        self._say_full()
        return DiskFull("There is no room to keep the file: the disk is full, or storage.max_size is used up.")

    def _say_full(self) -> None:
        """Say once that it is full."""
        if not self._said_full:
            self._said_full = True
            log.warning(
                "the disk is full, or what must stay uses up storage.max_size: files are passed on and not kept",
                free=self.free,
                **self.kept(),
            )

    def _tell(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _news(self) -> None:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._progress.wait()
        except TimeoutError:
            return
