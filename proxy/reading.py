"""One client's way through a file that is not kept yet, at its own pace.

It reads the file as it grows; it gets from upstream, beside that, what would be long in coming, and past a store that
cannot take the file all the rest. What may be sent before the digest of the whole is right is in ``docs/decisions``.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.download import WITHHELD
from buildthrough.proxy.errors import Busy, UpstreamFault
from buildthrough.proxy.passage import Passage
from buildthrough.proxy.ranges import Part

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from buildthrough.proxy.download import Download

PATIENCE: Final = 2.0
"""Seconds that a client waits for bytes that are on their way, before they are fetched for it."""
LOOK: Final = 4 << 20
"""A range of at most so many bytes is a look into the file, as installers take to read a wheel's metadata."""
QUEUE_SECONDS: Final = 10.0
"""How long a client waits for its turn to get a file past the store; pip and uv wait 15 and 30."""
_TICK: Final = 0.25
_FAILURES: Final = 2
_CROWDED: Final = (
    "The data folder cannot take this file, and too many clients are being sent files past it already. Ask again."
)


class Reading:
    """The bytes from ``begin`` to ``end`` for one client; None is the end of a file whose size is not known yet."""

    def __init__(self, download: Download, begin: int = 0, end: int | None = None) -> None:
        self.position = begin
        """Up to where the client has it, or is getting it."""
        self.unverified = False
        """Whether bytes were given that no digest vouches for, or will."""
        self._download = download
        self._end = end
        self._is_look = end is not None and end - begin <= LOOK
        self._failures = 0

    async def pieces(self) -> AsyncGenerator[Part | bytes, None]:
        """Go through the bytes: a part lies in the download's file until the next is asked for, other bytes are here.

        Raise what went wrong: then they are not all.
        """
        with ExitStack() as hold:
            hold.enter_context(self._download.reading())
            async with aclosing(self._shared()) as shared:
                async for piece in shared:
                    yield piece
            if self._is_done:
                return
            async with aclosing(self._passed(hold)) as passed:
                async for data in passed:
                    yield data

    @property
    def _is_done(self) -> bool:
        if self._end is not None:
            return self.position >= self._end
        return self._download.whole and self.position >= self._download.shown

    async def _shared(self) -> AsyncGenerator[Part | bytes, None]:
        """Give what comes with the download, and beside it, until the end or until it turns out not to be kept."""
        download, since = self._download, time.monotonic()
        while not self._is_done:
            download.check()
            begin, shown = self.position, download.shown
            if shown > begin:
                self.position = shown if self._end is None else min(shown, self._end)
                yield Part(begin=begin, end=self.position)
            elif download.unkept:
                return
            else:
                limit = self._side_limit(since)
                if limit is None:
                    await download.news(_TICK)
                    continue
                async with aclosing(self._beside(limit)) as side:
                    async for data in side:
                        yield data
            since = time.monotonic()

    def _side_limit(self, since: float) -> int | None:
        """Return up to where to fetch beside the download; None where it is better to wait.

        Who follows the download, the whole file or a range, always waits: another request would not be faster.
        """
        download = self._download
        if download.size is None or self._end is None or self.position - download.shown <= WITHHELD:
            return None
        if not download.grants_ranges or self._failures >= _FAILURES:
            return None
        verified_from = max(0, download.size - WITHHELD)
        limit = self._end if self._is_look else min(self._end, verified_from)
        needed = self.position + 1 if self.position < verified_from else download.size
        seconds = time.monotonic() - since + download.pace.seconds_to(needed)
        is_long = limit > self.position and seconds > PATIENCE
        return limit if is_long and download.ways.aside.free(download.resource.key) else None

    async def _beside(self, limit: int) -> AsyncGenerator[bytes, None]:
        """Fetch a range. Where upstream grants none, or breaks off, the rest is waited for."""
        download, begin = self._download, self.position
        ways, resource = download.ways, download.resource
        try:
            with ways.aside.taken(resource.key):
                async with ways.upstream.file(resource.url, begin, limit, upstream=resource.upstream) as answer:
                    is_same = None in {answer.etag, download.etag} or answer.etag == download.etag
                    if answer.offset != begin or answer.size not in {None, download.size} or not is_same:
                        download.grants_ranges = False
                        return
                    ways.observe("aside")
                    async for chunk in answer.chunks:
                        download.check()  # what turned out wrong as a whole is not right in part
                        data = chunk[: limit - self.position]
                        self.position += len(data)
                        self.unverified = True
                        yield data
                        if self.position == limit:
                            return
        except UpstreamFault:
            download.check()
            self._failures += 1
        else:
            self._failures += 1  # shorter than it was to be

    async def _passed(self, hold: ExitStack) -> AsyncGenerator[bytes, None]:
        """Give the rest from upstream alone."""
        download = self._download
        ways, key = download.ways, download.resource.key
        try:
            await ways.passing.wait(key, QUEUE_SECONDS)
        except TimeoutError:
            raise Busy(_CROWDED) from None
        with ways.passing.taken(key):
            ways.observe("passed")
            written = await download.handed_over()
            hold.close()  # the room on the disk is free again when the last client has come here
            passage = Passage(download, written, self.position, self._end)
            self.unverified = self.unverified or not passage.sees_all
            async with aclosing(passage.chunks()) as chunks:
                async for data in chunks:
                    self.position += len(data)
                    yield data
