"""The middleware around all handlers: errors become sentences, preflights are answered, every answer is counted."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from buildthrough.builders.database import DatabaseFault
from buildthrough.proxy import logs
from buildthrough.proxy.errors import Busy, Denied, ProxyError, StorageFault, Unauthorized
from buildthrough.proxy.sent_file import outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.typedefs import Middleware

    from buildthrough.proxy.metrics import Metrics

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logs.logger("web")

CORS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-PyPI-Last-Serial",
}
"""On pages, their redirects and refusals, as on PyPI: pages in a browser may read the index."""
_LONGEST_PHRASE: Final = 300
_PREFLIGHT = {  # what a browser asks for before it asks; PyPI's own answer, and ranges
    **CORS,
    "Access-Control-Allow-Headers": (
        "Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range"
    ),
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Max-Age": "86400",
}


def boundary(metrics: Metrics) -> Middleware:
    """Return the one middleware: errors become sentences, and every answer is counted."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        status = 500
        try:
            response = await handler(request)
            status = outcome(response)
        except ConnectionError:
            status = 499  # as nginx counts a client that left
            raise
        except Exception as cause:  # noqa: BLE001 - the last to see it, and it is logged
            response = _answer_to(request, cause)
            status = response.status
        finally:
            metrics.request(_route(request), request.method, status, time.perf_counter() - began)
        return response

    return middleware


def _answer_to(request: web.Request, cause: Exception) -> web.Response:
    """Say in HTTP what a handler raised; what nobody foresaw goes to the log."""
    if isinstance(cause, ProxyError):
        if cause.status >= web.HTTPInternalServerError.status_code:
            log.warning("a request failed", path=request.path, status=cause.status, fault=cause.sentence)
        more: dict[str, str] = {}
        if isinstance(cause, Unauthorized):
            more = {hdrs.WWW_AUTHENTICATE: "Bearer"}
        elif isinstance(cause, Busy):
            more = {hdrs.RETRY_AFTER: "5"}
        phrase = _phrase(cause.sentence) if isinstance(cause, Denied) else None
        return _refusal(request, cause.status, cause.sentence, more, phrase)
    if isinstance(cause, web.HTTPMethodNotAllowed):
        return _other_method(request, cause)
    if isinstance(cause, web.HTTPException):
        if cause.status < web.HTTPBadRequest.status_code:
            raise cause
        return _refusal(request, cause.status, f"{cause.status} {cause.reason}.")
    if isinstance(cause, DatabaseFault):
        log.exception("the catalog failed", path=request.path)  # noqa: LOG004 - called while it is being handled
        return _refusal(request, StorageFault.status, cause.sentence)
    log.exception("a request failed for a reason that nobody foresaw", path=request.path)  # noqa: LOG004 - as above
    return _refusal(request, 500, "The server failed on this request; its log says why.")


def _other_method(request: web.Request, answer: web.HTTPMethodNotAllowed) -> web.Response:
    """Answer OPTIONS, which every address understands, and refuse the rest (RFC 9110, 9.3.7 and 15.5.6)."""
    allowed: dict[str, str] = {hdrs.ALLOW: ", ".join(sorted({*answer.allowed_methods, hdrs.METH_OPTIONS}))}
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=204, headers={**_PREFLIGHT, **allowed})
    sentence = f"This address takes {allowed[hdrs.ALLOW]} only."
    if answer.allowed_methods <= {hdrs.METH_GET, hdrs.METH_HEAD}:
        sentence = "This is an index to read from: nothing is uploaded or changed here; upload to the index upstream."
    return _refusal(request, answer.status, sentence, allowed)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _refusal(
    request: web.Request,
    status: int,
    sentence: str,
    more: Mapping[str, str] = MappingProxyType({}),
    phrase: str | None = None,
) -> web.Response:
    headers = {**CORS, **more, hdrs.CACHE_CONTROL: "no-cache"}
    if request.path.startswith("/api/"):
        return web.json_response({"error": sentence}, status=status, reason=phrase, headers=headers)
    return web.Response(text=sentence + "\n", status=status, reason=phrase, headers=headers)


def _phrase(sentence: str) -> str:
    """Return a sentence as the reason phrase of a status line: pip shows that and no body."""
    return sentence.encode("ascii", "replace").decode()[:_LONGEST_PHRASE]
