"""Connections to clients: what is no HTTP, or too much, or too slow, is told so in a sentence, then closed in order.

aiohttp answers such requests itself, before any route or middleware, with parts of what it read; it bounds each header
but not all together, and waits for the rest of a request for ever. These classes stand between. They add nothing to
requests that are well-formed.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo  # how aiohttp queues an answer to what it could not read

from buildthrough.proxy import logs
from buildthrough.proxy.shortcut import SHORTCUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from aiohttp.streams import StreamReader

    from buildthrough.proxy.shortcut import Shortcut

    _Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

log = logs.logger("connection")

MAX_FIELD_BYTES: Final = 128 << 10
"""Longest header field that is read; a User-Agent of that size is answered like any unknown client."""
MAX_LINE_BYTES: Final = 16 << 10
"""Longest request line that is read."""
MAX_HEAD_BYTES: Final = 256 << 10
"""All headers of a request together, and of all requests that wait behind one on its connection; to within what one
read of the socket gives."""

_LINGER_SECONDS = 2.0
"""How long a client that has its answer may go on sending, so that it gets to read it."""
_FAILED = "The server failed on this request; its log says why."
_TOO_LONG = "The request line, or a header of the request, is longer than this server reads."
_TOO_MUCH = "The headers of the request are together longer than this server reads."
_TOO_SLOW = "The request did not arrive in time."
_EXPECTATION = "The request expects what this server does not know; it knows 100-continue."
_MALFORMED = "The request is no well-formed HTTP."


class _TooMuch(HttpProcessingError):
    """The headers of a request are too long together."""


class _TooSlow(HttpProcessingError):
    """The headers of a request did not arrive in time."""


_REFUSALS: dict[type[BaseException], tuple[HTTPStatus, str]] = {
    LineTooLong: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LONG),
    _TooMuch: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_MUCH),
    _TooSlow: (HTTPStatus.REQUEST_TIMEOUT, _TOO_SLOW),
}


class Runner(web.AppRunner):
    """Runs an application over `Connection`."""

    def __init__(self, app: web.Application, *, head_seconds: float, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        """Give each request so many seconds from the first byte of its headers to their last."""
        super().__init__(
            app,
            # Bodies are small and JSON: what is packed is no use to anybody but for blowing up.
            auto_decompress=False,
            max_field_size=MAX_FIELD_BYTES,
            max_line_size=MAX_LINE_BYTES,
            lingering_time=_LINGER_SECONDS,
            **options,
        )
        self._head_seconds = head_seconds
        self.connections: Connections
        """There after `setup`."""

    async def _make_server(self) -> Connections:
        made = await super()._make_server()
        shortcut = self._app.get(SHORTCUT)
        self.connections = Connections(
            made.request_handler if shortcut is None else _after(shortcut, made.request_handler),
            head_seconds=self._head_seconds,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **made._kwargs,  # noqa: SLF001 - aiohttp has no other way to name the class of its connections
        )
        return self.connections


def _after(shortcut: Shortcut, handle: _Handler) -> _Handler:
    """Return a handler that is asked only where the shortcut has no answer."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return shortcut.answer(request) or await handle(request)

    return handler


class Connections(web.Server):
    """Makes connections, and knows those that are open."""

    def __init__(self, *given: Any, head_seconds: float, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(*given, **options)
        self._head_seconds = head_seconds
        self.open: set[Connection] = set()
        """Those whose socket is open; `connections` are those of which a task still runs."""
        self.on_end: Callable[[], None] = lambda: None
        """Called when one has ended."""

    def __call__(self) -> Connection:
        """Make one that begins."""
        return Connection(self, loop=self._loop, head_seconds=self._head_seconds, **self._kwargs)


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_body", "_connections", "_head_bytes", "_head_seconds", "_head_timer", "_refused", "wire")

    def __init__(self, manager: Connections, *, head_seconds: float, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(manager, **options)
        self._connections = manager
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body: StreamReader | None = None
        """Of the request that was read last."""
        self._refused = False
        self.wire: asyncio.Transport | None = None
        """The transport for as long as it is open; aiohttp forgets it when it asks it to close."""

    @property
    def idle_since(self) -> float | None:
        """The loop's time since which nothing was under way; None where something is, or is beginning."""
        if self._waiter is None or self._waiter.done() or self._head_bytes or self._force_close:
            return None
        return self._next_keepalive_close_time - self._keepalive_timeout

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.wire = self.transport
        self._connections.open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self._head_over()
        self._body = None
        super().connection_lost(exc)
        if self.wire is not None:
            self.wire = None
            self._connections.open.discard(self)
            self._connections.on_end()

    def data_received(self, data: bytes) -> None:
        """Read on, in bounds."""
        if self._refused:
            return  # thrown away, and nobody waits for more
        asked = self._request_count
        super().data_received(data)
        if self._request_count != asked:
            self._head_over()
            if self._messages:
                message, self._body = self._messages[-1]
                self._refused = isinstance(message, _ErrInfo)
                if len(self._messages) > 1 and self._holds_too_much:
                    self._pause_reading_for_buffer()
        elif data and (self._body is None or self._body.is_eof()):
            self._head_grows(len(data))

    def _head_grows(self, count: int) -> None:
        """Note bytes after which some headers are not complete yet.

        Those that came together with the end of the request before are not among them: aiohttp keeps to itself how far
        it read. They are few, and the limit for idle connections holds for them too.
        """
        self._head_bytes += count
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_TooMuch())
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._head_seconds, self._head_late, self._request_count)

    def _head_over(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self, asked: int) -> None:
        self._head_timer = None
        if asked == self._request_count and not self._refused:
            self._refuse(_TooSlow())

    def _refuse(self, why: HttpProcessingError) -> None:
        """Answer so as the last thing on this connection, after what is under way."""
        self._head_over()
        self._refused = True
        self._request_count += 1
        self._messages.append((_ErrInfo(status=HTTPStatus.BAD_REQUEST, exc=why, message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def _holds_too_much(self) -> bool:
        """Whether the requests that wait on this connection are long together."""
        size = 0
        for message, _ in self._messages:
            if not isinstance(message, _ErrInfo):
                size += len(message.path) + sum(len(name) + len(value) for name, value in message.raw_headers)
        return size > MAX_HEAD_BYTES

    def _resume_reading_if_drained(self) -> None:
        if not self._holds_too_much:
            super()._resume_reading_if_drained()

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
        for kind, (status_of_kind, sentence) in _REFUSALS.items():
            if isinstance(exc, kind):
                return _Refusal(request, status_of_kind, sentence)
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
