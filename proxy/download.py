"""A file that is arriving: written to the store, read while it grows, kept under its digest.

The disk is the buffer between upstream and the clients: neither a slow client nor one that leaves holds up the rest.
The last piece is shown to nobody before the digest is right, so wrong bytes never look like a whole file.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.errors import ProxyError, UpstreamInvalid, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from buildthrough.proxy.blobs import Blob, BlobWriter
    from buildthrough.proxy.resource import Resource
    from buildthrough.proxy.upstream import Upstream

WITHHELD: Final = 64 << 10
"""Bytes at the end of a file that wait for the digest."""
PIECE: Final = 256 << 10
RESUMES: Final = 5
RESUME_PAUSE: Final = 0.5
"""Seconds before the first resumption; doubled each time."""

_STOPPED: Final = "The server stopped while the file was arriving."


class Download:
    """A file that is arriving. `Downloads.obtain` makes them."""

    def __init__(self, resource: Resource, writer: BlobWriter) -> None:
        self.resource = resource
        self.size: int | None = resource.size
        """Bytes of the whole file, once they are known."""
        self.kept: Blob | None = None
        """Set when the file is in the store."""
        self._writer = writer
        self._fault: ProxyError | None = None
        self._begun = False
        self._verified = False
        self._released = False
        self._readers = 0
        self._changed = asyncio.Event()

    async def begun(self) -> None:
        """Wait until upstream began to send. Raise what went wrong before."""
        await self._until(lambda: self._begun or self._verified)

    async def readable(self, offset: int) -> int:
        """Wait for bytes beyond the offset, or the end; return up to where can be read. Raise what went wrong."""
        await self._until(lambda: self._shown > offset or self._verified)
        return self._shown

    async def finished(self) -> Blob:
        """Wait until the file is kept. Raise what went wrong."""
        await self._until(lambda: self.kept is not None)
        if self.kept is None:
            raise AssertionError("waited for it")
        return self.kept

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the bytes readable inside: to be entered before anything else is awaited where `kept` was None."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._changed.set()
            self._changed = asyncio.Event()

    async def chunks(self, begin: int, end: int | None) -> AsyncIterator[bytes]:
        """Go through the bytes as they come, inside `reading`. Raise what went wrong: then the file is not whole."""
        position = begin
        while end is None or position < end:
            shown = await self.readable(position)
            if shown <= position:
                return
            stop = shown if end is None else min(shown, end)
            data = await self._writer.read(position, min(PIECE, stop - position))
            position += len(data)
            yield data

    async def fetch(self, upstream: Upstream, max_bytes: int) -> Blob:
        """Get the file, resuming where it breaks off, and keep it; or keep nothing and raise."""
        try:
            await self._arrive(upstream, max_bytes)
            self.resource.verify(self._writer.hexdigest)
            self._verified = True
            self._tell()
            self.kept = await self._writer.commit()
        except ProxyError as fault:
            self._fault = fault
            raise
        except BaseException:
            self._fault = UpstreamUnavailable(_STOPPED)
            raise
        finally:
            self._tell()
        return self.kept

    async def release(self) -> None:
        """Wait for the last reader, then drop what was not kept and the file handle."""
        try:
            while self._readers:
                await self._changed.wait()
        finally:
            self._released = True
            await self._writer.close()

    async def discard(self) -> None:
        """Drop it at once, whoever waits or reads."""
        if self.kept is None and self._fault is None:
            self._fault = UpstreamUnavailable(_STOPPED)
            self._tell()
        self._released = True
        await self._writer.close()

    @property
    def _shown(self) -> int:
        written = self._writer.size
        if self._verified:
            return written
        if self.size is None:
            return max(0, written - WITHHELD)
        return min(written, max(0, self.size - WITHHELD))

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while True:
            # What failed is of no use to anybody, however much of it arrived; only verified bytes, which could just
            # not be kept, are read to their end by those who began before they were released.
            if self._fault is not None and (self._released or not self._verified):
                raise self._fault
            if is_so():
                return
            if self._fault is not None:
                raise self._fault
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _arrive(self, upstream: Upstream, max_bytes: int) -> None:
        for attempt in range(RESUMES + 1):
            try:
                await self._receive(upstream, max_bytes)
            except UpstreamUnavailable:
                # Pieces of two answers are joined only where a digest tells whether they belong together.
                is_resumable = self._begun and (self._writer.size == 0 or self.resource.verifiable)
                if attempt == RESUMES or not is_resumable:
                    raise
            else:
                return
            await asyncio.sleep(RESUME_PAUSE * 2**attempt)

    async def _receive(self, upstream: Upstream, max_bytes: int) -> None:
        async with upstream.file(self.resource.url, self._writer.size, upstream=self.resource.upstream) as answer:
            self._expect(answer.size, max_bytes)
            skip = self._writer.size - answer.offset
            self._begun = True
            self._tell()
            async for chunk in answer.chunks:
                piece = chunk[skip:] if skip else chunk
                skip -= len(chunk) - len(piece)
                if piece:
                    await self._take(piece, max_bytes)
        if self.size is not None and self._writer.size < self.size:
            raise UpstreamUnavailable("Upstream broke off before the file was whole.")

    def _expect(self, size: int | None, max_bytes: int) -> None:
        if size is not None and self.size is not None and size != self.size:
            raise UpstreamInvalid(f"Upstream sends a file of {size} bytes where {self.size} are to be.")
        self.size = self.size if size is None else size
        if self.size is not None and self.size > max_bytes:
            raise UpstreamInvalid(f"Upstream's file is larger than {max_bytes} bytes.")

    async def _take(self, piece: bytes, max_bytes: int) -> None:
        limit = max_bytes if self.size is None else self.size
        if self._writer.size + len(piece) > limit:
            raise UpstreamInvalid(f"Upstream sends more than the {limit} bytes that the file may have.")
        await self._writer.write(piece)
        self._tell()
