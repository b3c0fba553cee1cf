"""File descriptors between the host and one sandbox: pipes, and files that exist in memory only."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Pipes:
    """Opens descriptors and closes every one of them at the end; `close_inner` closes those that bwrap inherits."""

    def __init__(self) -> None:
        self._outer = ExitStack()
        self._inner = ExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_inner()
        self._outer.close()

    def file(self, content: bytes) -> int:
        """Return a descriptor of a file with this content, to be inherited."""
        descriptor = os.memfd_create("sandbox")
        self._inner.callback(os.close, descriptor)
        with open(descriptor, "wb", closefd=False) as file:  # a descriptor has no path
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    async def reader(self, protocol: Callable[[], P]) -> tuple[P, int]:
        """Return the protocol that reads a pipe, and the descriptor to write to."""
        read, write = os.pipe()
        self._inner.callback(os.close, write)
        transport, made = await asyncio.get_running_loop().connect_read_pipe(protocol, _End(read))
        self._outer.callback(transport.close)
        return made, write

    async def stream(self, limit: int) -> tuple[asyncio.StreamReader, int]:
        """Return a stream that reads a pipe, in lines of at most ``limit`` bytes, and the descriptor to write to."""
        stream = asyncio.StreamReader(limit)
        _, write = await self.reader(lambda: asyncio.StreamReaderProtocol(stream))
        return stream, write

    async def writer(self) -> tuple[asyncio.StreamWriter, int]:
        """Return a stream that writes to a pipe, and the descriptor to read from."""
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        self._inner.callback(os.close, read)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), _End(write)
        )
        self._outer.callback(_abort, transport)
        return asyncio.StreamWriter(transport, protocol, None, loop), read

    def close_inner(self) -> None:
        """Close our copies of what was inherited, so that the end of the sandbox is the end of its pipes."""
        self._inner.close()


class _End:
    """Our end of a pipe, to be given to an event loop, which closes it.

    uvloop closes the descriptor, and then also what it was given, a file object perhaps much later: by then the number
    may be a file that a thread has just opened. So on uvloop this closes nothing, and it never does so by itself.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_closed_by_loop = type(asyncio.get_running_loop()).__module__.partition(".")[0] == "uvloop"

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close it, where the loop leaves that to us."""
        if not self._is_closed_by_loop:
            os.close(self._descriptor)


def _abort(transport: asyncio.WriteTransport) -> None:
    """Drop what was not written yet. Asyncio's transports do not bear to be closed twice."""
    if not transport.is_closing():
        transport.abort()
