"""A file that is arriving: written to the store, read while it grows, kept under its digest.

The disk is the buffer between upstream and the clients: neither a slow client nor one that leaves holds up the rest.
The last piece is shown to nobody before the digest is right, so wrong bytes never look like a whole file.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.arrival import Arrival
from buildthrough.proxy.errors import ProxyError, StorageFault, UpstreamUnavailable
from buildthrough.proxy.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from buildthrough.proxy.blobs import Blob, BlobWriter
    from buildthrough.proxy.places import Places
    from buildthrough.proxy.resource import Digest, Resource
    from buildthrough.proxy.upstream import Upstream

WITHHELD: Final = 64 << 10
"""Bytes at the end of a file that wait for the digest."""

TELL_SECONDS: Final = 0.01
"""Readers are told of new bytes at most so often."""

_STOPPED: Final = "The server stopped while the file was arriving."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What all downloads share, and who reads them."""

    upstream: Upstream
    max_bytes: int
    """No file is larger."""
    aside: Places
    """For ranges that are fetched beside the download of their file."""
    passing: Places
    """For clients that get a file past a store that cannot take it."""
    observe: Callable[[str], None] = lambda _reason: None
    """See `Downloads`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What there was of a file when the store took no more."""

    size: int
    digests: Mapping[str, Digest]
    """Of all that was written: a copy, to be continued."""
    unshown: bytes
    """The last of it, which no client has seen."""


class Download:
    """A file that is arriving. `Downloads.obtain` makes them, `Reading` reads them."""

    def __init__(self, resource: Resource, writer: BlobWriter, ways: Ways) -> None:
        self.resource = resource
        self.ways = ways
        self.size: int | None = resource.size
        """Bytes of the whole file, once they are known."""
        self.kept: Blob | None = None
        """Set when the file is in the store."""
        self.unkept = False
        """Set when the store cannot take the file: what is not written yet is had from upstream only."""
        self.grants_ranges = True
        """Cleared when upstream was seen to answer a range with anything else."""
        self.etag: str | None = None
        """What upstream calls it."""
        self.pace = Pace()
        self._writer = writer
        self._fault: ProxyError | None = None
        self._begun = False
        self._verified = False
        self._released = False
        self._readers = 0
        self._descriptor: int | None = None
        self._changed = asyncio.Event()
        self._telling = 0.0
        """When readers were, or will be, told of what came: the loop's time."""

    @property
    def shown(self) -> int:
        """Up to where it can be read now, by who is inside `reading`."""
        written = self._writer.size
        if self.unkept and self._released:
            return 0
        if self._verified:
            return written
        if self.size is None:
            return max(0, written - WITHHELD)
        return min(written, max(0, self.size - WITHHELD))

    @property
    def whole(self) -> bool:
        """Whether all that there is is shown."""
        return self._verified and not (self.unkept and self._released)

    async def begun(self) -> None:
        """Wait until upstream began to send, or it is clear that the file cannot be kept. Raise what went wrong."""
        await self._until(lambda: self._begun or self._verified or self.unkept)

    async def finished(self) -> Blob:
        """Wait until the file is kept. Raise what went wrong."""
        await self._until(lambda: self.kept is not None)
        if self.kept is None:
            raise AssertionError("waited for it")
        return self.kept

    def check(self) -> None:
        """Raise what went wrong, but for a store that cannot take it: what failed is of no use, however much came."""
        if self._fault is not None and not self.unkept:
            raise self._fault

    async def news(self, seconds: float) -> None:
        """Wait until something changed, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the bytes readable inside: to be entered before anything else is awaited where `kept` was None."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers and self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            self._tell()

    async def read(self, offset: int, length: int) -> bytes:
        """Return bytes that are shown, inside `reading`."""
        return await self._writer.read(offset, length)

    def descriptor(self) -> int | None:
        """Return a descriptor of the file that grows, to be used inside `reading`; None where there is none.

        It is the readers' own, all of them share it: `discard` takes it from nobody who is sending.
        """
        if self._descriptor is None:
            number = self._writer.fileno()
            self._descriptor = None if number is None else os.dup(number)
        return self._descriptor

    async def handed_over(self) -> Written:
        """Return what there is of a file that is not kept. To be called inside `reading`."""
        written, shown = self._writer.size, self.shown
        if self._released or not written:
            return Written(size=0, digests=self.resource.digests(), unshown=b"")
        unshown = await self._writer.read(shown, written - shown)
        return Written(size=written, digests=self._writer.digests(), unshown=unshown)

    async def fetch(self) -> Blob:
        """Get the file, resuming where it breaks off, and keep it; or keep nothing and raise."""
        try:
            await self._write()
            self.resource.verify(self._writer.hexdigest)
            self._verified = True
            self._tell()
            self.kept = await self._writer.commit()
        except ProxyError as fault:
            self.unkept = isinstance(fault, StorageFault)
            self._fault = fault
            raise
        except BaseException:
            self._fault = UpstreamUnavailable(_STOPPED)
            raise
        finally:
            self._tell()
        return self.kept

    def give_up(self, fault: StorageFault) -> None:
        """Do not even try to keep it."""
        self.unkept = self._released = True
        self._fault = fault

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
        if self.kept is None and (self._fault is None or self.unkept):
            self._fault = UpstreamUnavailable(_STOPPED)
            self.unkept = False
            self._tell()
        self._released = True
        await self._writer.close()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if self._fault is not None:
                raise self._fault
            await self._changed.wait()
        self.check()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell_soon(self) -> None:
        """Tell, but not for each piece: a hundred readers are woken each time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._telling > now:
            return
        self._telling = max(now, self._telling + TELL_SECONDS)
        if self._telling > now:
            loop.call_at(self._telling, self._tell)
        else:
            self._tell()

    async def _write(self) -> None:
        def begin() -> None:
            self.size, self.etag = arrival.size, arrival.etag
            if self.size is not None:
                self._writer.expect(self.size)
            if not self._begun:
                self._begun, self.pace = True, Pace()
            self._tell()

        arrival = Arrival(self.ways.upstream, self.resource, max_bytes=self.ways.max_bytes, on_begin=begin)
        async with aclosing(arrival.pieces()) as pieces:
            async for piece in pieces:
                await self._writer.write(piece)
                self.pace.note(self._writer.size)
                self._tell_soon()
