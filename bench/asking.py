"""One request over a connection of its own: what came, how many bytes on the wire, and how long it took."""

from __future__ import annotations

import gzip
import http.client
import json
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
"""What pip and uv send, so that a peer without JSON answers as well."""
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came."""

    url: str
    status: int
    headers: Mapping[str, str]
    wire: bytes
    """The body as it came, compressed or not."""
    seconds: float
    """From before the connection was made to the last byte."""

    @property
    def coding(self) -> str:
        """What the body is compressed with: ``identity`` if with nothing."""
        return self.headers.get("Content-Encoding", "identity")

    @property
    def body(self) -> bytes:
        """The body without gzip. Raise `ValueError` for any other coding."""
        match self.coding:
            case "identity":
                return self.wire
            case "gzip":
                return gzip.decompress(self.wire)
            case "deflate":
                return zlib.decompress(self.wire)
            case other:
                raise ValueError(f"cannot read {other}")

    def files(self) -> dict[str, str]:
        """Return the whole URLs of a page's files by their names; empty for what is no page."""
        if "json" in self.headers.get("Content-Type", ""):
            listed: list[dict[str, Any]] = json.loads(self.body).get("files", [])
            return {file["filename"]: urljoin(self.url, file["url"]) for file in listed}
        links = self.body.decode().split('href="')[1:]
        urls = [urljoin(self.url, link.partition('"')[0].partition("#")[0]) for link in links]
        return {url.rpartition("/")[2]: url for url in urls if url.endswith((".whl", ".tar.gz"))}


def ask(url: str, headers: Mapping[str, str] | None = None, *, timeout: float = 120, follow: bool = True) -> Answer:
    """Ask, with redirects followed."""
    began = time.perf_counter()
    for _ in range(4):
        parts = urlsplit(url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        try:
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request(
                "GET", path, headers={"Accept": ACCEPT, "Accept-Encoding": "identity", **(headers or {})}
            )
            answer = connection.getresponse()
            wire = answer.read()
        except http.client.HTTPException as broken:
            raise ConnectionError(f"{url}: {broken!r}") from broken
        finally:
            connection.close()
        if follow and answer.status in REDIRECTS:
            url = urljoin(url, answer.headers["Location"])
            continue
        return Answer(url, answer.status, answer.headers, wire, time.perf_counter() - began)
    raise ConnectionError(f"{url}: too many redirects")
