"""What upstream says of each project now: asked by many at once, read once, kept in memory and in the page store.

Upstream's failure never shrinks it: the last good page is used, marked stale, and never a 404 for a 5xx.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buildthrough.proxy import logs
from buildthrough.proxy.errors import UnknownProject, UpstreamFault, UpstreamInvalid, UpstreamUnavailable
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.freshness import HIT, MISS, REVALIDATED, Freshness
from buildthrough.proxy.link import decoded
from buildthrough.proxy.page import read_page
from buildthrough.proxy.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.negotiation import Form
    from buildthrough.proxy.page import Page
    from buildthrough.proxy.pages import PageStore
    from buildthrough.proxy.patience import Patience
    from buildthrough.proxy.upstream import PageAnswer, Upstream

log = logs.logger("current")

_ABSENT_SECONDS = 60.0
"""Longest time that an unknown project is taken for unknown without asking again."""
_PAUSE_SECONDS = 5.0
"""Longest time that upstream is left alone after it failed, while there is a stale page to answer with."""
_ABSENT_WEIGHT = 500
_PAGE_WEIGHT = 4
"""Bytes in memory for each byte of a page: the text and what was read from it."""


@dataclass(slots=True, kw_only=True)
class Rendered:
    """A page's body in one form and coding, ready to be sent."""

    body: bytes
    etag: str
    wheels: tuple[BuiltWheel, ...]
    """The built wheels that it was made with."""

    @classmethod
    def of(cls, body: bytes, wheels: tuple[BuiltWheel, ...] = (), *, compress: bool) -> Rendered:
        """Compress a body if so wanted, and name it by its content. Takes a thread's time for a long one."""
        tag = hashlib.sha256(body).hexdigest()[:32]
        if compress:
            return cls(body=gzip.compress(body, 6, mtime=0), etag=f'"{tag}-gzip"', wheels=wheels)
        return cls(body=body, etag=f'"{tag}"', wheels=wheels)


@dataclass(slots=True, kw_only=True)
class Current:
    """A project page as upstream last sent it."""

    page: Page
    digest: bytes
    etag: str | None
    """Upstream's own, for asking again."""
    checked: float
    """When upstream last confirmed it, in seconds since the epoch."""
    stale: bool = False
    """Upstream failed when it was last asked."""
    ask_after: float = 0.0
    """Monotonic time before which a failing upstream is left alone."""
    renders: dict[tuple[Form, str, bool], Rendered] = field(default_factory=dict)
    by_path: dict[str, Entry] | None = None

    def freshness(self, now: float) -> Freshness:
        """Return how fresh it is where upstream is not asked."""
        return Freshness.stale(now - self.checked) if self.stale else HIT

    def entry(self, path: str) -> Entry | None:
        """Return the file that is listed under this path, both percent-decoded once."""
        if self.by_path is None:
            self.by_path = {decoded(entry.path): entry for entry in self.page.files.entries}
        return self.by_path.get(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Upstream said that there is no such project."""

    until: float
    """Seconds since the epoch."""


class CurrentPages:
    """The project pages as upstream has them."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        pages: PageStore,
        patience: Patience,
        page_ttl: float,
        memory_bytes: int,
        observe: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Use a page for ``page_ttl`` seconds without asking; keep so many bytes in memory."""
        self._upstream = upstream
        self._pages = pages
        self._patience = patience
        self._ttl = page_ttl
        self._shelf: Shelf[str, Current | Absent] = Shelf(memory_bytes)
        self._flights: Flights[str, tuple[Current, Freshness]] = Flights()
        self._asking: Flights[str, tuple[Current, Freshness]] = Flights()
        """Goes on where those who wait are given the old page, or are told to ask again."""
        self._observe = observe

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()
        await self._asking.close()

    async def get(self, project: str) -> tuple[Current, Freshness]:
        """Return the page as upstream last sent it, and how fresh that is.

        Raise `UnknownProject` or `UpstreamFault`.
        """
        known = self._shelf.get(project)
        now = time.time()
        if isinstance(known, Absent) and now < known.until:
            self._observe("absent")
            raise UnknownProject(f"Upstream has no project {project}.")
        if isinstance(known, Current) and self._usable(known, now):
            self._observe("stale" if known.stale else "fresh")
            return known, known.freshness(now)
        return await self._flights.join(project, lambda: self._refresh(project))

    async def ask(self, project: str) -> ProjectFiles:
        """Return what upstream lists for a project, asked just now. Raise `UpstreamFault`: an old page will not do."""
        current, _ = await self._flights.join(project, lambda: self._refresh(project))
        if current.stale:
            raise UpstreamUnavailable(f"Upstream cannot be asked about {project} now.")
        return current.page.files

    def add_weight(self, project: str, current: Current, weight: int) -> None:
        """Count more bytes for a page that has grown, where it is still kept."""
        if self._shelf.get(project) is current:
            self._shelf.add_weight(project, weight)

    def _usable(self, known: Current, now: float) -> bool:
        fresh = 0 <= now - known.checked < self._ttl
        return fresh or (known.stale and time.monotonic() < known.ask_after)

    async def _refresh(self, project: str) -> tuple[Current, Freshness]:
        known = self._shelf.get(project)
        if not isinstance(known, Current):
            known = await self._load(project)
            if known is not None and self._usable(known, time.time()):
                self._observe("stored")
                return known, HIT
        try:
            asked = self._asking.join(project, lambda: self._ask(project, known))
            return await self._patience.wait(asked, is_known=known is not None)
        except UpstreamFault as fault:
            if known is None:
                raise
            reason = fault.sentence
        known.stale = True
        known.ask_after = time.monotonic() + min(self._ttl, _PAUSE_SECONDS)
        self._observe("stale")
        log.warning("upstream failed, the last good page is served", project=project, fault=reason)
        return known, known.freshness(time.time())

    async def _ask(self, project: str, known: Current | None) -> tuple[Current, Freshness]:
        """Ask upstream, and make what it answers the current page."""
        try:
            return await self._take(project, known, await self._upstream.page(project, known.etag if known else None))
        except UnknownProject:
            await self._pages.drop(project)
            absent = Absent(until=time.time() + min(self._ttl, _ABSENT_SECONDS))
            self._shelf.put(project, absent, _ABSENT_WEIGHT)
            self._observe("unknown")
            raise
        except UpstreamFault:
            if known is None:
                self._observe("failed")
            raise

    async def _take(self, project: str, known: Current | None, answer: PageAnswer | None) -> tuple[Current, Freshness]:
        """Make what upstream answered the current page. Raise `UpstreamInvalid` where it is none."""
        now = time.time()
        digest = None if answer is None else await asyncio.to_thread(_digest, answer)
        if known is not None and (answer is None or digest == known.digest):
            known.checked, known.stale = now, False
            if answer is not None:
                known.etag = answer.etag
            await self._pages.renew(project, now)
            self._observe("revalidated")
            return known, REVALIDATED
        if answer is None or digest is None:
            raise UpstreamInvalid("Upstream answered that a page is unchanged that was never asked for.")
        page = await asyncio.to_thread(read_page, answer, project)
        current = Current(page=page, digest=digest, etag=answer.etag, checked=now)
        self._shelf.put(project, current, len(answer.body) * _PAGE_WEIGHT)
        await self._pages.put(project, answer, now)
        self._observe("fetched")
        return current, MISS

    async def _load(self, project: str) -> Current | None:
        """Return the page that was stored by an earlier run, or was pushed out of memory."""
        stored = await self._pages.get(project)
        if stored is None:
            return None
        answer = stored.answer
        try:
            page = await asyncio.to_thread(read_page, answer, project)
        except UpstreamInvalid as fault:
            log.warning("a stored page cannot be read and is asked for again", project=project, fault=fault.sentence)
            return None
        digest = await asyncio.to_thread(_digest, answer)
        current = Current(page=page, digest=digest, etag=answer.etag, checked=stored.fetched)
        self._shelf.put(project, current, len(answer.body) * _PAGE_WEIGHT)
        return current


def _digest(answer: PageAnswer) -> bytes:
    """Return what tells one page from another: its bytes, and the address that its links are relative to."""
    digest = hashlib.sha256(f"{answer.content_type}\n{answer.url}\n".encode())
    digest.update(answer.body)
    return digest.digest()
