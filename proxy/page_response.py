"""Say a page in HTTP: headers, conditions, and a page that is sent while it arrives."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from buildthrough.proxy import freshness
from buildthrough.proxy.errors import ProxyError
from buildthrough.proxy.ranges import Part, is_unchanged
from buildthrough.proxy.sendfile import STALL_SECONDS, write_patiently
from buildthrough.proxy.sent_file import SentFile
from buildthrough.proxy.served import ServedPage
from buildthrough.proxy.transfer import send_path

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from buildthrough.proxy.negotiation import Coding, Representation
    from buildthrough.proxy.projects import ServedList
    from buildthrough.proxy.served import StreamedPage

_ONE_WRITE: Final = 64 << 10
"""Bytes up to which headers and body are joined: cheaper than to hand over two pieces."""
_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-PyPI-Last-Serial",
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.VARY: "Accept, Accept-Encoding",
}


class PageResponse(web.StreamResponse):
    """An answer whose headers are bytes already: nearly all of a cached page's time goes into headers."""

    def __init__(self, request: web.BaseRequest, status: int, head: bytes, body: bytes) -> None:
        super().__init__(status=status)
        self._request = request
        self._head = head
        self._page = body
        self._sent = 0

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays."""
        return self._request.keep_alive

    @property
    def body_length(self) -> int:
        """Bytes that were sent."""
        return self._sent

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002 - as aiohttp has it
        """Do nothing: all is sent at once."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - as above
        """Send it. Raise ConnectionError where the client left, or takes nothing for too long."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        if len(self._page) <= _ONE_WRITE:
            transport.write(self._head + self._page)
        else:
            transport.writelines((self._head, self._page))
        self._sent = len(self._head) + len(self._page)
        if transport.get_write_buffer_size():
            await write_patiently(self._request.writer.drain(), transport, STALL_SECONDS)


def page_response(request: web.BaseRequest, page: ServedPage, wanted: Representation, coding: Coding) -> PageResponse:
    """Return the answer to a request for a page: 200, or 304 where the client has it already."""
    rendered = page.rendered
    has_it = is_unchanged(request.headers.get(hdrs.IF_NONE_MATCH), rendered.etag)
    head = _head(
        304 if has_it else 200,
        None if has_it else wanted.content_type,
        None if has_it else coding,
        None if has_it else len(rendered.body),
        rendered.etag,
        page.last_serial,
    )
    head += b"%s: %s\r\nDate: %s\r\n" % (_CACHE, page.freshness.header.encode(), _date(int(time.time())))
    if request.version != HttpVersion11 or not request.keep_alive:
        head += _connection(request)
    body = b"" if has_it or request.method == hdrs.METH_HEAD else rendered.body
    return PageResponse(request, 304 if has_it else 200, head + b"\r\n", body)


async def send_page(
    request: web.Request, page: ServedPage | StreamedPage, wanted: Representation, coding: Coding
) -> web.StreamResponse:
    """Answer with a page, or with one that is arriving."""
    if isinstance(page, ServedPage):
        return page_response(request, page, wanted, coding)
    return await _send_stream(request, page, wanted, coding)


async def send_list(request: web.Request, listed: ServedList, wanted: Representation, coding: Coding) -> SentFile:
    """Answer with the project list, from the disk. Raise `StorageFault` where it cannot be read any more."""
    rendition = listed.rendition
    has_it = is_unchanged(request.headers.get(hdrs.IF_NONE_MATCH), rendition.etag)
    response = SentFile(status=304 if has_it else 200, headers=_HEADERS)
    response.headers[hdrs.ETAG] = rendition.etag
    response.headers[freshness.HEADER] = listed.freshness.header
    if listed.last_serial is not None:
        response.headers["X-PyPI-Last-Serial"] = listed.last_serial
    if not has_it:
        response.headers[hdrs.CONTENT_TYPE] = wanted.content_type
        response.content_length = rendition.size
        if coding != "identity":
            response.headers[hdrs.CONTENT_ENCODING] = coding
    is_bodiless = has_it or request.method == hdrs.METH_HEAD
    whole = None if is_bodiless else Part(begin=0, end=rendition.size)
    return await send_path(request, response, rendition.path, whole)


async def _send_stream(request: web.Request, page: StreamedPage, wanted: Representation, coding: Coding) -> SentFile:
    """Send a page while it arrives. It has no entity tag yet: the next time there is one."""
    response = SentFile(headers=_HEADERS)
    response.headers[hdrs.CONTENT_TYPE] = wanted.content_type
    response.headers[freshness.HEADER] = freshness.MISS.header
    if coding != "identity":
        response.headers[hdrs.CONTENT_ENCODING] = coding
    if page.last_serial is not None:
        response.headers["X-PyPI-Last-Serial"] = page.last_serial
    transport = request.transport
    try:
        await response.prepare(request)
        async for chunk in page.chunks:
            await write_patiently(response.write(chunk), transport, STALL_SECONDS)
        await response.write_eof()
    except (ProxyError, ConnectionError) as fault:
        # The status line is long gone: only a connection that breaks tells the client that the page is not whole.
        response.fault = fault if isinstance(fault, ProxyError) else None
        response.left = response.fault is None
        if transport is not None:
            transport.abort()
    except BaseException:
        if transport is not None:
            transport.abort()
        raise
    return response


_CACHE: Final = freshness.HEADER.encode()


@lru_cache(maxsize=4096)
def _head(  # noqa: PLR0917 - one for each header that differs
    status: int, content_type: str | None, coding: str | None, length: int | None, etag: str, last_serial: str | None
) -> bytes:
    headers = {**_HEADERS, hdrs.ETAG: etag, hdrs.SERVER: "buildthrough"}
    if content_type is not None:
        headers[hdrs.CONTENT_TYPE] = content_type
    if coding not in {None, "identity"}:
        headers[hdrs.CONTENT_ENCODING] = str(coding)
    if length is not None:
        headers[hdrs.CONTENT_LENGTH] = str(length)
    if last_serial is not None:
        headers["X-PyPI-Last-Serial"] = last_serial
    lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Not Modified'}"]  # noqa: PLR2004
    lines += [f"{name}: {_one_line(value)}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n").encode()


def _one_line(value: str) -> str:
    """Return a header's value without what would end it: some are upstream's."""
    return "".join(character for character in value if character.isprintable())


@lru_cache(maxsize=2)
def _date(now: int) -> bytes:
    return formatdate(now, usegmt=True).encode()


def _connection(request: web.BaseRequest) -> bytes:
    if not request.keep_alive:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if request.version == HttpVersion10 else b""
