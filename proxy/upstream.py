"""The `Upstream` port: ask the index that we stand in front of for a page or a file; and the client that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAnswer:
    """A page as upstream sent it, its content coding removed."""

    body: bytes
    content_type: str
    """The response's Content-Type as sent, never what was asked for."""
    url: str
    """The final URL, which relative links are relative to."""
    etag: str | None
    last_serial: str | None
    """``X-PyPI-Last-Serial``, where upstream has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """A file that is arriving."""

    size: int | None
    """Bytes of the whole file, where upstream says it."""
    offset: int
    """Where the chunks begin: 0, or what was asked for and granted."""
    chunks: AsyncIterator[bytes]
    """Raises `UpstreamUnavailable` where the file breaks off."""


class Upstream(Protocol):
    """The index that we stand in front of."""

    async def page(self, project: str | None, etag: str | None) -> PageAnswer | None:
        """Return a project's page, the project list for None as the project; None where it is still what the ETag names.

        Raise `UnknownProject`, `UpstreamUnavailable` or `UpstreamInvalid`.
        """
        ...

    def file(self, url: str, offset: int = 0) -> AbstractAsyncContextManager[FileAnswer]:
        """Open a file. Raise `NotFound` where upstream says so (404, 410), else `UpstreamUnavailable`."""
        ...

    async def size(self, url: str) -> int | None:
        """Return a file's size without fetching it, None where upstream does not say. Raise as `file` does."""
        ...
