"""Keep the cached upstream files within a bound: the least recently used go first."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.blobs import TOUCH_SECONDS, storage_faults

if TYPE_CHECKING:
    from buildthrough.proxy.blobs import Blob, BlobStore

IN_USE_SECONDS: Final = 2 * TOUCH_SECONDS
"""A file used in that time stays: it may have been found a moment ago and not be opened yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """What was removed."""

    count: int
    bytes: int


async def evict(blobs: BlobStore, max_bytes: int) -> Evicted:
    """Remove files until no more than ``max_bytes`` are kept. Who is being sent one gets it to its end.

    Raise `StorageFault`. Files in use may keep the store above the bound until the next time.
    """
    total = 0
    by_use: list[tuple[float, str, int]] = []
    async for blob in blobs:
        total += blob.size
        used = await asyncio.to_thread(_last_used, blob)
        if used is not None:
            by_use.append((used, blob.sha256, blob.size))
    by_use.sort()
    limit = time.time() - IN_USE_SECONDS
    count = freed = 0
    for used, sha256, size in by_use:
        if total - freed <= max_bytes or used > limit:
            break
        if await blobs.delete(sha256):
            count += 1
        freed += size
    return Evicted(count=count, bytes=freed)


def _last_used(blob: Blob) -> float | None:
    with storage_faults():
        try:
            return blob.path.stat().st_mtime
        except FileNotFoundError:
            return None
