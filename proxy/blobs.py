"""The `BlobStore` port: bytes by their sha256; and the store that keeps them in a local folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from buildthrough.proxy.blob_folder import BlobFolder, storage_faults
from buildthrough.proxy.errors import DiskFull
from buildthrough.proxy.readers import Readers
from buildthrough.proxy.room import Unbounded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from buildthrough.proxy.resource import Digest
    from buildthrough.proxy.room import Claim, Room

T = TypeVar("T")


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


class LocalBlobWriter:
    """A temporary file on the store's file system. Each call is one thread hop: hand over large pieces."""

    def __init__(self, blobs: LocalBlobs, algorithms: tuple[str, ...], claim: Claim) -> None:
        self.size = 0
        self._blobs = blobs
        self._folder = blobs.folder
        self._claim = claim
        self._digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", *algorithms)}
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._lock = asyncio.Lock()

    def expect(self, size: int) -> None:
        """Say how many bytes it will be."""
        self._claim.expect(size)

    async def write(self, data: bytes) -> None:
        """Append, and digest on the way."""
        async with self._lock:
            if not self._claim.covers(self.size + len(data)):
                await self._claim.extend(self.size + len(data))
            try:
                await _unbroken(asyncio.to_thread(self._append, data))
            except DiskFull:
                self._claim.refused()
                raise
            self.size += len(data)
            self._claim.written = self.size

    async def read(self, offset: int, length: int) -> bytes:
        """Return what was written there, fewer bytes at the end."""
        if not self.size:
            return b""
        return await asyncio.to_thread(self._pread, offset, min(length, self.size - offset))

    def hexdigest(self, algorithm: str = "sha256") -> str:
        """Return the digest of what was written so far."""
        return self._digests[algorithm].hexdigest()

    def digests(self) -> dict[str, Digest]:
        """Return copies of the digests of what was written so far."""
        return {name: digest.copy() for name, digest in self._digests.items()}

    def fileno(self) -> int | None:
        """Return the temporary file's descriptor."""
        return self._descriptor

    async def commit(self) -> Blob:
        """Fsync the file, rename it to its place, fsync the folder."""
        async with self._lock:
            try:
                blob = await _unbroken(asyncio.to_thread(self._publish))
            except DiskFull:
                self._claim.refused()
                raise
            self._claim.end()
            self._blobs.written(blob)
            return blob

    async def close(self) -> None:
        """Drop what was not committed, and the file handle."""
        async with self._lock:
            try:
                await _unbroken(asyncio.to_thread(self._drop))
            finally:
                self._claim.end()

    def _open(self) -> int:
        if self._descriptor is None:
            with storage_faults():
                descriptor, name = tempfile.mkstemp(dir=self._folder.incoming)
            self._descriptor, self._path = descriptor, Path(name)
        return self._descriptor

    def _append(self, data: bytes) -> None:
        descriptor = self._open()
        rest = memoryview(data)
        with storage_faults():
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        for digest in self._digests.values():
            digest.update(data)

    def _pread(self, offset: int, length: int) -> bytes:
        if self._descriptor is None:
            raise ValueError("these bytes are dropped")
        with storage_faults():
            return os.pread(self._descriptor, max(length, 0), offset)

    def _publish(self) -> Blob:
        descriptor, temporary = self._open(), self._path
        if temporary is None:
            raise ValueError("these bytes are committed or dropped")
        sha256 = self.hexdigest()
        self._folder.take_in(descriptor, temporary, sha256)
        self._path = None
        return self._blobs.blob(sha256, self.size)

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        temporary, self._path = self._path, None
        with storage_faults():
            if descriptor is not None:
                os.close(descriptor)
            if temporary is not None:
                temporary.unlink(missing_ok=True)


async def _unbroken(work: Awaitable[T]) -> T:
    """Wait for a thread to its end, also when cancelled: it must not touch a descriptor that is closed meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
