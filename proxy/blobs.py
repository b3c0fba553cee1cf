"""The `BlobStore` port: bytes by their sha256; and the store that keeps them in a local folder."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from buildthrough.proxy.blob_folder import BlobFolder
from buildthrough.proxy.blob_writer import LocalBlobWriter
from buildthrough.proxy.readers import Readers
from buildthrough.proxy.room import Unbounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from buildthrough.proxy.resource import Digest
    from buildthrough.proxy.room import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Stored bytes."""

    sha256: str
    size: int
    path: Path
    """A local file that holds them, to be opened at once."""
    reading: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, compare=False, repr=False)
    """``with blob.reading():`` keeps the file where it is as long as that lasts, but for `BlobStore.delete`."""


class BlobStore(Protocol):
    """Bytes by their sha256. A failing store raises `StorageFault`; it is never a miss."""

    async def open(self, sha256: str, size: int | None = None) -> Blob | None:
        """Return the bytes' place, None where they are not kept, or where they are damaged: not of the size given."""
        ...

    def writer(self, *algorithms: str) -> BlobWriter:
        """Begin new bytes, digested by sha256 and the algorithms: nothing is visible before `BlobWriter.commit`."""
        ...

    async def delete(self, sha256: str) -> bool:
        """Remove the bytes; whether there were any."""
        ...

    def __aiter__(self) -> AsyncIterator[Blob]:
        """Go through all that is kept."""
        ...


class BlobWriter(Protocol):
    """Bytes on their way into the store, in a temporary file beside their place."""

    size: int
    """Bytes written so far; `read` can give any of them."""

    def expect(self, size: int) -> None:
        """Say how many bytes it will be in the end, so that the next `write` finds room for all of them."""
        ...

    async def write(self, data: bytes) -> None:
        """Append. Raise `StorageFault` where the disk takes no more, `DiskFull` where no room can be made."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Return what was written there, also after the commit, until `close`."""
        ...

    def hexdigest(self, algorithm: str = "sha256") -> str:
        """Return the digest of what was written so far; sha256 only, unless others were asked for at the start."""
        ...

    def digests(self) -> Mapping[str, Digest]:
        """Return copies of the digests of what was written so far, to be continued elsewhere."""
        ...

    def fileno(self) -> int | None:
        """Return a descriptor of what was written so far, to be duplicated before `close`; None where none is."""
        ...

    async def commit(self) -> Blob:
        """Make the bytes durable and visible under their digest, at once or not at all."""
        ...

    async def close(self) -> None:
        """Drop what was not committed, and the file handle. May be called twice."""
        ...


class Watch(Protocol):
    """Who wants to know what happens to blobs. It must not raise, and it must be quick."""

    def written(self, blob: Blob) -> None:
        """Note that a blob was committed: its bytes are what its digest says."""
        ...

    def opened(self, blob: Blob) -> None:
        """Note that a blob was opened."""
        ...


class LocalBlobs:
    """A folder of files. One process may have it open."""

    def __init__(self, folder: Path, room: Room | None = None, watch: Watch | None = None) -> None:
        """``room`` is asked for room to write. ``watch`` is told what is written and opened."""
        self.folder = BlobFolder(folder)
        self.readers = Readers()
        self._room = room or Unbounded()
        self._watch = watch

    @classmethod
    async def opened(cls, folder: Path, room: Room | None = None, watch: Watch | None = None) -> LocalBlobs:
        """Make the folder where needed, and clear what a dead process left half written. Raise `StorageFault`."""
        blobs = cls(folder, room, watch)
        await asyncio.to_thread(blobs.folder.clear)
        return blobs

    async def open(self, sha256: str, size: int | None = None) -> Blob | None:
        """Return the bytes' place, and note that they were used."""
        path = self.folder.place(sha256)
        if not self.readers.note(sha256):
            return None
        found = await asyncio.to_thread(self.folder.use, path)
        if found is None or size not in {None, found}:
            return None
        blob = self.blob(sha256, found)
        if self._watch is not None:
            self._watch.opened(blob)
        return blob

    def writer(self, *algorithms: str) -> LocalBlobWriter:
        """Begin new bytes. Raise ValueError for an algorithm that hashlib does not have."""
        return LocalBlobWriter(self, algorithms, self._room.claim())

    async def delete(self, sha256: str) -> bool:
        """Remove the bytes. Whoever has the file open may read it to its end."""
        return await asyncio.to_thread(self.folder.remove, sha256) is not None

    async def __aiter__(self) -> AsyncIterator[Blob]:
        """Go through all that is kept, one folder of the first level at a time."""
        for name in await asyncio.to_thread(self.folder.shelves):
            for file in await asyncio.to_thread(self.folder.shelf, name):
                yield self.blob(file.sha256, file.size)

    def written(self, blob: Blob) -> None:
        """Note that bytes were committed."""
        self.readers.note(blob.sha256)
        if self._watch is not None:
            self._watch.written(blob)

    def blob(self, sha256: str, size: int) -> Blob:
        """Return the blob of bytes that are kept."""
        path = self.folder.place(sha256)
        return Blob(sha256=sha256, size=size, path=path, reading=lambda: self.readers.reading(sha256))
