"""Say a page in HTTP: headers, conditions, and a page that is sent while it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import CIMultiDict

from buildthrough.proxy import freshness
from buildthrough.proxy.errors import ProxyError
from buildthrough.proxy.mirror import ServedPage
from buildthrough.proxy.sendfile import STALL_SECONDS, write_patiently
from buildthrough.proxy.transfer import SentFile

if TYPE_CHECKING:
    from buildthrough.proxy.mirror import StreamedPage
    from buildthrough.proxy.negotiation import Coding, Representation

_HEADERS = CIMultiDict(
    {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "X-PyPI-Last-Serial",
        hdrs.CACHE_CONTROL: "no-cache",
        hdrs.VARY: "Accept, Accept-Encoding",
    }
)


def page_response(request: web.Request, page: ServedPage, wanted: Representation, coding: Coding) -> web.Response:
    """Return the answer to a request for a page: 200, or 304 where the client has it already."""
    etag = page.rendered.etag
    headers = _HEADERS.copy()
    headers[hdrs.ETAG] = etag
    headers[freshness.HEADER] = page.freshness.header
    if page.last_serial is not None:
        headers["X-PyPI-Last-Serial"] = page.last_serial
    given = request.headers.get(hdrs.IF_NONE_MATCH)
    if given is not None and _matches(given, etag):
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = wanted.content_type
    if coding != "identity":
        headers[hdrs.CONTENT_ENCODING] = coding
    return web.Response(body=page.rendered.body, headers=headers)


async def send_page(
    request: web.Request, page: ServedPage | StreamedPage, wanted: Representation, coding: Coding
) -> web.StreamResponse:
    """Answer with a page, or with one that is arriving."""
    if isinstance(page, ServedPage):
        return page_response(request, page, wanted, coding)
    return await _send_stream(request, page, wanted, coding)


async def _send_stream(request: web.Request, page: StreamedPage, wanted: Representation, coding: Coding) -> SentFile:
    """Send a page while it arrives. It has no entity tag yet: the next time there is one."""
    headers = _HEADERS.copy()
    headers[hdrs.CONTENT_TYPE] = wanted.content_type
    headers[freshness.HEADER] = freshness.MISS.header
    if coding != "identity":
        headers[hdrs.CONTENT_ENCODING] = coding
    if page.last_serial is not None:
        headers["X-PyPI-Last-Serial"] = page.last_serial
    response = SentFile(headers=headers)
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


def _matches(if_none_match: str, etag: str) -> bool:
    return any(one.strip().removeprefix("W/") in {etag, "*"} for one in if_none_match.split(","))
