"""Pages as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

from buildthrough.proxy.page_answer import PageAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHead:
    """What is known of a page without its body."""

    content_type: str
    url: str
    etag: str | None
    last_serial: str | None
    upstream: str
    digest: str
    """Of the body, see `PageAnswer.digest`."""
    fetched: float
    """When upstream last said that it is so, in Unix seconds."""

    def answer(self, body: bytes) -> PageAnswer:
        """Return the whole page."""
        return PageAnswer(
            body=body,
            content_type=self.content_type,
            url=self.url,
            etag=self.etag,
            last_serial=self.last_serial,
            upstream=self.upstream,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPage:
    """A whole page, and when upstream last said that it is so."""

    answer: PageAnswer
    fetched: float
    """Unix seconds."""
