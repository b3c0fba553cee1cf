"""What upstream says of each project now: asked by many at once, read once, kept in memory and in the page store.

Upstream's failure never shrinks it: the last good page is used, marked stale, and never a 404 for a 5xx.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from buildthrough.proxy import logs
from buildthrough.proxy.errors import (
    PageChanged,
    ProxyError,
    UnknownProject,
    UpstreamFault,
    UpstreamInvalid,
    UpstreamUnavailable,
)
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.freshness import HIT, MISS, REVALIDATED, Freshness
from buildthrough.proxy.known_page import Absent, Current
from buildthrough.proxy.page import Page, take_page
from buildthrough.proxy.read_pages import ReadPages
from buildthrough.proxy.rendered import Rendered, Rendering
from buildthrough.proxy.serial import is_older
from buildthrough.proxy.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.page_answer import PageAnswer
    from buildthrough.proxy.page_stream import PageStream
    from buildthrough.proxy.pages import PageStore
    from buildthrough.proxy.patience import Patience
    from buildthrough.proxy.simple_json import JsonDocument
    from buildthrough.proxy.upstream import Upstream

log = logs.logger("current")

_ABSENT_SECONDS = 60.0
"""Longest time that an unknown project is taken for unknown without asking again."""
_PAUSE_SECONDS = 5.0
"""Longest time that upstream is left alone after it failed, while there is a stale page to answer with."""
_ABSENT_WEIGHT = 500
_CURRENT_WEIGHT = 2_000
_MOST_RENDERS = 12
"""Renderings of one page that are kept in memory."""


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
        accept_older: bool = False,
        observe: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """Use a page for ``page_ttl`` seconds without asking; keep so many bytes in memory.

        ``accept_older`` takes a page whose serial is lower than that of the known one.
        """
        self._accept_older = accept_older
        self._upstream = upstream
        self._store = pages
        self._patience = patience
        self._ttl = page_ttl
        self._shelf: Shelf[str, Current | Absent] = Shelf(memory_bytes // 2)
        self._read = ReadPages(pages, memory_bytes // 2)
        self._flights: Flights[str, tuple[Current, Freshness]] = Flights()
        self._asking: Flights[str, tuple[Current, Freshness]] = Flights()
        """Goes on where those who wait are given the old page, or are told to ask again."""
        self._observe = observe
        self.changed: Callable[[str], None] = lambda _project: None
        """Told each project whose page is new here, has changed, or is gone."""

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()
        await self._asking.close()
        await self._read.close()

    async def get(self, project: str, since: float = 0.0) -> tuple[Current, Freshness]:
        """Return the page as upstream last sent it, and how fresh that is.

        Upstream is asked where its last word is from before ``since``, in seconds since the epoch. Raise
        `UnknownProject` or `UpstreamFault`.
        """
        known = self._shelf.get(project)
        now = time.time()
        if isinstance(known, Absent) and now < known.until:
            self._observe("absent")
            raise UnknownProject(f"Upstream has no project {project}.")
        if isinstance(known, Current) and self._usable(known, now, since):
            self._observe("stale" if known.stale else "fresh")
            return known, known.freshness(now)
        found = await self._flights.join(project, lambda: self._refresh(project))
        if found[0].checked < since and not found[0].stale and not isinstance(known, Current):
            found = await self._flights.join(project, lambda: self._refresh(project))  # it came from the store
        return found

    def at_hand(self, project: str) -> tuple[Current, Freshness] | None:
        """Return what `get` would without asking upstream or the store; None where it would, or would raise."""
        known = self._shelf.get(project)
        now = time.time()
        if not isinstance(known, Current) or not self._usable(known, now):
            return None
        self._observe("stale" if known.stale else "fresh")
        return known, known.freshness(now)

    def newest(self, project: str, current: Current) -> Current:
        """Return what upstream said last, as far as it is in memory: else what is given."""
        known = self._shelf.get(project)
        return known if isinstance(known, Current) else current

    def knows(self, project: str) -> bool:
        """Whether there is an answer, or one is under way."""
        return self._shelf.get(project) is not None or project in self._flights

    async def get_or_stream(self, project: str, stream: PageStream) -> tuple[Current, Freshness] | None:
        """Return as `get` does, or None once the page flows because it is long. It arrives to its end in any case."""
        if self.knows(project):
            return await self.get(project)
        asking = asyncio.ensure_future(self._flights.join(project, lambda: self._refresh(project, stream)))
        flowing = asyncio.ensure_future(stream.is_flowing())
        asking.add_done_callback(_heard)
        try:
            await asyncio.wait((asking, flowing), return_when=asyncio.FIRST_COMPLETED)
            return None if flowing.done() and not asking.done() else await asking
        finally:
            flowing.cancel()

    async def ask(self, project: str) -> ProjectFiles:
        """Return what upstream lists for a project, asked just now. Raise `UpstreamFault`: an old page will not do."""
        current, _ = await self._flights.join(project, lambda: self._refresh(project))
        if current.stale:
            raise UpstreamUnavailable(f"Upstream cannot be asked about {project} now.")
        try:
            return await self.files(project, current)
        except PageChanged:
            return await self.files(project, self.newest(project, current))

    async def forget(self, project: str) -> None:
        """Drop what is kept of a project, so that the next request asks upstream."""
        self._shelf.drop(project)
        self._read.drop(project)
        await self._store.drop(project)

    async def page(self, project: str, current: Current) -> Page:
        """Return the page itself. Raise `PageChanged` where there is another one by now, or none.

        Raise `UpstreamFault` where it was lost here and upstream cannot give it again.
        """
        page = await self._read.get(project, current.head)
        if page is None and not self._is_replaced(project, current):
            if project not in self._asking:  # else a newer one may be on its way into the store
                log.warning("the stored page is lost and is asked for again", project=project)
            await self._asking.join(project, lambda: self._ask(project, None))
            page = await self._read.get(project, current.head)
        if page is None:
            raise PageChanged(f"The page of {project} changes faster than it can be read. Ask again.")
        return page

    def _is_replaced(self, project: str, current: Current) -> bool:
        known = self._shelf.get(project)
        return isinstance(known, Absent) or (known is not None and known.head.digest != current.head.digest)

    async def entry(self, project: str, current: Current, path: str) -> Entry | None:
        """Return the file that a page lists under this path. Raise as `page` does."""
        return await self._read.entry(await self.page(project, current), path)

    async def files(self, project: str, current: Current) -> ProjectFiles:
        """Return all that a page lists. Raise as `page` does."""
        return await self._read.files(project, await self.page(project, current))

    async def rendered(self, project: str, rendering: Rendering) -> Rendered | None:
        """Return a rendering as it was stored, perhaps of an older page."""
        record = await self._store.form(project, rendering.name)
        try:
            return None if record is None else Rendered.from_record(record)
        except (ValueError, KeyError, TypeError):
            log.warning("a stored rendering is damaged and is made again", project=project)
            return None

    async def keep(
        self, project: str, current: Current, rendering: Rendering, rendered: Rendered, *, store: bool = True
    ) -> None:
        """Keep a rendering: in memory, and for the time after a restart in the store."""
        gone = current.renders.pop(rendering, None)
        if gone is None and len(current.renders) >= _MOST_RENDERS:
            gone = current.renders.pop(next(iter(current.renders)))
        current.renders[rendering] = rendered
        if self._shelf.get(project) is current:
            self._shelf.add_weight(project, len(rendered.body) - (len(gone.body) if gone is not None else 0))
        if store:
            await self._store.put_form(project, rendering.name, rendered.record())

    def _usable(self, known: Current, now: float, since: float = 0.0) -> bool:
        fresh = 0 <= now - known.checked < self._ttl and known.checked >= since
        return fresh or time.monotonic() < known.ask_after

    async def _refresh(self, project: str, stream: PageStream | None = None) -> tuple[Current, Freshness]:
        known = self._shelf.get(project)
        if not isinstance(known, Current):
            known = await self._load(project)
            if known is not None and self._usable(known, time.time()):
                self._observe("stored")
                return known, HIT
        try:
            work = partial(self._ask, project, known, stream)
            return await self._patience.ask(self._asking, project, work, is_known=known is not None)
        except UpstreamFault as fault:
            if known is None:
                raise
            reason = fault.sentence
        known.stale = True
        known.ask_after = time.monotonic() + min(self._ttl, _PAUSE_SECONDS)
        self._observe("stale")
        log.warning("upstream failed, the last good page is served", project=project, fault=reason)
        return known, known.freshness(time.time())

    async def _ask(
        self, project: str, known: Current | None, stream: PageStream | None = None
    ) -> tuple[Current, Freshness]:
        """Ask upstream, and make what it answers the current page."""
        try:
            answer = await self._upstream.page(project, known.head.etag if known else None, stream)
            return await self._take(project, known, answer, stream)
        except ProxyError as fault:
            if stream is not None:
                stream.fail(fault)
            if isinstance(fault, UnknownProject):
                await self._forget(project)
            elif known is None:
                self._observe("failed")
            raise
        finally:
            if stream is not None:  # if neither its end nor a fault was told: whoever is sent it must not wait for ever
                stream.fail(UpstreamUnavailable(f"The page of {project} was not taken to its end."))

    async def _forget(self, project: str) -> None:
        await self._store.drop(project)
        absent = Absent(until=time.time() + min(self._ttl, _ABSENT_SECONDS))
        self._shelf.put(project, absent, _ABSENT_WEIGHT)
        self._read.drop(project)
        self._observe("unknown")
        self.changed(project)

    async def _take(
        self, project: str, known: Current | None, answer: PageAnswer | None, stream: PageStream | None
    ) -> tuple[Current, Freshness]:
        """Make what upstream answered the current page. Raise `UpstreamInvalid` where it is none."""
        now = time.time()
        document = await stream.finish(answer.body) if stream is not None and answer is not None else None
        digest = None if answer is None else await asyncio.to_thread(answer.digest)
        if known is not None and (answer is None or digest == known.head.digest):
            known.checked, known.stale = now, False
            if answer is not None:
                known.head = replace(known.head, etag=answer.etag)
            await self._store.renew(project, now)
            self._observe("revalidated")
            return known, REVALIDATED
        if answer is None or digest is None:
            raise UpstreamInvalid("Upstream answered that a page is unchanged that was never asked for.")
        page = await _page_of(project, answer, document)
        if known is not None and not self._accept_older and _is_older(answer, page, known):
            self._refuse_older(project, known)
            return known, HIT
        answer = replace(answer, last_serial=page.last_serial)
        self._read.put(project, digest, page, len(answer.body))
        current = Current(head=await self._store.put(project, answer, now), checked=now)
        self._shelf.put(project, current, _CURRENT_WEIGHT)
        self._observe("fetched")
        self.changed(project)
        return current, MISS

    def _refuse_older(self, project: str, known: Current) -> None:
        """Stay with what is known: a node of upstream lags behind, or all of it went back in time."""
        if not known.is_ahead:
            log.warning(
                "upstream's page is older than the one that is known, which is kept; if upstream was restored from a "
                "backup, set upstream.accept_older_serial",
                project=project,
            )
        known.stale, known.is_ahead = False, True
        known.ask_after = time.monotonic() + min(self._ttl, _PAUSE_SECONDS)
        self._observe("older")

    async def _load(self, project: str) -> Current | None:
        """Return what was stored by an earlier run, or was pushed out of memory."""
        head = await self._store.head(project)
        if head is None:
            return None
        current = Current(head=head, checked=head.fetched)
        self._shelf.put(project, current, _CURRENT_WEIGHT)
        return current


def _is_older(answer: PageAnswer, page: Page, known: Current) -> bool:
    """Whether the page is from before the known one; serials of two upstreams have nothing to do with each other."""
    return answer.upstream == known.head.upstream and is_older(page.last_serial, known.head.last_serial)


def _heard(task: asyncio.Future[tuple[Current, Freshness]]) -> None:
    """Take note of how it ended: whoever asks next is told."""
    if not task.cancelled():
        task.exception()


async def _page_of(project: str, answer: PageAnswer, document: JsonDocument | None) -> Page:
    """Return the page that was read while it was streamed, else read it now."""
    if document is None:
        return await asyncio.to_thread(take_page, answer, project)
    last_serial = answer.last_serial or document.last_serial
    return Page(form="json", last_serial=last_serial, document=document, upstream=answer.upstream)
