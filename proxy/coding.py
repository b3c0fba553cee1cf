"""Remove a content coding within bounds. Pure."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.errors import UpstreamInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

GZIP: Final = 16 + zlib.MAX_WBITS
ZLIB: Final = zlib.MAX_WBITS
RAW: Final = -zlib.MAX_WBITS


def decode(raw: bytes | bytearray, coding: str, limit: int) -> bytes:
    """Return the body without its coding (RFC 9110, 8.4.1): at most ``limit`` bytes, and whole.

    Raise `UpstreamInvalid` where it is broken, cut, larger, or of a coding that nobody asked for.
    """
    remove = _CODINGS.get(coding.strip().lower())
    if remove is None:
        raise UpstreamInvalid("Upstream's page is in a coding that was not asked for.")
    try:
        return remove(raw, limit)
    except zlib.error as error:
        raise UpstreamInvalid("Upstream's page is broken: it cannot be decompressed.") from error


def _identity(raw: bytes | bytearray, _limit: int) -> bytes:
    return bytes(raw)


def _gzip(raw: bytes | bytearray, limit: int) -> bytes:
    """Members may follow each other (RFC 1952, 2.2)."""
    parts: list[bytes] = []
    rest = bytes(raw)
    while rest or not parts:
        part, rest = _inflate(rest, GZIP, limit - sum(map(len, parts)))
        parts.append(part)
    return b"".join(parts)


def _deflate(raw: bytes | bytearray, limit: int) -> bytes:
    """Meant is zlib's format (RFC 1950); some servers send the bare stream."""
    try:
        return _inflate(bytes(raw), ZLIB, limit)[0]
    except zlib.error:
        return _inflate(bytes(raw), RAW, limit)[0]


def _inflate(raw: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    """Return what the stream holds, and what follows the stream."""
    stream = zlib.decompressobj(wbits=window)
    body = stream.decompress(raw, limit + 1)
    if len(body) > limit:
        raise UpstreamInvalid("Upstream's page is larger than the limit once it is decompressed.")
    if not stream.eof:
        raise UpstreamInvalid("Upstream's page is cut: it ends before its compressed data does.")
    return body, stream.unused_data


_CODINGS: Final[dict[str, Callable[[bytes | bytearray, int], bytes]]] = {
    "": _identity,
    "identity": _identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
}
