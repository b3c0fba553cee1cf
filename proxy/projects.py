"""The use case of the project list, ``/simple/``: one document of some 40 MB, rarely asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from buildthrough.proxy import logs
from buildthrough.proxy.errors import StorageFault, UnknownProject, UpstreamFault, UpstreamInvalid
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.freshness import HIT, MISS, REVALIDATED, Freshness
from buildthrough.proxy.serial import is_older

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.list_folder import ListFolder, Rendition
    from buildthrough.proxy.negotiation import Coding, Form
    from buildthrough.proxy.page_answer import PageAnswer
    from buildthrough.proxy.patience import Patience
    from buildthrough.proxy.stored_page import StoredHead
    from buildthrough.proxy.upstream import Upstream

log = logs.logger("projects")

_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedList:
    """The list to send."""

    rendition: Rendition
    last_serial: str | None
    freshness: Freshness


@dataclass(slots=True, kw_only=True)
class _Listing:
    head: StoredHead
    stale: bool = False
    ask_after: float = 0.0

    def freshness(self, now: float) -> Freshness:
        return Freshness.stale(now - self.head.fetched) if self.stale else HIT


class Projects:
    """Upstream's list of projects. The wheels that we build add nothing to it."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        folder: ListFolder,
        patience: Patience,
        page_ttl: float,
        accept_older: bool = False,
        observe_stale: Callable[[float], None] = lambda _age: None,
    ) -> None:
        """Use the list for ``page_ttl`` seconds without asking; ``observe_stale`` is told the age of an old one.

        ``accept_older`` takes a list whose serial is lower than that of the known one.
        """
        self._accept_older = accept_older
        self._upstream = upstream
        self._folder = folder
        self._patience = patience
        self._ttl = page_ttl
        self._observe_stale = observe_stale
        self._listing: _Listing | None = None
        self._flights: Flights[str, tuple[_Listing, Freshness]] = Flights()
        self._asking: Flights[str, tuple[_Listing, Freshness]] = Flights()
        self._rendering: Flights[tuple[str, Form, Coding], Rendition | None] = Flights()

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()
        await self._asking.close()
        await self._rendering.close()

    async def page(self, form: Form, coding: Coding) -> ServedList:
        """Return the list. Raise `UpstreamFault` where there is none to answer with, `StorageFault`."""
        for _ in range(2):  # what was lost from the folder is asked for again
            listing, freshness = await self._get(form, coding)
            head = listing.head
            make = partial(self._folder.rendition, head, form, coding)
            rendition = await self._rendering.join((head.digest, form, coding), make)
            if rendition is not None:
                return ServedList(rendition=rendition, last_serial=head.last_serial, freshness=freshness)
            self._listing = None
        raise StorageFault("The project list was lost from the data folder just now. Ask again.")

    async def _get(self, form: Form, coding: Coding) -> tuple[_Listing, Freshness]:
        listing = self._listing
        if listing is not None and self._usable(listing):
            freshness = listing.freshness(time.time())
        else:
            listing, freshness = await self._flights.join("", lambda: self._refresh(form, coding))
        if freshness.age is not None:
            self._observe_stale(freshness.age)
        return listing, freshness

    def _usable(self, listing: _Listing) -> bool:
        fresh = 0 <= time.time() - listing.head.fetched < self._ttl
        return fresh or time.monotonic() < listing.ask_after

    async def _refresh(self, form: Form, coding: Coding) -> tuple[_Listing, Freshness]:
        known = self._listing or await self._load(form, coding)
        if known is not None and self._usable(known):
            return known, known.freshness(time.time())
        try:
            asked = self._asking.join("", lambda: self._renew(known, form, coding))
            return await self._patience.wait(asked, is_known=known is not None)
        except UpstreamFault as fault:
            if known is None:
                raise
            known.stale, known.ask_after = True, time.monotonic() + min(self._ttl, _PAUSE_SECONDS)
            log.warning("upstream failed, the last good project list is served", fault=fault.sentence)
            return known, known.freshness(time.time())

    async def _renew(self, known: _Listing | None, form: Form, coding: Coding) -> tuple[_Listing, Freshness]:
        answer = await self._ask(known)
        now = time.time()
        if known is not None and (answer is None or answer.digest() == known.head.digest):
            known.head, known.stale = await self._folder.renew(known.head, now), False
            return known, REVALIDATED
        if answer is None:
            raise UpstreamInvalid("Upstream answered that the project list is unchanged, but it was never asked for.")
        if known is not None and not self._accept_older and _is_older(answer, known.head):
            log.info("upstream's project list is older than the one that is known, which is kept")
            known.stale, known.ask_after = False, time.monotonic() + min(self._ttl, _PAUSE_SECONDS)
            return known, HIT
        self._listing = _Listing(head=await self._folder.take(answer, now, form, coding))
        return self._listing, MISS

    async def _ask(self, known: _Listing | None) -> PageAnswer | None:
        try:
            return await self._upstream.page(None, known.head.etag if known else None)
        except UnknownProject as fault:
            raise UpstreamInvalid("Upstream has no project list: upstream.url may be no index's address.") from fault

    async def _load(self, form: Form, coding: Coding) -> _Listing | None:
        """Return the list of an earlier run, if it can still be rendered."""
        head = await self._folder.load()
        if head is None or await self._folder.rendition(head, form, coding) is None:
            return None
        self._listing = _Listing(head=head)
        return self._listing


def _is_older(answer: PageAnswer, known: StoredHead) -> bool:
    return answer.upstream == known.upstream and is_older(answer.last_serial, known.last_serial)
