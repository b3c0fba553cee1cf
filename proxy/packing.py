"""Compress what is sent while it is made: in haste, piece after piece, in a thread beside the one that makes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.rendered import compressor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from buildthrough.proxy.negotiation import Coding

BATCH: Final = 256 << 10
"""Bytes that are handed over at a time. The thread is made for the first of them: most pages have fewer."""


class Packing:
    """A body in one coding. Used by one thread at a time."""

    def __init__(self, coding: Coding, give: Callable[[bytes], None]) -> None:
        """``give`` is called in the thread with what is compressed, in order."""
        self._compress, self._flush = compressor(coding, in_haste=True)
        self._give = give
        self._waiting: list[bytes] = []
        self._size = 0
        self._thread: ThreadPoolExecutor | None = None
        self._handed: list[Future[None]] = []

    def put(self, data: bytes) -> None:
        """Take the next bytes."""
        self._waiting.append(data)
        self._size += len(data)
        if self._size < BATCH:
            return
        self._thread = self._thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="packing")
        self._handed.append(self._thread.submit(self._pack, self._waiting))
        self._waiting, self._size = [], 0

    def last(self, data: bytes) -> bytes:
        """Take the last bytes. Return the end of the compressed body, once all before it was given. Blocking."""
        for handed in self._handed:
            handed.result()
        self.end()
        return b"".join(map(self._compress, [*self._waiting, data])) + self._flush()

    def end(self) -> None:
        """Let the thread go, when it is done with what it has."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _pack(self, pieces: Sequence[bytes]) -> None:
        packed = b"".join(map(self._compress, pieces))
        if packed:
            self._give(packed)
