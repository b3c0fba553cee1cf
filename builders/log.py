"""What a command prints: always read, kept in part."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

FLOOD = 256
"""How many times the kept size a command may print."""


class Log(asyncio.Protocol):
    """Keeps the head and the tail of the output, each of a bounded size in bytes, and counts the rest."""

    def __init__(self, size: int, heard: Callable[[], None]) -> None:
        """Keep twice ``size`` bytes; call ``heard`` for every piece that comes."""
        self._size = size
        self._heard = heard
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0
        self._flooded = asyncio.Event()
        self._closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Take the next piece."""
        self._heard()
        room = self._size - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._size:
            self._trim()
        if len(self._head) + len(self._tail) + self._left_out > FLOOD * self._size:
            self._flooded.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # asyncio's signature
        """Note that nothing more can come."""
        self._closed.set()

    async def overrun(self) -> Literal["log"]:
        """Wait until far too much was printed."""
        await self._flooded.wait()
        return "log"

    async def closed(self) -> None:
        """Wait until everything was read."""
        await self._closed.wait()

    def text(self) -> bytes:
        """Return the head and the tail, and between them how much was left out."""
        self._trim()
        if not self._left_out:
            return bytes(self._head + self._tail)
        return bytes(self._head) + b"\n[... %d bytes left out ...]\n" % self._left_out + bytes(self._tail)

    def _trim(self) -> None:
        excess = len(self._tail) - self._size
        if excess > 0:
            del self._tail[:excess]
            self._left_out += excess
