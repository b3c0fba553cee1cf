"""The `BlobStore` port: bytes by their sha256; and the local folder that keeps them.

<folder>/v1/ab/cd/abcd...   a file by its digest; its mtime is when it was last used
<folder>/v1/incoming/       files being written, cleared at the start
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from buildthrough.proxy.errors import StorageFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

T = TypeVar("T")

TOUCH_SECONDS: Final = 60.0
"""A file's time of use is at most this much behind."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REASONS: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "its permissions forbid it",
    errno.EIO: "the disk reports an error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Stored bytes."""

    sha256: str
    size: int
    path: Path
    """A local file that holds them, to be opened at once."""


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

    async def write(self, data: bytes) -> None:
        """Append. Raise `StorageFault` where the disk takes no more."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Return what was written there, also after the commit, until `close`."""
        ...

    def hexdigest(self, algorithm: str = "sha256") -> str:
        """Return the digest of what was written so far; sha256 only, unless others were asked for at the start."""
        ...

    async def commit(self) -> Blob:
        """Make the bytes durable and visible under their digest, at once or not at all."""
        ...

    async def close(self) -> None:
        """Drop what was not committed, and the file handle. May be called twice."""
        ...


class LocalBlobs:
    """A folder of files. One process may have it open."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "v1"
        self._incoming = self._root / "incoming"

    @classmethod
    async def opened(cls, folder: Path) -> LocalBlobs:
        """Make the folder where needed, and clear what a dead process left half written. Raise `StorageFault`."""
        blobs = cls(folder)
        await asyncio.to_thread(blobs._clear)
        return blobs

    async def open(self, sha256: str, size: int | None = None) -> Blob | None:
        """Return the bytes' place, and note that they were used."""
        blob = await asyncio.to_thread(self._look, self._path(sha256))
        return None if blob is not None and size not in {None, blob.size} else blob

    def writer(self, *algorithms: str) -> LocalBlobWriter:
        """Begin new bytes. Raise ValueError for an algorithm that hashlib does not have."""
        return LocalBlobWriter(root=self._root, incoming=self._incoming, algorithms=algorithms)

    async def delete(self, sha256: str) -> bool:
        """Remove the bytes. Whoever has the file open may read it to its end."""
        return await asyncio.to_thread(self._remove, self._path(sha256))

    async def __aiter__(self) -> AsyncIterator[Blob]:
        """Go through all that is kept, one folder of the first level at a time."""
        for folder in await asyncio.to_thread(self._shelves):
            for blob in await asyncio.to_thread(self._shelf, folder):
                yield blob

    def _path(self, sha256: str) -> Path:
        if _SHA256.fullmatch(sha256) is None:
            raise ValueError("a sha256 has 64 lower-case hexadecimal digits")
        return place(self._root, sha256)

    def _clear(self) -> None:
        with storage_faults():
            self._incoming.mkdir(parents=True, exist_ok=True)
            for path in self._incoming.iterdir():
                path.unlink()

    @staticmethod
    def _look(path: Path) -> Blob | None:
        with storage_faults():
            try:
                status = path.stat()
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(status.st_mode):
                return None
        now = time.time()
        if not now - TOUCH_SECONDS <= status.st_mtime <= now:
            with suppress(OSError):  # a read-only folder still serves; only its order of use stands still
                os.utime(path, (now, now))
        return Blob(sha256=path.name, size=status.st_size, path=path)

    @staticmethod
    def _remove(path: Path) -> bool:
        with storage_faults():
            try:
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def _shelves(self) -> list[Path]:
        with storage_faults():
            return sorted(path for path in self._root.iterdir() if len(path.name) == 2)  # noqa: PLR2004 - ab

    @staticmethod
    def _shelf(folder: Path) -> list[Blob]:
        blobs = []
        with storage_faults():
            for path in sorted(folder.glob("*/*")):
                with suppress(FileNotFoundError):  # removed while we look
                    status = path.stat()
                    if _SHA256.fullmatch(path.name) and stat.S_ISREG(status.st_mode):
                        blobs.append(Blob(sha256=path.name, size=status.st_size, path=path))
        return blobs


class LocalBlobWriter:
    """A temporary file on the store's file system. Each call is one thread hop: hand over large pieces."""

    def __init__(self, *, root: Path, incoming: Path, algorithms: tuple[str, ...]) -> None:
        self.size = 0
        self._root = root
        self._incoming = incoming
        self._digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", *algorithms)}
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._lock = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        """Append, and digest on the way."""
        async with self._lock:
            await _unbroken(asyncio.to_thread(self._append, data))
            self.size += len(data)

    async def read(self, offset: int, length: int) -> bytes:
        """Return what was written there, fewer bytes at the end."""
        if not self.size:
            return b""
        return await asyncio.to_thread(self._pread, offset, min(length, self.size - offset))

    def hexdigest(self, algorithm: str = "sha256") -> str:
        """Return the digest of what was written so far."""
        return self._digests[algorithm].hexdigest()

    async def commit(self) -> Blob:
        """Fsync the file, rename it to its place, fsync the folder."""
        async with self._lock:
            return await _unbroken(asyncio.to_thread(self._publish))

    async def close(self) -> None:
        """Drop what was not committed, and the file handle."""
        async with self._lock:
            await _unbroken(asyncio.to_thread(self._drop))

    def _open(self) -> int:
        if self._descriptor is None:
            with storage_faults():
                descriptor, name = tempfile.mkstemp(dir=self._incoming)
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
        with storage_faults():
            return os.pread(self._open(), max(length, 0), offset)

    def _publish(self) -> Blob:
        descriptor, temporary = self._open(), self._path
        if temporary is None:
            raise ValueError("these bytes are committed or dropped")
        sha256 = self.hexdigest()
        path = place(self._root, sha256)
        with storage_faults():
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
            fresh = [folder for folder in (path.parent, path.parent.parent) if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(path)
            self._path = None
            for folder in (path.parent, *(folder.parent for folder in fresh)):
                _fsync_folder(folder)
        return Blob(sha256=sha256, size=self.size, path=path)

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        temporary, self._path = self._path, None
        with storage_faults():
            if descriptor is not None:
                os.close(descriptor)
            if temporary is not None:
                temporary.unlink(missing_ok=True)


def place(root: Path, sha256: str) -> Path:
    """Return where a digest's bytes are kept."""
    return root / sha256[:2] / sha256[2:4] / sha256


@contextmanager
def storage_faults() -> Iterator[None]:
    """Say in a sentence what the disk refused: OSError becomes `StorageFault`."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
        raise StorageFault(f"The data folder cannot be used: {reason}.") from error


async def _unbroken(work: Awaitable[T]) -> T:
    """Wait for a thread to its end, also when cancelled: it must not touch a descriptor that is closed meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
