"""The sockets that clients connect to: how many are let in, who goes when there is no room, and who stalls.

asyncio's own servers let in everybody until the process has no descriptor left for a file or for upstream. Here the
number is bounded. Where it is reached, connections on which nothing happens are closed, those idle longest first; where
all are busy, new ones wait in the kernel's queue until one ends, which for a client is a slow answer and no error.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import resource
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from buildthrough.proxy import logs
from buildthrough.proxy.sendfile import STALL_SECONDS

if TYPE_CHECKING:
    from buildthrough.proxy.connection import Connection, Connections

log = logs.logger("listener")

BACKLOG: Final = 4096
"""Connections that wait in the kernel; it may allow fewer."""
_AT_ONCE: Final = 64
"""Connections taken in one turn of the loop, and idle ones closed at once to make room."""
_IDLE_SECONDS: Final = 1.0
"""A connection that is idle for a shorter time is not closed to make room: its next request may be on its way."""
_REST_SECONDS: Final = 0.5
"""How long no connection is taken after the machine had no descriptor for one."""
_LOOK_SECONDS: Final = 5.0
"""How often it is looked for clients that take nothing."""
_TELL_SECONDS: Final = 60.0
"""How often at most the log says that there is no room."""
_DESCRIPTORS_EACH: Final = 3
"""Of a connection: its socket, a file that is sent, and a duplicate of the socket for the kernel to send it to."""
_DESCRIPTORS_ELSE: Final = 256
"""For downloads, upstream, databases, builds."""
_LEAST: Final = 16
_TCP_INFO_ACKED: Final = struct.Struct("120xQ")
"""Where Linux keeps the bytes that the other side has acknowledged in its ``struct tcp_info``."""


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as the system lets it, and return how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems refuse; then it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft


def connections_within(descriptors: int, wanted: int) -> int:
    """Return how many connections so many open files allow, at most those that are wanted."""
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(_LEAST, (descriptors - _DESCRIPTORS_ELSE) // _DESCRIPTORS_EACH))


class Listener:
    """Listens, and lets in at most so many connections."""

    def __init__(self, connections: Connections, *, limit: int, stall_seconds: float = STALL_SECONDS) -> None:
        """Cut clients that take no byte for so long of what waits for them; files see to that themselves."""
        self._connections = connections
        self._limit = limit
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._beginning: set[asyncio.Task[None]] = set()
        self._listens = False
        self._retry: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._stalls: dict[Connection, tuple[int, float]] = {}
        self._tell_again = 0.0
        connections.on_end = self._ended

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen on all addresses of the host, and return the first with its port. Raise OSError."""
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                listening.setblocking(False)  # noqa: FBT003 - its only parameter
                self._sockets.append(listening)
        except OSError:
            self.close()
            raise
        self._resume()
        self._sweep = self._loop.call_later(_LOOK_SECONDS, self._cut_stalled)
        name: tuple[str, int] = self._sockets[0].getsockname()[:2]
        return name

    def close(self) -> None:
        """Take no more; those that wait in the queue are refused."""
        self._pause()
        for timer in (self._retry, self._sweep):
            if timer is not None:
                timer.cancel()
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    @property
    def _is_full(self) -> bool:
        return len(self._connections.open) + len(self._beginning) >= self._limit

    def _resume(self) -> None:
        if not self._listens:
            self._listens = True
            for listening in self._sockets:
                self._loop.add_reader(listening, self._accept, listening)

    def _pause(self, seconds: float | None = None) -> None:
        """Take nobody in, for so long or until one of those who are in leaves."""
        if self._listens:
            self._listens = False
            for listening in self._sockets:
                self._loop.remove_reader(listening)
        if seconds is not None and self._retry is None:
            self._retry = self._loop.call_later(seconds, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self._sockets:
            self._resume()

    def _ended(self) -> None:
        if not self._listens and self._sockets:
            if self._retry is not None:
                self._retry.cancel()
                self._retry = None
            self._resume()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if self._is_full:
                self._make_room()
                return
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            accepted.setblocking(False)  # noqa: FBT003 - its only parameter
            task = self._loop.create_task(self._begin(accepted))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._connections, accepted)
        except OSError as error:
            accepted.close()
            log.debug("a connection ended as it began", reason=error.strerror or str(error))

    def _make_room(self) -> None:
        """Close connections on which nothing happens; they go in a moment, and the next are taken then."""
        limit = self._loop.time() - _IDLE_SECONDS
        idle = [(since, id(one), one) for one in self._connections.open if (since := one.idle_since) is not None]
        chosen = heapq.nsmallest(_AT_ONCE, (entry for entry in idle if entry[0] <= limit))
        self._tell("there is no room for more connections; new ones wait", limit=self._limit, closed=len(chosen))
        self._pause(_IDLE_SECONDS)
        for _, _, one in chosen:
            one.force_close()

    def _rest(self, error: OSError) -> None:
        """Wait a little: the kernel says that one may come, and then that there is nothing to take it with."""
        if error.errno not in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
            log.error("a connection could not be taken", reason=error.strerror)
        else:
            self._tell("the machine has nothing left to take a connection with", reason=error.strerror)
        self._pause(_REST_SECONDS)

    def _tell(self, sentence: str, **more: object) -> None:
        now = self._loop.time()
        if now >= self._tell_again:
            self._tell_again = now + _TELL_SECONDS
            log.warning(sentence, **more)

    def _cut_stalled(self) -> None:
        """Cut clients that take nothing, also where the answer is long forgotten and only its last bytes wait."""
        self._sweep = self._loop.call_later(_LOOK_SECONDS, self._cut_stalled)
        now = self._loop.time()
        stalls: dict[Connection, tuple[int, float]] = {}
        for one in self._connections.open:
            if one.wire is None or not one.wire.get_write_buffer_size():
                continue
            taken = _taken(one.wire)
            before, since = self._stalls.get(one, (-1, now))
            stalls[one] = (taken, now if taken != before else since)
        self._stalls = stalls
        for one, (_, since) in stalls.items():
            if now - since >= self._stall_seconds and one.wire is not None:
                one.wire.abort()


def _taken(transport: asyncio.Transport) -> int:
    """Return how many bytes the client has acknowledged of all that was sent on this connection."""
    sock = transport.get_extra_info("socket")
    with suppress(OSError, struct.error, AttributeError):
        acked: int = _TCP_INFO_ACKED.unpack_from(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128))[0]
        return acked
    return transport.get_write_buffer_size()
