"""What the use cases of the index answer with: pages and files to send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from buildthrough.proxy.blobs import Blob
    from buildthrough.proxy.download import Download
    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.freshness import Freshness
    from buildthrough.proxy.rendered import Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPage:
    """A page to send."""

    rendered: Rendered
    last_serial: str | None
    freshness: Freshness


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedPage:
    """A long page that is sent while it arrives."""

    last_serial: str | None
    chunks: AsyncIterator[bytes]
    """Raises what went wrong: then the page is not whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """A file to send: kept already, or arriving."""

    source: Blob | Download
    entry: Entry
    files: Callable[[], Awaitable[ProjectFiles]]
    """What is listed beside it when it is asked for."""
    sha256: str | None
    is_metadata: bool
