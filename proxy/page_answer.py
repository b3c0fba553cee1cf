"""A page as upstream sends it, taken from its response: in bounds, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from buildthrough.proxy.address import shown
from buildthrough.proxy.coding import Decoder
from buildthrough.proxy.errors import UpstreamInvalid, UpstreamUnavailable

if TYPE_CHECKING:
    import aiohttp

LONG: Final = 8 << 10
"""Compressed bytes of a page that are not decompressed on the event loop: they may hold megabytes."""
STEP: Final = 64 << 10
"""Compressed bytes that a thread works on at a time."""
PORTION: Final = 16 << 10
"""Compressed bytes that are decompressed at once: what is made of them fits into memory that was used before."""
GRACE_SECONDS: Final = 60.0
"""For so long a page may come as slowly as it likes."""
LEAST_RATE: Final = 4096
"""Bytes that have to come in each second after that. There is no bound on the whole: the list of all projects takes a
slow line a quarter of an hour. But a page that comes byte by byte would occupy its connection for years."""

_END_SEEN: Final = 4096
_opens = re.compile(rb"<(?:html|body)[\s>]", re.IGNORECASE).search
_closes = re.compile(rb"</(?:html|body)\s*>", re.IGNORECASE).search


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAnswer:
    """A page as upstream sent it, its content coding removed."""

    body: bytes
    content_type: str
    """The response's Content-Type as sent, never what was asked for."""
    url: str
    """The final URL, which relative links are relative to."""
    etag: str | None
    """For asking the same upstream again; another takes no notice of it."""
    last_serial: str | None
    """``X-PyPI-Last-Serial``, where upstream has it."""
    upstream: str = ""
    """Which of several upstreams sent it: its files are fetched there. Empty where there is one."""

    def digest(self) -> str:
        """Return what tells one page from another: of its bytes, and of the address that its links are relative to."""
        digest = hashlib.sha256(f"{self.upstream}\n{self.content_type}\n{self.url}\n".encode())
        digest.update(self.body)
        return digest.hexdigest()


class Arrival(Protocol):
    """Is told of a page while it arrives."""

    def begin(self, content_type: str, url: str, last_serial: str | None) -> None:
        """Take note that a page comes from its beginning, perhaps not for the first time."""
        ...

    def piece(self, data: bytes) -> None:
        """Take the next bytes, their content coding removed. Called in a thread, and not again before it returned."""
        ...


async def receive(
    response: aiohttp.ClientResponse, *, limit: int, mark: str, upstream: str, arrival: Arrival | None
) -> PageAnswer:
    """Return the page that a response with status 200 brings. ``mark`` is put before its ETag.

    Raise `UpstreamInvalid` for one that is broken, cut or longer than ``limit``, `UpstreamUnavailable` for one that
    hardly comes, and what aiohttp raises.
    """
    content_type, url = header(response, "Content-Type") or "", shown(response.url)
    etag, last_serial = header(response, "ETag"), header(response, "X-PyPI-Last-Serial")
    if arrival is not None:
        arrival.begin(content_type, url, last_serial)
    body = await _body(response, limit, arrival)
    if not _is_framed(response) and "html" in content_type.lower() and _lacks_its_end(body):
        raise UpstreamInvalid("Upstream's page has no end, and nothing says how long it is: it may be cut.")
    return PageAnswer(
        body=body,
        content_type=content_type,
        url=url,
        etag=None if etag is None else f"{mark} {etag}",
        last_serial=last_serial,
        upstream=upstream,
    )


def header(response: aiohttp.ClientResponse, name: str) -> str | None:
    """Return a header that can be stored and sent on; None where it is missing, or holds what no header may."""
    value = response.headers.get(name)
    return value if value is not None and value.isascii() and value.isprintable() else None


async def _body(response: aiohttp.ClientResponse, limit: int, arrival: Arrival | None) -> bytes:
    """Return the body without its coding. What is long is decompressed in a thread, piece by piece."""
    decoder = Decoder(response.headers.get("Content-Encoding", ""), limit)
    body = io.BytesIO()  # gives out what it holds without a second copy
    received, began = 0, time.monotonic()
    async for chunk in response.content.iter_any():
        received += len(chunk)
        if received < LEAST_RATE * (time.monotonic() - began - GRACE_SECONDS):
            raise UpstreamUnavailable("Upstream's page comes too slowly to be waited for.")
        for at in range(0, len(chunk), STEP):  # what comes at once may be megabytes, and ten times as many within
            raw = chunk[at : at + STEP]
            if arrival is None and len(raw) < LONG:
                body.write(decoder.feed(raw))
            else:
                await asyncio.to_thread(_take, decoder, raw, body, arrival)
    decoder.finish()
    return body.getvalue()


def _take(decoder: Decoder, raw: bytes, body: io.BytesIO, arrival: Arrival | None) -> None:
    """Take what came out of its coding and hand it on, in one go: each change of threads waits for the interpreter."""
    # All of it first: what turns out to be too much is refused, if it comes soon enough, before any of it is sent on.
    for piece in [decoder.feed(raw[at : at + PORTION]) for at in range(0, len(raw), PORTION)]:
        body.write(piece)
        if arrival is not None:
            arrival.piece(piece)


def _is_framed(response: aiohttp.ClientResponse) -> bool:
    """Whether a cut would be noticed: by the length, by the last chunk, or by the end of the compressed data."""
    told = response.headers
    return bool(told.get("Content-Length") or told.get("Transfer-Encoding") or told.get("Content-Encoding"))


def _lacks_its_end(body: bytes) -> bool:
    """Whether a page in HTML opens what it does not close. Of one that opens nothing it cannot be told."""
    return _opens(body[:_END_SEEN]) is not None and _closes(body[-_END_SEEN:]) is None
