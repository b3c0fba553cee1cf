"""Addresses at upstream. Pure."""

from __future__ import annotations

from yarl import URL

from buildthrough.proxy.errors import UpstreamInvalid


def target(url: str) -> URL:
    """Return the URL as upstream wrote it, without what is the client's business."""
    try:
        parsed = URL(url, encoded=True)
    except ValueError as error:
        raise UpstreamInvalid("Upstream lists a file at what is no URL.") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UpstreamInvalid("Upstream lists a file at what is no http address.")
    return parsed.with_fragment(None)


def shown(url: URL) -> str:
    """Return the URL for a message: without credentials."""
    return str(url.with_user(None)) if url.host else str(url)
