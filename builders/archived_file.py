"""One file of an archive, read here and there without ever being written anywhere.

What fits is held in memory. What does not is unpacked again from its beginning whenever it is read backwards, and that
a bounded number of times: a stranger says where to read.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buildthrough.builders.archive import Archive
    from buildthrough.builders.archive_entry import Entry

_HELD_BYTES = 64 << 20
_WINDOW = 1 << 20
_PASSES = 8


def open_entry(archive: Archive, entry: Entry) -> BinaryIO:
    """Return a file with ``seek`` from its beginning, and ``read``. Reading raises ValueError once it is too much."""
    if entry.size <= _HELD_BYTES:
        return io.BytesIO(archive.read(entry, limit=_HELD_BYTES))
    return cast("BinaryIO", _Passes(archive, entry))


class _Passes:
    """Reads through an entry again and again; the last piece read is kept."""

    def __init__(self, archive: Archive, entry: Entry) -> None:
        self._archive = archive
        self._entry = entry
        self._position = 0
        self._chunks: Iterator[bytes] = iter(())
        self._next = entry.size
        """Where the next chunk begins."""
        self._passes = 0
        self._window = b""
        self._window_at = 0

    def seek(self, position: int) -> int:
        self._position = position
        return position

    def read(self, size: int) -> bytes:
        """Return as many bytes, fewer at the end."""
        end = min(self._position + size, self._entry.size)
        if self._position >= end:
            return b""
        if not self._window_at <= self._position <= end <= self._window_at + len(self._window):
            self._fill(self._position, max(end, min(self._position + _WINDOW, self._entry.size)))
        start = self._position - self._window_at
        piece = self._window[start : start + end - self._position]
        self._position = end
        return piece

    def _fill(self, start: int, end: int) -> None:
        if start < self._next:
            self._passes += 1
            if self._passes > _PASSES:
                raise ValueError("it is to be read backwards all the time")
            self._chunks, self._next = self._archive.chunks(self._entry), 0
        kept = bytearray()
        while self._next < end:
            chunk = next(self._chunks, b"")
            if not chunk:
                if self._next < end:
                    raise ValueError("it ends too early")
                break
            first = max(start - self._next, 0)
            kept += chunk[first:]
            self._next += len(chunk)
        self._window, self._window_at = bytes(kept), start
