"""A file on its way to one client past a store that cannot take it; its digest is made on the way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.arrival import Arrival
from buildthrough.proxy.download import WITHHELD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from buildthrough.proxy.download import Download, Written
    from buildthrough.proxy.resource import Digest


STEP: Final = 128 << 10
"""Bytes that are given at once: what a slow client keeps waiting is held in memory, for each of them."""


class Passage:
    """The bytes from ``begin`` to ``end``, where a download got stuck after what was written of it."""

    def __init__(self, download: Download, written: Written, begin: int, end: int | None) -> None:
        self.sees_all = begin <= written.size and end in {None, download.size}
        """Whether every byte of the file comes by: then the last piece waits for the digest. Else nobody can tell."""
        self._download = download
        self._written = written
        self._begin = begin
        self._end = end

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Go through the bytes. Raise `UpstreamFault` or `NotFound`: then they are not all."""
        async with aclosing(self._checked() if self.sees_all else self._unchecked()) as chunks:
            async for data in chunks:
                yield data

    async def _pieces(self, begin: int, end: int | None) -> AsyncGenerator[bytes, None]:
        download = self._download
        arrival = Arrival(
            download.ways.upstream,
            download.resource,
            max_bytes=download.ways.max_bytes,
            size=download.size,
            begin=begin,
            end=end,
        )
        async with aclosing(arrival.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    async def _unchecked(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._pieces(self._begin, self._end)) as pieces:
            async for piece in pieces:
                for begin in range(0, len(piece), STEP):
                    yield piece[begin : begin + STEP]

    async def _checked(self) -> AsyncGenerator[bytes, None]:
        written = self._written
        withheld = bytearray(written.unshown)
        skip = self._begin - (written.size - len(withheld))
        async with aclosing(self._pieces(written.size, None)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(_take_in, written.digests, piece)
                for begin in range(0, len(piece), STEP):
                    withheld += piece[begin : begin + STEP]
                    ready = len(withheld) - WITHHELD
                    if ready > skip:
                        yield bytes(withheld[skip:ready])
                    if ready > 0:
                        del withheld[:ready]
                        skip = max(0, skip - ready)
        self._download.resource.verify(lambda name: written.digests[name].hexdigest())
        yield bytes(withheld[skip:])


def _take_in(digests: Mapping[str, Digest], piece: bytes) -> None:
    for digest in digests.values():
        digest.update(piece)
