"""The use case of the project list, ``/simple/``: one document of some 40 MB, rarely asked for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buildthrough.proxy import logs
from buildthrough.proxy.errors import UnknownProject, UpstreamFault, UpstreamInvalid
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.freshness import HIT, MISS, REVALIDATED, Freshness
from buildthrough.proxy.mirror import ServedPage
from buildthrough.proxy.page import read_text
from buildthrough.proxy.project_list import render_project_list, source_of
from buildthrough.proxy.rendered import Rendered

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.negotiation import Coding, Form
    from buildthrough.proxy.page_answer import PageAnswer
    from buildthrough.proxy.pages import PageStore
    from buildthrough.proxy.patience import Patience
    from buildthrough.proxy.upstream import Upstream

log = logs.logger("projects")

_KEY = ""
"""The list's place among the stored pages: no project has an empty name."""
_PAUSE_SECONDS = 5.0


@dataclass(slots=True, kw_only=True)
class _Listing:
    answer: PageAnswer
    checked: float
    stale: bool = False
    ask_after: float = 0.0
    renders: dict[tuple[Form, Coding], Rendered] = field(default_factory=dict)

    def freshness(self, now: float) -> Freshness:
        return Freshness.stale(now - self.checked) if self.stale else HIT


class Projects:
    """Upstream's list of projects. The wheels that we build add nothing to it."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        pages: PageStore,
        patience: Patience,
        page_ttl: float,
        observe_stale: Callable[[float], None] = lambda _age: None,
    ) -> None:
        """Use the list for ``page_ttl`` seconds without asking; ``observe_stale`` is told the age of an old one."""
        self._upstream = upstream
        self._pages = pages
        self._patience = patience
        self._ttl = page_ttl
        self._observe_stale = observe_stale
        self._listing: _Listing | None = None
        self._flights: Flights[object, tuple[_Listing, Freshness]] = Flights()
        self._asking: Flights[object, tuple[_Listing, Freshness]] = Flights()

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()
        await self._asking.close()

    async def page(self, form: Form, coding: Coding) -> ServedPage:
        """Return the list. Raise `UpstreamFault` where there is none to answer with."""
        listing = self._listing
        if listing is not None and self._usable(listing):
            freshness = listing.freshness(time.time())
        else:
            listing, freshness = await self._flights.join(_KEY, self._refresh)
        if freshness.age is not None:
            self._observe_stale(freshness.age)
        rendered = listing.renders.get((form, coding))
        if rendered is None:
            rendered = await asyncio.to_thread(_render, listing.answer, form, coding)
            listing.renders[form, coding] = rendered
        return ServedPage(rendered=rendered, last_serial=listing.answer.last_serial, freshness=freshness)

    def _usable(self, listing: _Listing) -> bool:
        fresh = 0 <= time.time() - listing.checked < self._ttl
        return fresh or (listing.stale and time.monotonic() < listing.ask_after)

    async def _refresh(self) -> tuple[_Listing, Freshness]:
        known = self._listing or await self._load()
        if known is not None and self._usable(known):
            return known, known.freshness(time.time())
        try:
            asked = self._asking.join(_KEY, lambda: self._renew(known))
            return await self._patience.wait(asked, is_known=known is not None)
        except UpstreamFault as fault:
            if known is None:
                raise
            known.stale, known.ask_after = True, time.monotonic() + min(self._ttl, _PAUSE_SECONDS)
            log.warning("upstream failed, the last good project list is served", fault=fault.sentence)
            return known, known.freshness(time.time())

    async def _renew(self, known: _Listing | None) -> tuple[_Listing, Freshness]:
        return await self._take(known, await self._ask(known))

    async def _ask(self, known: _Listing | None) -> PageAnswer | None:
        try:
            return await self._upstream.page(None, known.answer.etag if known else None)
        except UnknownProject as fault:
            raise UpstreamInvalid("Upstream has no project list: upstream.url may be no index's address.") from fault

    async def _take(self, known: _Listing | None, answer: PageAnswer | None) -> tuple[_Listing, Freshness]:
        """Make what upstream answered the current list. Raise `UpstreamInvalid` where it is none."""
        now = time.time()
        if known is not None and (answer is None or answer.body == known.answer.body):
            known.checked, known.stale = now, False
            await self._pages.renew(_KEY, now)
            return known, REVALIDATED
        if answer is None:
            raise UpstreamInvalid("Upstream answered that the project list is unchanged, but it was never asked for.")
        listing = _Listing(answer=answer, checked=now)
        # Rendered once before it is taken: what is no project list must not replace one that is.
        form, _ = await asyncio.to_thread(read_text, answer, "project list")
        listing.renders[form, "identity"] = await asyncio.to_thread(_render, answer, form, "identity")
        await self._pages.put(_KEY, answer, now)
        self._listing = listing
        return listing, MISS

    async def _load(self) -> _Listing | None:
        stored = await self._pages.get(_KEY)
        if stored is None:
            return None
        self._listing = _Listing(answer=stored.answer, checked=stored.fetched)
        return self._listing


def _render(answer: PageAnswer, form: Form, coding: Coding) -> Rendered:
    return Rendered.of(b"".join(render_project_list(source_of(answer), form)), coding)
