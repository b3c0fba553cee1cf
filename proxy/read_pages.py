"""Pages that were read: in memory as long as there is room, read again from the store when they are wanted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from buildthrough.proxy.flight import Flights
from buildthrough.proxy.page import read_page
from buildthrough.proxy.shelf import Shelf

if TYPE_CHECKING:
    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.page import Page
    from buildthrough.proxy.pages import PageStore
    from buildthrough.proxy.stored_page import StoredHead

_WEIGHT: Final[dict[str, float]] = {"json": 1.2, "html": 6}
"""Bytes in memory for each byte of a page: its text and where its files stand, in HTML also what it says of each."""
_FILE_WEIGHT: Final = 1_500
"""Bytes in memory of each file, where all of a page in JSON were looked at."""


class ReadPages:
    """The pages that were used last."""

    def __init__(self, store: PageStore, memory_bytes: int) -> None:
        self._store = store
        self._shelf: Shelf[str, tuple[str, Page]] = Shelf(memory_bytes)
        """By project: the digest, and the page."""
        self._reading: Flights[tuple[str, str], Page | None] = Flights()

    async def close(self) -> None:
        """End what is under way."""
        await self._reading.close()

    def put(self, project: str, digest: str, page: Page, size: int) -> None:
        """Keep a page of so many bytes."""
        self._shelf.put(project, (digest, page), int(size * _WEIGHT[page.form]))

    def drop(self, project: str) -> None:
        """Forget a page."""
        self._shelf.drop(project)

    async def get(self, project: str, head: StoredHead) -> Page | None:
        """Return the page with this head, None where it was lost. Raise `UpstreamInvalid` where it is none any more."""
        known = self._shelf.get(project)
        if known is not None and known[0] == head.digest:
            return known[1]
        return await self._reading.join((project, head.digest), lambda: self._read(project, head))

    async def files(self, project: str, page: Page) -> ProjectFiles:
        """Return all that a page lists."""
        if not page.has_files:
            files = await asyncio.to_thread(lambda: page.files)
            if page.form == "json":
                self._shelf.add_weight(project, len(files.entries) * _FILE_WEIGHT)
        return page.files

    @staticmethod
    async def entry(page: Page, path: str) -> Entry | None:
        """Return the file that a page lists under this path."""
        return page.entry(path) if page.is_indexed else await asyncio.to_thread(page.entry, path)

    async def _read(self, project: str, head: StoredHead) -> Page | None:
        body = await self._store.body(project, head.digest)
        if body is None:
            return None
        page = await asyncio.to_thread(read_page, head.answer(body), project)
        self.put(project, head.digest, page, len(body))
        return page
