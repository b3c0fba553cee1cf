"""Remove a content coding, piece by piece and within bounds. Pure."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from buildthrough.proxy.errors import UpstreamInvalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED: Final = "gzip, deflate, zstd"
"""What may be asked for."""
_ZSTD_WINDOW: Final = 23
"""Largest window (8 MiB, as a power of two) that zstd may need as a content coding (RFC 9659)."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_ERRORS: Final = (zlib.error, zstd.ZstdError, EOFError)


class _Stream(Protocol):
    """One compressed stream: zlib's and zstd's objects."""

    @property
    def eof(self) -> bool:
        """Whether the stream ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the stream."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return what can be had of the data."""
        ...


class Decoder:
    """Takes a body of at most ``limit`` bytes out of its coding (RFC 9110, 8.4.1)."""

    def __init__(self, coding: str, limit: int) -> None:
        """Raise `UpstreamInvalid` for a coding that nobody asked for."""
        self._coding = coding.strip().lower()
        if self._coding not in {"", "identity", *_STREAMS}:
            raise UpstreamInvalid("Upstream's page is in a coding that was not asked for.")
        self._left = limit
        self._open = _STREAMS.get(self._coding)
        self._stream = self._open() if self._open else None
        self._is_begun = False

    def feed(self, raw: bytes) -> bytes:
        """Return what the next bytes hold. Raise `UpstreamInvalid` where they are broken, or hold too much."""
        try:
            data = raw if self._stream is None else self._inflate(raw)
        except _ERRORS as error:
            raise UpstreamInvalid("Upstream's page is broken: it cannot be decompressed.") from error
        self._is_begun = self._is_begun or bool(raw)
        self._left -= len(data)
        if self._left < 0:
            raise UpstreamInvalid("Upstream's page is larger than the limit once it is decompressed.")
        return data

    def finish(self) -> None:
        """Raise `UpstreamInvalid` where the body is cut."""
        if self._stream is not None and not self._stream.eof:
            raise UpstreamInvalid("Upstream's page is cut: it ends before its compressed data does.")

    def _inflate(self, raw: bytes) -> bytes:
        """Members may follow each other (RFC 1952, 2.2; RFC 8878, 3)."""
        parts: list[bytes] = []
        left = self._left + 1
        while raw and left > 0:
            if self._stream is None or self._open is None:
                raise AssertionError("there is a coding")
            if self._stream.eof:
                if self._coding == "deflate":
                    break  # what follows is nothing
                self._stream = self._open()
            part = self._part(raw, left)
            parts.append(part)
            left -= len(part)
            raw = self._stream.unused_data if self._stream.eof else b""
        return b"".join(parts)

    def _part(self, raw: bytes, left: int) -> bytes:
        if self._stream is None:
            raise AssertionError("there is a coding")
        try:
            return self._stream.decompress(raw, left)
        except zlib.error:
            if self._coding != "deflate" or self._is_begun:
                raise
            stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)  # some servers send the bare stream for zlib's
            self._stream = stream
            return stream.decompress(raw, left)


def decode(raw: bytes, coding: str, limit: int) -> bytes:
    """Return a whole body without its coding. Raise `UpstreamInvalid` where it is broken, cut or larger."""
    decoder = Decoder(coding, limit)
    body = decoder.feed(raw)
    decoder.finish()
    return body


def _zstd() -> _Stream:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW})


def _gzip() -> _Stream:
    return zlib.decompressobj(wbits=_GZIP)


def _deflate() -> _Stream:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS)


_STREAMS: Final[dict[str, Callable[[], _Stream]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
