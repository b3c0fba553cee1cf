"""Send part of an open file by the kernel, on any event loop.

asyncio's own `sendfile` refuses every transport of uvloop, and aiohttp then copies through Python. Here the system call
is made directly, on a duplicate of the connection's descriptor: the transport keeps its own and never notices.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.abc import AbstractStreamWriter

SLICE: Final = 1 << 20
"""Bytes per system call: what lies on a cold disk holds the loop for so long and no longer."""
STALL_SECONDS: Final = 120.0
"""A client that takes no byte for so long is cut."""
LOOK_SECONDS: Final = 5.0
"""How often a silent connection is looked at."""
COPY: Final = 256 << 10


async def send_file(
    request: web.BaseRequest, writer: AbstractStreamWriter, descriptor: int, begin: int, end: int
) -> None:
    """Send the bytes ``begin`` to ``end`` behind the headers. Raise ConnectionError where the client leaves."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client left")
    await writer.drain()
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None:
        await _copy(writer, descriptor, begin, end)
        return
    writer.send_headers()
    await _flushed(transport)
    if transport.is_closing():
        raise ConnectionResetError("the client left")
    duplicate = os.dup(sock.fileno())
    try:
        await _Sending(transport, duplicate, descriptor, begin, end).run()
    except BaseException:
        # Half a body has left, and only a cut tells: also where the duplicate still holds the connection open.
        transport.abort()
        raise
    finally:
        os.close(duplicate)
    writer.output_size += end - begin


class _Sending:
    """One body on its way."""

    def __init__(self, transport: asyncio.Transport, out: int, source: int, begin: int, end: int) -> None:
        self._transport = transport
        self._out = out
        self._source = source
        self._position = begin
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._seen = begin
        self._silent = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Send until the end."""
        self._loop.add_writer(self._out, self._push)
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
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
            self._done.set_exception(ConnectionResetError(f"sending failed: {os.strerror(error.errno or 0)}"))
            return
        self._position += sent
        if self._position == self._end:
            self._done.set_result(None)
        elif not sent:
            self._done.set_exception(ConnectionResetError("the file became shorter while it was sent"))

    def _look(self) -> None:
        if self._done.done():
            return
        self._silent = 0.0 if self._position > self._seen else self._silent + LOOK_SECONDS
        self._seen = self._position
        if self._transport.is_closing() or self._silent >= STALL_SECONDS:
            self._done.set_exception(ConnectionResetError("the client left, or takes nothing"))
        else:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)


async def _flushed(transport: asyncio.Transport) -> None:
    """Wait until the transport has handed all it holds to the kernel: our bytes come behind."""
    await asyncio.sleep(0)  # uvloop writes at the end of its turn
    pause = 0.001
    while transport.get_write_buffer_size() and not transport.is_closing():
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)


async def _copy(writer: AbstractStreamWriter, descriptor: int, begin: int, end: int) -> None:
    """Send through Python, where the connection is encrypted."""
    while begin < end:
        data = await asyncio.to_thread(os.pread, descriptor, min(COPY, end - begin), begin)
        if not data:
            raise ConnectionResetError("the file became shorter while it was sent")
        begin += len(data)
        await writer.write(data)
