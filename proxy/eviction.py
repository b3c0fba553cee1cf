"""The files of a store in the order of their last use: which are to go first, and how they go."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.blob_folder import SHELVES, KeptFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildthrough.proxy.blob_folder import BlobFolder
    from buildthrough.proxy.blobs import LocalBlobs

REMEMBERED: Final = 10_000
"""The oldest files of a walk that are remembered."""
STEP_SECONDS: Final = 0.01
"""How long a walk goes on before it pauses for as long."""
AT_ONCE: Final = 64
"""Files that are removed in one step."""

_Oldest = list[tuple[float, int, str]]
"""A heap by the negated time of use: the youngest is on top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """What was removed."""

    count: int
    bytes: int


class Eviction:
    """The order in which a store's files go.

    A walk goes through all of them in small steps, counts them, and remembers the oldest. From then on the oldest are
    known until the remembered ones are used up: what was used since is passed over, what came since is younger.
    """

    def __init__(self, blobs: LocalBlobs) -> None:
        self._blobs = blobs
        self._oldest: deque[KeptFile] = deque()

    @property
    def kept_bytes(self) -> int:
        """Bytes that are kept."""
        return self._blobs.folder.tally.bytes

    @property
    def is_used_up(self) -> bool:
        """Whether no file is remembered that could go: it takes a walk to find more."""
        return not self._oldest

    async def walk(self) -> None:
        """Go through all files. Raise `StorageFault`."""
        folder = self._blobs.folder
        oldest: _Oldest = []
        folder.tally.begin()
        todo = deque(SHELVES)
        while todo:
            begin = time.monotonic()
            await asyncio.to_thread(_step, folder, todo, oldest)
            await asyncio.sleep(time.monotonic() - begin)  # leave the machine to others half of the time
        folder.tally.end()
        self._oldest = deque(_file(*entry) for entry in sorted(oldest, reverse=True))

    async def evict(self, lack: int) -> Evicted:
        """Remove the oldest files, until so many bytes are free or a step is full. Raise `StorageFault`.

        Who is being sent one gets it to its end; who reads one through `Blob.reading` keeps it.
        """
        readers = self._blobs.readers
        chosen: list[KeptFile] = []
        while self._oldest and lack > 0 and len(chosen) < AT_ONCE:
            file = self._oldest.popleft()
            if not readers.is_used(file.sha256):
                chosen.append(file)
                lack -= file.size
        going = {file.sha256 for file in chosen}
        readers.going |= going
        try:
            return await asyncio.shield(asyncio.to_thread(_remove, self._blobs.folder, chosen))
        finally:
            readers.going -= going


def _step(folder: BlobFolder, todo: deque[str], oldest: _Oldest) -> None:
    """Go on with the walk for a moment."""
    end = time.monotonic() + STEP_SECONDS
    while todo and time.monotonic() < end:
        for file in folder.count(todo.popleft()):
            entry = (-file.used, file.size, file.sha256)
            if len(oldest) < REMEMBERED:
                heapq.heappush(oldest, entry)
            else:
                heapq.heappushpop(oldest, entry)


def _file(negated: float, size: int, sha256: str) -> KeptFile:
    return KeptFile(-negated, size, sha256)


def _remove(folder: BlobFolder, files: Sequence[KeptFile]) -> Evicted:
    sizes = [folder.remove(file.sha256, file.used) for file in files]  # none of what was used since we looked
    gone = [size for size in sizes if size is not None]
    return Evicted(count=len(gone), bytes=sum(gone))
