"""Keep the cached upstream files within a bound: the least recently used go first."""

from __future__ import annotations

import asyncio
import heapq
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.blob_folder import TOUCH_SECONDS

if TYPE_CHECKING:
    from buildthrough.proxy.blob_folder import BlobFolder
    from buildthrough.proxy.blobs import LocalBlobs

IN_USE_SECONDS: Final = 2 * TOUCH_SECONDS
"""A file used in that time stays: it may have been found a moment ago and not be opened yet."""
RECOUNT_SECONDS: Final = 3600.0
"""How long a count is believed: somebody else may have removed files."""
AT_ONCE: Final = 10_000
"""Files that are remembered while all are gone through, and removed at most in one round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """What was removed."""

    count: int
    bytes: int


class Eviction:
    """The bound on a store. While the count says that it holds, a round costs nothing; else it is one thread's walk."""

    def __init__(self, blobs: LocalBlobs, max_bytes: int) -> None:
        self._blobs = blobs
        self._max_bytes = max_bytes
        self._counted = 0
        """What would be kept if nothing had changed since the store was opened."""
        self._count_again = 0.0

    async def round(self) -> Evicted:
        """Remove files until no more than ``max_bytes`` are kept. Who is being sent one gets it to its end.

        Raise `StorageFault`. Files in use, or very many files at once, keep the store above the bound until the next
        round.
        """
        kept = self._counted + self._blobs.changed_bytes
        if kept <= self._max_bytes and time.monotonic() < self._count_again:
            return Evicted(count=0, bytes=0)
        changed = self._blobs.changed_bytes
        kept, evicted = await asyncio.to_thread(_walk, self._blobs.folder, self._max_bytes)
        # What came meanwhile may be counted twice, which costs a walk; never too little, but for deletions meanwhile.
        self._counted = kept - changed
        self._count_again = time.monotonic() + RECOUNT_SECONDS
        return evicted


def _walk(folder: BlobFolder, max_bytes: int) -> tuple[int, Evicted]:
    """Go through all files, and remove the oldest that are too many; return the bytes that stay."""
    kept = 0
    oldest: list[tuple[float, int, str]] = []  # by negated time of use: the youngest of them is at the top
    limit = time.time() - IN_USE_SECONDS
    for name in folder.shelves():
        for file in folder.shelf(name):
            kept += file.size
            if file.used > limit:
                continue
            entry = (-file.used, file.size, file.sha256)
            if len(oldest) < AT_ONCE:
                heapq.heappush(oldest, entry)
            else:
                heapq.heappushpop(oldest, entry)
    count = freed = 0
    for _, _, sha256 in sorted(oldest, reverse=True):
        if kept - freed <= max_bytes:
            break
        size = folder.remove(sha256, limit)  # some may have been used since we looked
        count += size is not None
        freed += size or 0
    return kept - freed, Evicted(count=count, bytes=freed)
