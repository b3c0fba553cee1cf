"""Send a file over HTTP: one that is kept, by sendfile, or one that is arriving, as it grows (RFC 9110, 9112)."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, hdrs, web

from buildthrough.proxy import freshness
from buildthrough.proxy.blobs import Blob
from buildthrough.proxy.download import Download
from buildthrough.proxy.errors import ProxyError, StorageFault
from buildthrough.proxy.reading import Reading
from buildthrough.proxy.sendfile import COPY, STALL_SECONDS, Body, write_patiently
from buildthrough.proxy.sent_file import SentFile, begun, decide

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from aiohttp.abc import AbstractStreamWriter

    from buildthrough.proxy.ranges import Part

SMALL: Final = 256 << 10
"""Up to so many bytes leave with the headers in one write: cheaper than a sendfile."""


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
    if isinstance(source, Download) and source.kept is None and not _must_wait(request, source):
        return await _send_download(
            request, source, sha256=sha256, content_type=content_type, headers=headers, stall_seconds=stall_seconds
        )
    blob = source if isinstance(source, Blob) else await source.finished()
    with blob.reading():
        return await _send_blob(request, blob, content_type, headers, stall_seconds)


def _must_wait(request: web.Request, download: Download) -> bool:
    """Whether a cut would look like the end: to a client of HTTP/1.0 that is not told the size."""
    return download.size is None and request.version < HttpVersion11


async def _send_blob(
    request: web.Request, blob: Blob, content_type: str, headers: Mapping[str, str] | None, stall_seconds: float
) -> SentFile:
    """Send a kept file. Raise `StorageFault` where it cannot be read any more."""
    etag = f'"{blob.sha256}"'
    head = decide(request, blob.size, etag)
    response = begun(head, blob.size, etag, content_type, headers)
    is_bodiless = request.method == hdrs.METH_HEAD or head.part is None or head.part.begin == head.part.end
    return await send_path(request, response, blob.path, None if is_bodiless else head.part, stall_seconds)


async def send_path(
    request: web.Request, response: SentFile, path: Path, part: Part | None, stall_seconds: float = STALL_SECONDS
) -> SentFile:
    """Send an answer with a part of a local file, or with no body. Raise `StorageFault` where it cannot be read."""
    if part is None:
        return await _send_head(request, response)
    descriptor, first = await asyncio.to_thread(_open, path, part)
    transport = request.transport
    try:
        writer = await _prepared(request, response)
        if first is not None:
            await write_patiently(response.write_eof(first), transport, stall_seconds)
        else:
            with Body(request, response, writer, stall_seconds=stall_seconds) as body:
                await body.send(descriptor, part)
            await response.write_eof()
    except StorageFault as fault:
        response.fault = fault  # too late to say so
        _cut(transport)
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
    size = download.size
    etag = None if sha256 is None else f'"{sha256}"'
    head = decide(request, size, etag)
    response = begun(head, size, etag, content_type, headers)
    if request.method == hdrs.METH_HEAD or head.status >= 300:  # noqa: PLR2004 - without a body
        return await _send_head(request, response)
    # Only a range is fetched beside the download: of the whole file the last piece waits for the digest, always.
    part = head.part if head.status == 206 else None  # noqa: PLR2004
    reading = Reading(download) if part is None else Reading(download, part.begin, part.end)
    async with aclosing(reading.pieces()) as pieces:
        first = await anext(pieces, None)  # what fails before it is answered with a status that says so
        if reading.unverified:
            response.headers[freshness.HEADER] = freshness.UNVERIFIED.header
        transport = request.transport
        try:
            writer = await _prepared(request, response)
            with Body(request, response, writer, stall_seconds=stall_seconds) as body:
                await _send_pieces(body, download, first, pieces)
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


async def _send_pieces(
    body: Body, download: Download, first: Part | bytes | None, pieces: AsyncIterator[Part | bytes]
) -> None:
    """Send pieces as they come: what lies in the growing file by the kernel, where that can be."""
    piece = first
    while piece is not None:
        if isinstance(piece, bytes):
            await body.write(piece)
        elif body.takes_files and (descriptor := download.descriptor()) is not None:
            await body.send(descriptor, piece)
        else:
            await _copy(body, download, piece)
        piece = await anext(pieces, None)


async def _copy(body: Body, download: Download, part: Part) -> None:
    for begin in range(part.begin, part.end, COPY):
        await body.write(await download.read(begin, min(COPY, part.end - begin)))


async def _prepared(request: web.Request, response: SentFile) -> AbstractStreamWriter:
    writer = await response.prepare(request)
    if writer is None:
        raise AssertionError("this response was not prepared before")
    return writer


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


def _open(path: Path, part: Part) -> tuple[int, bytes | None]:
    """Return the open file, and its bytes where they are few."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
