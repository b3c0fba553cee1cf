"""A long project page on its way to a client while it arrives from upstream, with our URLs in it.

Only for a page that is new here: there is nothing older to fall back on, and it would take half a second to read, edit
and compress ten megabytes before the first byte leaves. What is found wrong later can only cut the answer.
"""

from __future__ import annotations

import asyncio
import codecs
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.errors import ProxyError, UpstreamInvalid
from buildthrough.proxy.json_reader import JsonReader
from buildthrough.proxy.packing import Packing
from buildthrough.proxy.page import is_utf8_json
from buildthrough.proxy.simple_json import document
from buildthrough.proxy.splice import decode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from buildthrough.proxy.negotiation import Coding
    from buildthrough.proxy.simple_json import JsonDocument

LONG: Final = 256 << 10
"""Bytes that have to be understood before any is sent: a shorter page is looked at as a whole first."""
PORTION: Final = 96 << 10
"""Bytes that are edited at a time: what is made of them fits into memory that was used before."""


class PageStream:
    """Takes a page in JSON as it arrives (it is an `Arrival`), and gives it out edited and compressed."""

    def __init__(self, project: str, way: str, coding: Coding) -> None:
        """``way``: what the paths of files are written behind."""
        self._project = project
        self._way = way
        self._packing = Packing(coding, self._send)
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._reader: JsonReader | None = None
        self._base = ""
        self.last_serial: str | None = None
        self._is_usable = True
        self._taken = 0
        self._taken_digest = hashlib.sha256()
        self._repeated = 0
        self._repeated_digest = hashlib.sha256()
        self._written = 0
        self._sent: list[bytes] = []
        self._fault: ProxyError | None = None
        self._is_whole = False
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def begin(self, content_type: str, url: str, last_serial: str | None) -> None:
        """Begin with a page, or, after a failed attempt, with the same page once more."""
        self._is_usable = self._is_usable and is_utf8_json(content_type) and self._base in {"", url}
        self._base = url
        self.last_serial = last_serial
        self._repeated = 0
        self._repeated_digest = hashlib.sha256()
        if self._reader is None and self._is_usable:
            self._reader = JsonReader(url, self._project)

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
            self._work(new)

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

    async def finish(self, body: bytes) -> JsonDocument | None:
        """Say that this is all. Return what was read; None where it was not worked on, and is to be read as a whole.

        Raise `UpstreamInvalid` where it is no page of a project.
        """
        if not self._is_usable or self._reader is None or self._repeated < self._taken:
            self.fail(UpstreamInvalid("Upstream sent another page when it was asked a second time."))
            return None
        if self._fault is not None:
            raise self._fault
        last, found = await asyncio.to_thread(self._last)
        self._sent.append(last)
        self._is_whole = True
        self._tell()
        text = await asyncio.to_thread(decode, body, "utf-8")  # later: nobody who waits for the page waits for this
        return replace(found, reading=replace(found.reading, text=text))

    def fail(self, fault: ProxyError) -> None:
        """Say that no more will come."""
        if not self._is_whole and self._fault is None:
            self._fault = fault
        self._packing.end()
        self._tell()

    def _work(self, data: bytes) -> None:
        """Edit what came, and have it compressed meanwhile. What is found wrong cuts the answer at once."""
        try:
            for at in range(0, len(data), PORTION):
                if self._fault is None:
                    self._packing.put(self._edited(data[at : at + PORTION]))
        except ProxyError as fault:
            self._fault = fault
            self._packing.end()
            self._loop.call_soon_threadsafe(self._tell)

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
        return self._packing.last(before + rest.encode()), found

    def _send(self, packed: bytes) -> None:
        self._sent.append(packed)
        self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
