"""Where a link of an upstream page leads, and where we serve the file behind it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, urljoin

_USER = re.compile(r"\A(https?://)[^/?#\\\s]*@", re.IGNORECASE)
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

    @property
    def public_url(self) -> str:
        """The URL as it may stand on a page of ours: a name and a password in it are not for our clients."""
        return _USER.sub(r"\1", self.url, count=1) if "@" in self.url else self.url


def locate(reference: str, base: str) -> Location | None:
    """Say where a reference found on the page at ``base`` leads; None where it is no http(s) URL."""
    match = _HTTP.fullmatch(reference)
    if match is None:
        try:
            reference = _join(reference.strip(), base)
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
    return Location(url, path if _is_plain(path) or not _AMBIGUOUS.search(path) else None, name, fragment)


def _is_plain(path: str) -> bool:
    """Whether a quick look is enough: nothing in it could be ambiguous. Pages have tens of thousands of paths."""
    return (
        path.isascii()
        and path.isprintable()
        and "%" not in path
        and "/." not in path
        and "//" not in path
        and "\\" not in path
        and path[:1] not in {"", ".", "/"}
        and path[-1] != "/"
    )


def _join(reference: str, base: str) -> str:
    if reference.startswith("/") and not reference.startswith("//") and "/." not in reference:
        return _origin(base) + reference  # what most indexes write; `urljoin` takes ten times as long
    return urljoin(base, reference)


@lru_cache(maxsize=64)
def _origin(url: str) -> str:
    return urljoin(url, "/").removesuffix("/")


def decoded(path: str) -> str:
    """Decode a path once: the key under which a request's path and a page's are the same (``%2B`` and ``+``)."""
    return unquote(path) if "%" in path else path


def is_ours(place: Location, filename: str, places: dict[str, str]) -> bool:
    """Whether a file can have a URL of ours: an unambiguous path that ends in its name and that no other file has."""
    if place.path is None or place.filename != filename or not filename:
        return False
    return places.setdefault(decoded(place.path), place.url) == place.url
