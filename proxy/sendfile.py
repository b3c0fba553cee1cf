"""The body of an answer, parts of open files sent by the kernel on any event loop.

asyncio's own `sendfile` refuses every transport of uvloop, and aiohttp then copies through Python. Here the system call
is made directly, on a duplicate of the connection's descriptor: the transport keeps its own and never notices.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import os
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.page_cache import at_hand, bring
from buildthrough.proxy.ranges import Part

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from aiohttp import web
    from aiohttp.abc import AbstractStreamWriter

SLICE: Final = 1 << 20
"""Bytes per system call: nobody else is served in the meantime."""
FIRST_WINDOW: Final = 512 << 10
WINDOW: Final = 8 << 20
"""Bytes that are read from the disk at once where they are not in the page cache."""
STALL_SECONDS: Final = 120.0
"""A client that takes no byte for so long is cut."""
LOOK_SECONDS: Final = 5.0
"""How often a silent connection is looked at."""
COPY: Final = 256 << 10
_SHORTER: Final = "The file became shorter in the store while it was sent."


class Body:
    """The body of an answer on its way, behind the headers: bytes from memory, and parts of open files."""

    def __init__(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        writer: AbstractStreamWriter,
        *,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """Take a response, and what preparing it returned. A client that takes no byte for ``stall_seconds`` is cut."""
        self._response = response
        self._writer = writer
        self._transport = request.transport
        self._stall = stall_seconds
        self._out: int | None = None
        transport = self._transport
        is_plain = transport is not None and transport.get_extra_info("sslcontext") is None
        self.takes_files = is_plain and response.content_length is not None
        """Whether the kernel can send: the connection is not encrypted, and the body not in chunks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and self._transport is not None:
            # Half a body has left, and only a cut tells: also where the duplicate still holds the connection open.
            self._transport.abort()
        if self._out is not None:
            os.close(self._out)

    async def write(self, data: bytes) -> None:
        """Send bytes. Raise ConnectionError where the client leaves or stalls."""
        await write_patiently(self._response.write(data), self._transport, self._stall)

    async def send(self, descriptor: int, part: Part) -> None:
        """Send a part of the open file.

        Raise ConnectionError where the client leaves or stalls, `StorageFault` where the file cannot be read.
        """
        if not self.takes_files:
            await self._copy(descriptor, part)
            return
        transport = self._transport
        if transport is None:
            raise ConnectionResetError("the client left")
        await _flushed(transport, self._stall)
        if transport.is_closing():
            raise ConnectionResetError("the client left")
        if self._out is None:
            self._out = os.dup(transport.get_extra_info("socket").fileno())
        for window in _windows(part):
            if not at_hand(descriptor, window):
                await asyncio.to_thread(bring, descriptor, window)
            await _Sending(transport, self._out, descriptor, window, self._stall).run()
        self._writer.output_size += part.end - part.begin

    async def _copy(self, descriptor: int, part: Part) -> None:
        """Send through Python."""
        position = part.begin
        while position < part.end:
            data = await asyncio.to_thread(os.pread, descriptor, min(COPY, part.end - position), position)
            if not data:
                raise StorageFault(_SHORTER)
            position += len(data)
            await self.write(data)


def _windows(part: Part) -> Iterator[Part]:
    """Divide a part into what is looked for in the page cache at once: little at first, so that it begins soon."""
    begin, size = part.begin, FIRST_WINDOW
    while begin < part.end:
        end = min(begin + size, part.end)
        yield Part(begin=begin, end=end)
        begin, size = end, min(2 * size, WINDOW)


class _Sending:
    """Part of a body on its way."""

    def __init__(self, transport: asyncio.Transport, out: int, source: int, part: Part, stall: float) -> None:
        self._transport = transport
        self._out = out
        self._source = source
        self._position = part.begin
        self._end = part.end
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._seen = part.begin
        self._silent = 0.0
        self._stall = stall
        self._every = min(LOOK_SECONDS, stall / 2)
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Send until the end."""
        if self._transport.is_closing():  # while the window was brought
            raise ConnectionResetError("the client left")
        self._push()  # what is short leaves at once
        if self._done.done():
            await self._done
            return
        self._seen = self._position - _untaken(self._transport)  # what was sent before this part may wait there too
        self._loop.add_writer(self._out, self._push)
        self._timer = self._loop.call_later(self._every, self._look)
        try:
            await self._done
        finally:
            self._loop.remove_writer(self._out)  # before the descriptor is closed: epoll would keep it
            if self._timer is not None:
                self._timer.cancel()

    def _push(self) -> None:
        if self._done.done():
            return
        try:
            sent = os.sendfile(self._out, self._source, self._position, min(SLICE, self._end - self._position))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno == errno.EIO:
                self._done.set_exception(StorageFault("The file cannot be read from the store."))
            else:
                self._done.set_exception(ConnectionResetError(f"sending failed: {os.strerror(error.errno or 0)}"))
            return
        self._position += sent
        if self._position == self._end:
            self._done.set_result(None)
        elif not sent:
            self._done.set_exception(StorageFault(_SHORTER))

    def _look(self) -> None:
        if self._done.done():
            return
        taken = self._position - _untaken(self._transport)
        self._silent = 0.0 if taken > self._seen else self._silent + self._every
        self._seen = taken
        if self._transport.is_closing() or self._silent >= self._stall:
            self._done.set_exception(ConnectionResetError("the client left, or takes nothing"))
        else:
            self._timer = self._loop.call_later(self._every, self._look)


async def write_patiently(
    write: Coroutine[object, object, None], transport: asyncio.Transport | None, stall_seconds: float
) -> None:
    """Wait for a write as long as the client takes something, else cut it. Raise ConnectionError."""
    # In a task, since a write of aiohttp must not be cancelled: the connection would be of no use for its last words.
    writing = asyncio.ensure_future(write)
    held: int | None = None
    try:
        while not (await asyncio.wait((writing,), timeout=stall_seconds / 2))[0]:
            if transport is None:
                continue
            left = _untaken(transport)
            if held is not None and left >= held:
                transport.abort()
            held = left
    except asyncio.CancelledError:
        if transport is not None:
            transport.abort()
        await asyncio.wait((writing,))
        raise
    await writing


def _untaken(transport: asyncio.Transport) -> int:
    """Return the bytes that wait here for the client: in the transport and, megabytes at times, in the kernel."""
    descriptor = transport.get_extra_info("socket").fileno()
    count = array.array("i", [0])
    if descriptor >= 0:  # else it is closed
        with suppress(OSError):  # the connection is gone, and soon everybody knows
            fcntl.ioctl(descriptor, termios.TIOCOUTQ, count)
    return transport.get_write_buffer_size() + count[0]


async def _flushed(transport: asyncio.Transport, stall_seconds: float) -> None:
    """Wait until the transport has handed all it holds to the kernel: our bytes come behind."""
    if transport.get_write_buffer_size():
        await asyncio.sleep(0)  # uvloop writes at the end of its turn
    pause = 0.001
    silent, held = 0.0, transport.get_write_buffer_size()
    while held and not transport.is_closing():
        await asyncio.sleep(pause)
        left = transport.get_write_buffer_size()
        silent = silent + pause if left >= held else 0.0
        if silent > stall_seconds:
            raise ConnectionResetError("the client takes nothing")
        held = left
        pause = min(pause * 2, 0.05)
