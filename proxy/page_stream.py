"""A long project page on its way to a client while it arrives from upstream, with our URLs in it.

Only for a page that is new here: there is nothing older to fall back on, and it would take half a second to read, edit
and compress ten megabytes before the first byte leaves. What is found wrong later can only cut the answer.
"""

from __future__ import annotations

import asyncio
import codecs
import hashlib
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.errors import ProxyError, UpstreamInvalid
from buildthrough.proxy.json_reader import JsonReader
from buildthrough.proxy.page import is_utf8_json
from buildthrough.proxy.rendered import compressor
from buildthrough.proxy.simple_json import document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from buildthrough.proxy.negotiation import Coding
    from buildthrough.proxy.simple_json import JsonDocument

LONG: Final = 256 << 10
"""Bytes that have to be understood before any is sent: a shorter page is looked at as a whole first."""
BATCH: Final = 256 << 10
"""Bytes that are worked on at a time."""


class PageStream:
    """Takes a page in JSON as it arrives (it is an `Arrival`), and gives it out edited and compressed."""

    def __init__(self, project: str, way: str, coding: Coding) -> None:
        """``way``: what the paths of files are written behind."""
        self._project = project
        self._way = way
        self._compress, self._flush = compressor(coding, in_haste=True)
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._reader: JsonReader | None = None
        self._base = ""
        self.last_serial: str | None = None
        self._is_usable = True
        self._waiting: list[bytes] = []
        self._taken = 0
        self._taken_digest = hashlib.sha256()
        self._repeated = 0
        self._repeated_digest = hashlib.sha256()
        self._written = 0
        self._sent: list[bytes] = []
        self._fault: ProxyError | None = None
        self._is_whole = False
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    def begin(self, content_type: str, url: str, last_serial: str | None) -> None:
        """Begin with a page, or, after a failed attempt, with the same page once more."""
        self._is_usable = self._is_usable and is_utf8_json(content_type) and self._base in {"", url}
        self._base = url
        self.last_serial = last_serial
        self._repeated = 0
        self._repeated_digest = hashlib.sha256()
        if self._reader is None and self._is_usable:
            self._reader = JsonReader(url, self._project)
            self._work = asyncio.ensure_future(self._run())

    def piece(self, data: bytes) -> None:
        """Take the next bytes. What comes a second time is compared with what came first."""
        again = data[: self._taken - self._repeated]
        if again:
            self._repeated_digest.update(again)
            self._repeated += len(again)
            if self._repeated == self._taken and self._repeated_digest.digest() != self._taken_digest.digest():
                self._is_usable = False
        new = data[len(again) :]
        if not self._taken and new.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self._is_usable = False
        if new and self._is_usable:
            self._taken_digest.update(new)
            self._taken += len(new)
            self._repeated = self._taken
            self._waiting += (new[at : at + BATCH] for at in range(0, len(new), BATCH))
            self._tell()

    async def is_flowing(self) -> None:
        """Wait until there is something to send of a page that is long. It may never be so."""
        while not (self._sent and self._written >= LONG):
            await self._changed.wait()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Go through what is to be sent, as it comes. Raise what went wrong: then the page is not whole."""
        place = 0
        while True:
            if place < len(self._sent):
                place += 1
                yield self._sent[place - 1]
            elif self._fault is not None:
                raise self._fault
            elif self._is_whole:
                return
            else:
                await self._changed.wait()

    async def finish(self) -> JsonDocument | None:
        """Say that all has come. Return what was read; None where it was not worked on, and is to be read as a whole.

        Raise `UpstreamInvalid` where it is no page of a project.
        """
        if not self._is_usable or self._reader is None or self._work is None:
            self.fail(UpstreamInvalid("Upstream sent another page when it was asked a second time."))
            return None
        while self._waiting and not self._work.done():
            await self._changed.wait()
        self._work.cancel()
        await asyncio.wait((self._work,))
        if self._fault is not None:
            raise self._fault
        last, found = await asyncio.to_thread(self._last)
        self._sent.append(last)
        self._is_whole = True
        self._tell()
        return found

    def fail(self, fault: ProxyError) -> None:
        """Say that no more will come."""
        if self._work is not None:
            self._work.cancel()
        if not self._is_whole and self._fault is None:
            self._fault = fault
        self._tell()

    async def _run(self) -> None:
        """Edit one batch while the one before it is compressed."""
        compressing: asyncio.Future[None] | None = None
        try:
            while True:
                while not self._waiting:
                    await self._changed.wait()
                batch, count = self._batch()
                text = await asyncio.to_thread(self._edited, batch)
                if compressing is not None:
                    await compressing
                compressing = asyncio.ensure_future(self._send(text))
                if len(self._waiting) == count:
                    await compressing
                del self._waiting[:count]
                self._tell()
        except ProxyError as fault:
            self.fail(fault)

    def _batch(self) -> tuple[bytes, int]:
        count = size = 0
        while count < len(self._waiting) and size < BATCH:
            size += len(self._waiting[count])
            count += 1
        return b"".join(self._waiting[:count]), count

    async def _send(self, text: bytes) -> None:
        data = await asyncio.to_thread(self._compress, text)
        if data:
            self._sent.append(data)
            self._tell()

    def _edited(self, data: bytes, *, final: bool = False) -> bytes:
        if self._reader is None:
            raise AssertionError("it was begun")
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            msg = (
                f"Upstream's page of {self._project!r} cannot be decoded: it is no text in the encoding that it claims."
            )
            raise UpstreamInvalid(msg) from error
        written = self._reader.feed(text, self._way).encode()
        self._written += len(written)
        return written

    def _last(self) -> tuple[bytes, JsonDocument]:
        if self._reader is None:
            raise AssertionError("it was begun")
        before = self._edited(b"", final=True)
        rest, reading = self._reader.finish(self._way)
        found = document(reading, self._base, self._project)
        written = rest.encode()
        return self._compress(before + written) + self._flush(), found

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
