"""Bytes on their way into a local folder, in a temporary file beside their place."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from buildthrough.proxy.blob_folder import storage_faults
from buildthrough.proxy.errors import DiskFull

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from buildthrough.proxy.blobs import Blob, LocalBlobs
    from buildthrough.proxy.resource import Digest
    from buildthrough.proxy.room import Claim

T = TypeVar("T")


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
        self._folder.take_in(descriptor, temporary, sha256, self._claim.kept)
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
