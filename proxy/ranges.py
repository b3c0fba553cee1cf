"""Which bytes of a file a request asks for (RFC 9110, 13 and 14). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The bytes ``begin`` to ``end``, without ``end``."""

    begin: int
    end: int


class Unsatisfiable(Exception):
    """No byte of the range exists: 416."""


def requested_part(header: str | None, size: int) -> Part | None:
    """Return what a Range header asks for, None for the whole file.

    Several ranges, other units and what is no range are the whole file, as RFC 9110 14.2 allows.
    Raise `Unsatisfiable`.
    """
    match = _RANGE.fullmatch(header) if header else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if not int(suffix) or not size:
            raise Unsatisfiable
        return Part(begin=max(0, size - int(suffix)), end=size)
    begin = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < begin:
        return None
    if begin >= size:
        raise Unsatisfiable
    return Part(begin=begin, end=end)


def range_holds(if_range: str | None, etag: str | None) -> bool:
    """Whether the Range header counts: If-Range is absent, or names our strong ETag. A date never does."""
    return if_range is None or (etag is not None and if_range.strip() == etag)


def is_unchanged(if_none_match: str | None, etag: str | None) -> bool:
    """Whether the client has these very bytes already (RFC 9110, 13.1.2: weak comparison)."""
    if if_none_match is None or etag is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


def content_range(header: str | None) -> tuple[int | None, int | None]:
    """Return where a partial answer begins, and the size of the whole; None for what it does not say."""
    match = _CONTENT_RANGE.fullmatch(header or "")
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])
