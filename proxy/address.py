"""Addresses at upstream. Pure."""

from __future__ import annotations

from urllib.parse import quote

from yarl import URL

from buildthrough.proxy.errors import UpstreamInvalid

_INDEX = "/simple/"


def index_url(url: str) -> URL:
    """Return an index's address without credentials, with a slash at its end. Raise ValueError where it is none."""
    parsed = URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"The upstream URL must be http or https: {shown(parsed)}")
    return URL(str(parsed.with_user(None).with_query(None).with_fragment(None)).rstrip("/") + "/")


def target(url: str) -> URL:
    """Return the URL as upstream wrote it, without what is the client's business."""
    try:
        parsed = URL(url, encoded=True)
        host = parsed.host
    except ValueError as error:
        raise UpstreamInvalid("Upstream lists a file at what is no URL.") from error
    if parsed.scheme not in {"http", "https"} or not host:
        raise UpstreamInvalid("Upstream lists a file at what is no http address.")
    return parsed.with_fragment(None)


def json_api_url(index: URL, project: str, version: str | None) -> URL | None:
    """Return where PyPI's JSON API speaks of a project, or of one release of it: beside the index, ``/simple/``.

    None where the index has another place, so that the API's is not known. The index's address ends in a slash.
    """
    text = str(index)
    if not text.endswith(_INDEX):
        return None
    release = "" if version is None else f"/{quote(version, safe='')}"
    return URL(f"{text.removesuffix(_INDEX)}/pypi/{quote(project, safe='')}{release}/json", encoded=True)


def origin(url: URL) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port, in one spelling: what is for one origin is for no other."""
    return url.scheme, url.host.lower() if url.host else None, url.port


def shown(url: URL) -> str:
    """Return the URL for a message: without credentials, of which a query may be one (a signed address)."""
    return str(url.with_user(None).with_query(None).with_fragment(None)) if url.host else url.path
