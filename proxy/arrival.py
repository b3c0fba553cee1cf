"""A file on its way from upstream: resumed where it breaks off, and never another or a longer one than it is to be."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.errors import UpstreamInvalid, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from buildthrough.proxy.resource import Resource
    from buildthrough.proxy.upstream import FileAnswer, Upstream

RESUMES: Final = 5
"""How often in a row it is taken up again without much having come in between."""
PROGRESS: Final = 1 << 20
"""Bytes that are much: a long file over a bad line may break off any number of times."""
RESUME_PAUSE: Final = 0.5
"""Seconds before the first resumption; doubled each time."""


class Arrival:
    """The bytes of a file from ``begin`` to ``end``, without it; None is the file's end."""

    def __init__(
        self,
        upstream: Upstream,
        resource: Resource,
        *,
        max_bytes: int,
        size: int | None = None,
        begin: int = 0,
        end: int | None = None,
        on_begin: Callable[[], None] = lambda: None,
    ) -> None:
        """Call ``on_begin`` whenever upstream begins to send: then `size` is what it said."""
        self.size = resource.size if size is None else size
        """Bytes of the whole file, once they are known."""
        self.etag: str | None = None
        """What upstream calls it, once it said so."""
        self._upstream = upstream
        self._resource = resource
        self._max_bytes = resource.bound(max_bytes)
        self._begin = self._position = begin
        self._end = end
        self._on_begin = on_begin
        self._begun = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Go through the bytes as they come. Raise `NotFound` or `UpstreamFault`: then they are not all."""
        failures, mark = 0, self._position
        while True:
            try:
                async with aclosing(self._answer()) as answer:
                    async for piece in answer:
                        yield piece
            except UpstreamUnavailable:
                if self._position - mark >= PROGRESS:
                    failures = 0
                mark = self._position
                # Pieces of two answers are joined only where a digest tells whether they belong together.
                may_resume = self._begun and (self._position == self._begin or self._resource.verifiable)
                if failures == RESUMES or not may_resume:
                    raise
            else:
                return
            await asyncio.sleep(RESUME_PAUSE * 2**failures)
            failures += 1

    async def _answer(self) -> AsyncGenerator[bytes, None]:
        resource = self._resource
        async with self._upstream.file(resource.url, self._position, self._end, upstream=resource.upstream) as answer:
            self._expect(answer)
            skip = self._position - answer.offset
            self._begun = True
            self._on_begin()
            async for chunk in answer.chunks:
                piece = chunk[skip:] if skip else chunk
                skip -= len(chunk) - len(piece)
                piece = self._bounded(piece)
                if piece:
                    self._position += len(piece)
                    yield piece
                if self._position == self._end:
                    return
        wanted = self.size if self._end is None else self._end
        if wanted is not None and self._position < wanted:
            raise UpstreamUnavailable("Upstream broke off before the file was whole.")

    def _expect(self, answer: FileAnswer) -> None:
        size = answer.size
        if size is not None and self.size is not None and size != self.size:
            raise UpstreamInvalid(f"Upstream sends a file of {size} bytes where {self.size} are to be.")
        self.size = self.size if size is None else size
        self.etag = answer.etag
        if self.size is not None and self.size > self._max_bytes:
            raise UpstreamInvalid(f"Upstream's file is larger than {self._max_bytes} bytes.")

    def _bounded(self, piece: bytes) -> bytes:
        if self._end is not None and self._position + len(piece) > self._end:
            return piece[: self._end - self._position]  # upstream ignored where the range ends
        limit = self._max_bytes if self.size is None else self.size
        if self._position + len(piece) > limit:
            raise UpstreamInvalid(f"Upstream sends more than the {limit} bytes that the file may have.")
        return piece
