"""What is answered to a request for a file, before any byte of it: the status, the part, the headers (RFC 9110)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from buildthrough.proxy.ranges import Part, Unsatisfiable, is_unchanged, range_holds, requested_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildthrough.proxy.errors import ProxyError

CACHE_CONTROL: Final = "max-age=365000000, immutable, public"
"""PyPI's own value for files."""
LEFT: Final = 499
"""How a client that left is counted, as nginx does."""


class SentFile(web.StreamResponse):
    """A file that was sent, or of which a part was sent: then the connection is cut, the status line long gone."""

    left: bool = False
    """The client left, or took nothing for too long."""
    fault: ProxyError | None = None
    """What went wrong on our side or upstream's in the middle."""

    @property
    def outcome(self) -> int:
        """The status to count."""
        if self.fault is not None:
            return self.fault.status
        return LEFT if self.left else self.status


def outcome(response: web.StreamResponse) -> int:
    """Return the status to count for any response."""
    return response.outcome if isinstance(response, SentFile) else response.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is answered, before any byte of the file."""

    status: int
    part: Part | None
    """The bytes to send; None for the whole of a file whose size is not known yet."""


def decide(request: web.Request, size: int | None, etag: str | None) -> Head:
    """Decide about conditions and the range, in the order of RFC 9110, 13.2.2."""
    whole = None if size is None else Part(begin=0, end=size)
    if is_unchanged(request.headers.get(hdrs.IF_NONE_MATCH), etag):
        return Head(status=304, part=None)
    if size is None or request.method != hdrs.METH_GET or not range_holds(request.headers.get(hdrs.IF_RANGE), etag):
        return Head(status=200, part=whole)
    try:
        part = requested_part(request.headers.get(hdrs.RANGE), size)
    except Unsatisfiable:
        return Head(status=416, part=None)
    return Head(status=200, part=whole) if part is None else Head(status=206, part=part)


def begun(
    head: Head, size: int | None, etag: str | None, content_type: str, headers: Mapping[str, str] | None
) -> SentFile:
    """Return the response with its headers, to be prepared."""
    response = SentFile(status=head.status, headers=headers)
    if size is not None:  # else a range is answered by the whole file, and is not to be asked for
        response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    if head.status == 416:  # noqa: PLR2004
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{size}"
        response.content_length = 0
        return response
    response.headers[hdrs.CACHE_CONTROL] = CACHE_CONTROL
    if etag is not None:
        response.headers[hdrs.ETAG] = etag
    if head.status != 304:  # noqa: PLR2004
        response.content_type = content_type
    if head.part is not None:
        response.content_length = head.part.end - head.part.begin
    if head.status == 206 and head.part is not None:  # noqa: PLR2004
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {head.part.begin}-{head.part.end - 1}/{size}"
    return response
