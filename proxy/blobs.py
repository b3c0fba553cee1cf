"""The `BlobStore` port: bytes by their sha256; and the local folder that keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Stored bytes."""

    sha256: str
    size: int
    path: Path
    """A local file that holds them, to be opened at once."""


class BlobStore(Protocol):
    """Bytes by their sha256. A failing store raises `StorageFault`; it is never a miss."""

    async def open(self, sha256: str) -> Blob | None:
        """Return the bytes' place, None where they are not kept."""
        ...

    def writer(self) -> BlobWriter:
        """Begin new bytes: nothing is visible before `BlobWriter.commit`."""
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
