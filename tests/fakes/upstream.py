"""An upstream in memory, with the faults that the real one has."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from buildthrough.proxy.errors import NotFound, ProxyError, UnknownProject, UpstreamUnavailable
from buildthrough.proxy.upstream import FileAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from buildthrough.proxy.page_answer import Arrival, PageAnswer


class FakeUpstream:
    """Pages by project (None is the list), files by URL."""

    def __init__(self) -> None:
        self.pages: dict[str | None, PageAnswer] = {}
        self.releases: dict[tuple[str, str | None], PageAnswer] = {}
        """What the JSON API answers."""
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str | None, str | None]] = []
        self.opened: list[tuple[str, int]] = []
        self.fault: ProxyError | None = None
        """Raised by every question while it is set."""
        self.breaks: list[int] = []
        """Each opening takes the first: after so many bytes it breaks off."""
        self.tells_size = True
        self.grants_ranges = True
        self.piece = 50_000
        self.gate = asyncio.Event()
        """Cleared, files stand still before their next piece."""
        self.gate.set()
        self.gates: dict[str, asyncio.Event] = {}
        """Further gates, of single files."""
        self.stops_at: int | None = None
        """From this byte on, files stand still until ``stopped`` is set."""
        self.stopped = asyncio.Event()
        self.ended = asyncio.Event()
        """Cleared, files stand still after their last byte."""
        self.ended.set()

    async def page(self, project: str | None, etag: str | None, arrival: Arrival | None = None) -> PageAnswer | None:
        self.asked.append((project, etag))
        self._check()
        answer = self.pages.get(project)
        if answer is None:
            raise UnknownProject("Upstream does not know this project.")
        if etag is not None and etag == answer.etag:
            return None
        if arrival is not None:
            arrival.begin(answer.content_type, answer.url, answer.last_serial)
            arrival.piece(answer.body)
        return answer

    async def json_api(self, project: str, version: str | None, etag: str | None) -> PageAnswer | None:
        self._check()
        answer = self.releases.get((project, version))
        if answer is None:
            raise NotFound("Upstream does not have this release.")
        return None if etag is not None and etag == answer.etag else answer

    @asynccontextmanager
    async def file(
        self, url: str, offset: int = 0, end: int | None = None, *, upstream: str = ""
    ) -> AsyncIterator[FileAnswer]:
        self.opened.append((url, offset))
        data = self._bytes(url)
        begin = offset if self.grants_ranges else 0
        upto = len(data) if end is None or not self.grants_ranges else end
        size = len(data) if self.tells_size else None
        breaks_at = begin + self.breaks.pop(0) if self.breaks else None
        yield FileAnswer(size=size, offset=begin, chunks=self._chunks(url, data[:upto], begin, breaks_at))

    async def size(self, url: str, *, upstream: str = "") -> int | None:
        data = self._bytes(url)
        return len(data) if self.tells_size else None

    async def _chunks(self, url: str, data: bytes, begin: int, end: int | None) -> AsyncIterator[bytes]:
        stop = len(data) if end is None else min(end, len(data))
        while begin < stop:
            await self.gates.get(url, self.gate).wait()
            if self.stops_at is not None and begin >= self.stops_at:
                await self.stopped.wait()
            piece = data[begin : min(begin + self.piece, stop)]
            yield piece
            begin += len(piece)
        await self.ended.wait()
        if end is not None:
            raise UpstreamUnavailable("Upstream broke off.")

    def _bytes(self, url: str) -> bytes:
        self._check()
        if url not in self.files:
            raise NotFound("Upstream does not have the file.")
        return self.files[url]

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault
