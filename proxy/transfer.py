"""Send a file over HTTP: one that is kept, by sendfile, or one that is arriving, as it grows (RFC 9110, 9112)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from buildthrough.proxy.blobs import Blob
from buildthrough.proxy.download import Download
from buildthrough.proxy.errors import ProxyError, StorageFault
from buildthrough.proxy.ranges import Part, Unsatisfiable, is_unchanged, range_holds, requested_part
from buildthrough.proxy.sendfile import STALL_SECONDS, send_file, write_patiently

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE_CONTROL: Final = "max-age=365000000, immutable, public"
"""PyPI's own value for files."""
SMALL: Final = 256 << 10
"""Up to so many bytes leave with the headers in one write: cheaper than a sendfile."""


LEFT: Final = 499
"""How a client that left is counted, as nginx does."""


class SentFile(web.StreamResponse):
    """A file that was sent, or of which a part was sent: then the connection is cut, the status line long gone."""

    left: bool = False
    """The client left, or took nothing for too long."""
    fault: ProxyError | None = None
    """What went wrong on our side or upstream's in the middle."""

    @property
    def outcome(self) -> int:
        """The status to count."""
        if self.fault is not None:
            return self.fault.status
        return LEFT if self.left else self.status


def outcome(response: web.StreamResponse) -> int:
    """Return the status to count for any response."""
    return response.outcome if isinstance(response, SentFile) else response.status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What is answered, before any byte of the file."""

    status: int
    part: Part | None
    """The bytes to send; None for the whole of a file whose size is not known yet."""


async def send(
    request: web.Request,
    source: Blob | Download,
    *,
    sha256: str | None,
    content_type: str,
    headers: Mapping[str, str] | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> SentFile:
    """Send what `Downloads.obtain` returned. ``sha256`` is the digest that is listed; None where there is none.

    A client that takes no byte for ``stall_seconds`` is cut. Raise `ProxyError` for what fails before the first byte.
    """
    if isinstance(source, Download) and source.kept is None:
        return await _send_download(
            request, source, sha256=sha256, content_type=content_type, headers=headers, stall_seconds=stall_seconds
        )
    blob = source if isinstance(source, Blob) else await source.finished()
    return await _send_blob(request, blob, content_type, headers, stall_seconds)


async def _send_blob(
    request: web.Request, blob: Blob, content_type: str, headers: Mapping[str, str] | None, stall_seconds: float
) -> SentFile:
    """Send a kept file. Raise `StorageFault` where it cannot be read any more."""
    etag = f'"{blob.sha256}"'
    head = _head(request, blob.size, etag)
    response = _response(head, blob.size, etag, content_type, headers)
    if request.method == hdrs.METH_HEAD or head.part is None or head.part.begin == head.part.end:
        return await _send_head(request, response)
    descriptor, first = await asyncio.to_thread(_open, blob, head.part)
    transport = request.transport
    try:
        writer = await response.prepare(request)
        if writer is None:
            raise AssertionError("this response was not prepared before")
        if first is not None:
            await write_patiently(response.write_eof(first), transport, stall_seconds)
        else:
            await send_file(request, writer, descriptor, head.part, stall_seconds=stall_seconds)
            await response.write_eof()
    except ConnectionError:
        response.left = True
        _cut(transport)  # the client left: nobody is there to be told
    finally:
        os.close(descriptor)
    return response


async def _send_download(
    request: web.Request,
    download: Download,
    *,
    sha256: str | None,
    content_type: str,
    headers: Mapping[str, str] | None,
    stall_seconds: float,
) -> SentFile:
    """Send a file as it grows. Raise `ProxyError` where it fails before the first byte; later the connection is cut."""
    with download.reading():
        await download.readable(0)
        size = download.size
        etag = None if sha256 is None else f'"{sha256}"'
        head = _head(request, size, etag)
        response = _response(head, size, etag, content_type, headers)
        if request.method == hdrs.METH_HEAD or head.status >= 300:  # noqa: PLR2004 - without a body
            return await _send_head(request, response)
        part = head.part or Part(begin=0, end=-1)
        transport = request.transport
        try:
            await response.prepare(request)
            async for chunk in download.chunks(part.begin, None if part.end < 0 else part.end):
                await write_patiently(response.write(chunk), transport, stall_seconds)
            await response.write_eof()
        except ProxyError as fault:
            # The status line is long gone: only a connection that breaks tells the client that the file is not whole.
            response.fault = fault
            _cut(transport)
        except ConnectionError:
            response.left = True
            _cut(transport)
        except BaseException:
            _cut(transport)
            raise
        return response


async def _send_head(request: web.Request, response: SentFile) -> SentFile:
    """Send an answer without a body."""
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        response.left = True
    return response


def _cut(transport: asyncio.Transport | None) -> None:
    if transport is not None:
        transport.abort()


def _head(request: web.Request, size: int | None, etag: str | None) -> _Head:
    """Decide about conditions and the range, in the order of RFC 9110, 13.2.2."""
    whole = None if size is None else Part(begin=0, end=size)
    if is_unchanged(request.headers.get(hdrs.IF_NONE_MATCH), etag):
        return _Head(status=304, part=None)
    if size is None or request.method != hdrs.METH_GET or not range_holds(request.headers.get(hdrs.IF_RANGE), etag):
        return _Head(status=200, part=whole)
    try:
        part = requested_part(request.headers.get(hdrs.RANGE), size)
    except Unsatisfiable:
        return _Head(status=416, part=None)
    return _Head(status=200, part=whole) if part is None else _Head(status=206, part=part)


def _response(
    head: _Head, size: int | None, etag: str | None, content_type: str, headers: Mapping[str, str] | None
) -> SentFile:
    response = SentFile(status=head.status, headers=headers)
    response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    if head.status == 416:  # noqa: PLR2004
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
        response.content_length = 0
        return response
    response.headers[hdrs.CACHE_CONTROL] = CACHE_CONTROL
    if etag is not None:
        response.headers[hdrs.ETAG] = etag
    if head.status != 304:  # noqa: PLR2004
        response.content_type = content_type
    if head.part is not None:
        response.content_length = head.part.end - head.part.begin
    if head.status == 206 and head.part is not None:  # noqa: PLR2004
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {head.part.begin}-{head.part.end - 1}/{size}"
    return response


def _open(blob: Blob, part: Part) -> tuple[int, bytes | None]:
    """Return the open file, and its bytes where they are few."""
    try:
        descriptor = os.open(blob.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageFault("The file was removed or became unreadable just now. Ask again.") from error
    try:
        if part.end - part.begin > SMALL:
            os.posix_fadvise(descriptor, part.begin, part.end - part.begin, os.POSIX_FADV_SEQUENTIAL)
            return descriptor, None
        first = os.pread(descriptor, part.end - part.begin, part.begin)
    except OSError as error:
        os.close(descriptor)
        raise StorageFault("The file cannot be read from the store.") from error
    if len(first) < part.end - part.begin:
        os.close(descriptor)
        raise StorageFault("The file is damaged in the store. Ask again.")
    return descriptor, first
