"""Connections to clients: what is no HTTP is answered with one plain sentence and no traceback, then closed in order.

aiohttp answers such requests itself, before any route or middleware, with parts of what it read; these classes stand
between. They add nothing to requests that are well-formed.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from buildthrough.proxy import logs
from buildthrough.proxy.shortcut import SHORTCUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from buildthrough.proxy.shortcut import Shortcut

    _Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

log = logs.logger("connection")

_LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending, so that it gets to read why."""
_FAILED = "The server failed on this request; its log says why."
_TOO_LONG = "The request line, or a header of the request, is longer than this server reads."
_EXPECTATION = "The request expects what this server does not know; it knows 100-continue."
_MALFORMED = "The request is no well-formed HTTP."


class Runner(web.AppRunner):
    """Runs an application over `Connection`."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        shortcut = self._app.get(SHORTCUT)
        return _Server(
            made.request_handler if shortcut is None else _after(shortcut, made.request_handler),
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **made._kwargs,  # noqa: SLF001 - aiohttp has no other way to name the class of its connections
        )


def _after(shortcut: Shortcut, handle: _Handler) -> _Handler:
    """Return a handler that is asked only where the shortcut has no answer."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return shortcut.answer(request) or await handle(request)

    return handler


class _Server(web.Server):
    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ANN401 - as aiohttp declares it
        """Log a fault of ours; a body that cannot be read, and a client that left, are not."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError | ConnectionError):
            super().log_exception(*args, **kw)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send an answer; aiohttp's own to an expectation, which no middleware sees, repeats what was sent."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp.text = f"{_EXPECTATION}\n"
        return super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - parts of what was read, which are not repeated
    ) -> web.StreamResponse:
        """Answer what no handler could. Raise ConnectionError where there is nobody to answer, or half was said."""
        if isinstance(exc, ConnectionError):
            raise exc
        if isinstance(exc, HttpProcessingError):
            log.debug("a request could not be read", remote=request.remote, kind=type(exc).__name__)
        else:
            # Called while the exception is being handled, where there is one; aiohttp's own log entry says no more.
            log.exception("a request failed outside of its handler", status=status)  # noqa: LOG004
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if isinstance(exc, LineTooLong):
            return _Refusal(request, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LONG)
        return _Refusal(request, status, _MALFORMED if status < HTTPStatus.INTERNAL_SERVER_ERROR else _FAILED)


class _Refusal(web.Response):
    """The last answer on a connection.

    A connection that is closed while bytes lie unread is reset, and the answer is lost on its way. So our side is
    closed first, and what still comes is thrown away until the client closes too.
    """

    def __init__(self, request: web.BaseRequest, status: int, sentence: str) -> None:
        super().__init__(status=status, text=f"{sentence}\n", headers={"Cache-Control": "no-cache"})
        self._transport = request.transport
        self.force_close()

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        transport = self._transport
        if transport is None or transport.is_closing() or not transport.can_write_eof():
            return
        sink = _Sink(transport.get_protocol())
        transport.set_protocol(sink)
        transport.resume_reading()
        transport.write_eof()
        await asyncio.wait((sink.closed,), timeout=_LINGER_SECONDS)


class _Sink(asyncio.Protocol):
    """Throws away what comes, and tells the connection when it is over."""

    def __init__(self, connection: asyncio.BaseProtocol) -> None:
        self._connection: Any = connection
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Throw it away."""

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        self._connection.connection_lost(exc)
