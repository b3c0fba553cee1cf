"""A blob store without digests at rest: for tests of what stands on the port."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from buildthrough.proxy.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from buildthrough.proxy.resource import Digest


class FakeBlobs:
    """Files in one flat folder; writers hold their bytes in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[str, Blob] = {}
        self.fault: Exception | None = None
        """Raised by every call while it is set."""

    async def open(self, sha256: str, size: int | None = None) -> Blob | None:
        self.check()
        blob = self.kept.get(sha256)
        return None if blob is None or size not in {None, blob.size} else blob

    def writer(self, *algorithms: str) -> FakeBlobWriter:
        return FakeBlobWriter(self, algorithms)

    async def delete(self, sha256: str) -> bool:
        self.check()
        blob = self.kept.pop(sha256, None)
        if blob is not None:
            blob.path.unlink()
        return blob is not None

    async def __aiter__(self) -> AsyncIterator[Blob]:
        self.check()
        for blob in tuple(self.kept.values()):
            yield blob

    def check(self) -> None:
        if self.fault is not None:
            raise self.fault


class FakeBlobWriter:
    def __init__(self, blobs: FakeBlobs, algorithms: tuple[str, ...]) -> None:
        self.size = 0
        self._blobs = blobs
        self._bytes = bytearray()
        self._algorithms = {"sha256", *algorithms}
        for algorithm in algorithms:
            hashlib.new(algorithm)

    def expect(self, size: int) -> None:
        """Memory has room for what tests write."""

    async def write(self, data: bytes) -> None:
        self._blobs.check()
        self._bytes += data
        self.size = len(self._bytes)

    async def read(self, offset: int, length: int) -> bytes:
        return bytes(self._bytes[offset : offset + length])

    def hexdigest(self, algorithm: str = "sha256") -> str:
        if algorithm not in self._algorithms:
            raise KeyError(algorithm)
        return hashlib.new(algorithm, self._bytes).hexdigest()

    def digests(self) -> dict[str, Digest]:
        return {name: hashlib.new(name, self._bytes) for name in self._algorithms}

    def fileno(self) -> int | None:
        return None

    async def commit(self) -> Blob:
        self._blobs.check()
        path = self._blobs.folder / self.hexdigest()
        path.write_bytes(self._bytes)
        blob = Blob(sha256=path.name, size=self.size, path=path)
        self._blobs.kept[blob.sha256] = blob
        return blob

    async def close(self) -> None:
        """Nothing is held."""
