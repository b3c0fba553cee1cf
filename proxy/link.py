"""Where a link of an upstream page leads, and where we serve the file behind it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urljoin

_HTTP = re.compile(r"https?://[^/?#\\\s]+/([^?#]*)(?:\?[^#]*)?(?:#(.*))?", re.IGNORECASE | re.DOTALL)

# Paths that somebody on the way could read as another path: empty, "." and ".." segments, however encoded, encoded
# separators, control characters, and halves of surrogate pairs, which no URL can hold.
_AMBIGUOUS = re.compile(
    r"(?:^|/)(?:\.|%2e){0,2}(?:/|\Z)|%2f|%5c|%[01][0-9a-f]|%7f|[\\\x00-\x1f\x7f\ud800-\udfff]", re.IGNORECASE
)


class Location(NamedTuple):
    """Where a file is."""

    url: str
    """Absolute upstream URL, without fragment, with its query."""
    path: str | None
    """Its path as upstream spelled it, without leading slash; None where we cannot serve it under our own URL."""
    filename: str
    """Last segment of the path, decoded; empty where there is none."""
    fragment: str


def locate(reference: str, base: str) -> Location | None:
    """Say where a reference found on the page at ``base`` leads; None where it is no http(s) URL."""
    match = _HTTP.fullmatch(reference)
    if match is None:
        try:
            reference = urljoin(base, reference.strip())
        except ValueError:  # such as an IPv6 address that never ends
            return None
        match = _HTTP.fullmatch(reference)
        if match is None:
            return None
    path: str = match[1]
    fragment: str = match[2] or ""
    url = reference[: match.start(2) - 1] if match[2] is not None else reference
    name = path.rpartition("/")[2]
    if "%" in name:
        name = unquote(name)
    return Location(url, None if _AMBIGUOUS.search(path) else path, name, fragment)


def decoded(path: str) -> str:
    """Decode a path once: the key under which a request's path and a page's are the same (``%2B`` and ``+``)."""
    return unquote(path) if "%" in path else path
