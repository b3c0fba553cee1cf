"""Editing text by splices: what is not replaced leaves as it came, byte for byte.

Pages reach tens of megabytes and are worked on in threads beside the event loop, so nothing here holds the
interpreter for long: big texts are decoded and encoded piece by piece.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CHUNK = 1 << 18  # bytes decoded at a time, well under a millisecond
_BATCH = 4096  # pieces joined at a time

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Edit(NamedTuple):
    """Replace ``text[start:end]``."""

    start: int
    end: int
    text: str
    rooted: bool
    """Whether ``text`` is a file's path, to be written behind the way to the files of its project."""


def splice(text: str, edits: Iterable[Edit], root: str) -> bytes:
    """Return the text in UTF-8, with the edits made, which come in order and do not overlap."""
    whole: list[bytes] = []
    pieces: list[bytes] = []
    way = root.encode()
    at = 0
    for start, end, new, rooted in edits:
        pieces.append(text[at:start].encode())
        if rooted:
            pieces.append(way)
        pieces.append(new.encode())
        at = end
        if len(pieces) >= _BATCH:  # joining and dropping a million pieces at once takes a third of a second
            whole.append(b"".join(pieces))
            pieces.clear()
    whole += pieces
    whole.extend(text[i : i + _CHUNK].encode() for i in range(at, len(text), _CHUNK))
    return b"".join(whole)


def cuts(spans: Sequence[tuple[int, int]], gone: Sequence[bool]) -> list[Edit]:
    """Return the edits that take elements out of a list, with what stands between them and their neighbours.

    ``spans`` is where the elements stand; the brackets around them, and the blanks inside, stay.
    """
    edits: list[Edit] = []
    kept: int | None = None
    at, count = 0, len(spans)
    while at < count:
        first = at
        while at < count and gone[at]:
            at += 1
        if at > first:
            begin = spans[first][0] if kept is None else kept
            end = spans[at - 1][1] if kept is not None or at == count else spans[at][0]
            edits.append(Edit(begin, end, "", rooted=False))
        if at < count:
            kept = spans[at][1]
            at += 1
    return edits


def outside(edits: Sequence[Edit], gone: Sequence[Edit]) -> list[Edit]:
    """Return, in order, the cuts and the edits that are in none of them."""
    left = list(gone)
    at = 0
    for edit in edits:
        while at < len(gone) and gone[at].end <= edit.start:
            at += 1
        if at == len(gone) or edit.start < gone[at].start:
            left.append(edit)
    return sorted(left)


def decode(body: bytes, charset: str | None) -> str:
    """Decode a body: by its byte order mark, else by the charset of its Content-Type, else as UTF-8.

    Raise ValueError (also LookupError's, for an unknown charset) where it cannot be done. The mark of UTF-8 stays in
    the text, so that encoding it gives the same bytes.
    """
    codec = next((name for mark, name in _BYTE_ORDER_MARKS if body.startswith(mark)), charset or "utf-8")
    try:
        info = codecs.lookup(codec)
    except LookupError as error:
        raise ValueError(str(error)) from error
    if not info._is_text_encoding:  # noqa: SLF001 # the only way to tell "rot13" and "zlib" from a charset
        msg = f"{codec!r} is no charset"
        raise ValueError(msg)
    if codec == "utf-8" and body.isascii():
        return body.decode("ascii")
    decoder = info.incrementaldecoder("strict")
    view = memoryview(body)
    pieces = [decoder.decode(bytes(view[i : i + _CHUNK])) for i in range(0, len(body), _CHUNK)]
    pieces.append(decoder.decode(b"", final=True))
    return "".join(pieces)
