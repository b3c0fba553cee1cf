"""The use case of PyPI's JSON API, ``/pypi/<project>/json``: passed on, kept, with its files pointed at us.

The rules are those of pages: asked once by however many, fresh for as long, the last good answer where upstream fails,
none that is older than what is known. What is kept in memory is bounded, and so is what lies on the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from buildthrough.proxy import logs, release_json
from buildthrough.proxy.errors import NotFound, UpstreamFault, UpstreamInvalid
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.freshness import HIT, MISS, REVALIDATED, Freshness
from buildthrough.proxy.rendered import Rendered
from buildthrough.proxy.screens import ALL
from buildthrough.proxy.serial import is_older
from buildthrough.proxy.served import ServedPage
from buildthrough.proxy.shelf import Shelf
from buildthrough.proxy.splice import decode

if TYPE_CHECKING:
    from collections.abc import Callable

    from buildthrough.proxy.negotiation import Coding
    from buildthrough.proxy.page_answer import PageAnswer
    from buildthrough.proxy.pages import PageStore
    from buildthrough.proxy.patience import Patience
    from buildthrough.proxy.release_json import ReleaseDocument
    from buildthrough.proxy.screens import Screens
    from buildthrough.proxy.upstream import Upstream

log = logs.logger("releases")

_ABSENT_SECONDS = 60.0
_PAUSE_SECONDS = 5.0
_ABSENT_WEIGHT = 500
_FILE_WEIGHT = 700
"""Bytes that is kept of each file beside the text."""
_MOST_RENDERS = 4
"""Ways to write one answer that are kept: clients know the server by one address or two, with and without gzip."""

Key = tuple[str, str | None]
"""A project, and the version as it was asked for, or None for all of them."""


@dataclass(slots=True, kw_only=True)
class Release:
    """What upstream last said."""

    document: ReleaseDocument
    digest: bytes
    etag: str | None
    last_serial: str | None
    upstream: str
    checked: float
    """When upstream last confirmed it, in seconds since the epoch."""
    stale: bool = False
    ask_after: float = 0.0
    """Monotonic time before which upstream is left alone."""
    is_ahead: bool = False
    """Upstream answered with an older one at least once."""
    renders: dict[tuple[str, Coding, str], Rendered] = field(default_factory=dict)

    def freshness(self, now: float) -> Freshness:
        """Return how fresh it is where upstream is not asked."""
        return Freshness.stale(now - self.checked) if self.stale else HIT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Absent:
    sentence: str
    until: float


class Releases:
    """The answers of upstream's JSON API."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        pages: PageStore,
        patience: Patience,
        page_ttl: float,
        memory_bytes: int,
        accept_older: bool = False,
        observe_stale: Callable[[float], None] = lambda _age: None,
    ) -> None:
        """Use an answer for ``page_ttl`` seconds; ``observe_stale`` is told the age of an old one."""
        self._upstream = upstream
        self._pages = pages
        self._patience = patience
        self._observe_stale = observe_stale
        self._ttl = page_ttl
        self._accept_older = accept_older
        self._shelf: Shelf[Key, Release | _Absent] = Shelf(memory_bytes)
        self._flights: Flights[Key, tuple[Release, Freshness]] = Flights()
        self._asking: Flights[Key, tuple[Release, Freshness]] = Flights()

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()
        await self._asking.close()

    async def page(
        self, project: str, version: str | None, coding: Coding, *, root: str, screens: Screens
    ) -> ServedPage:
        """Return the answer about a project or a release. Raise `NotFound`, `Denied` or `UpstreamFault`.

        ``root`` is the URL of the server's root, as the client knows it.
        """
        is_open = screens.is_open(project)
        release, freshness = await self.get(project, version)
        screened = (
            ALL if is_open else await asyncio.to_thread(screens.look_at_release, release.document, release.upstream)
        )
        hidden = screened.hidden.names
        if version is not None and hidden and hidden >= release.document.filenames:
            screened.check(min(hidden))
        if freshness.age is not None:
            self._observe_stale(freshness.age)
        key = root, coding, screened.hidden.digest
        rendered = release.renders.get(key)
        if rendered is None:
            rendered = await asyncio.to_thread(_render, release.document, root, coding, hidden)
            while len(release.renders) >= _MOST_RENDERS:
                del release.renders[next(iter(release.renders))]
            release.renders[key] = rendered
        return ServedPage(rendered=rendered, last_serial=release.last_serial, freshness=freshness)

    async def forget(self, project: str) -> None:
        """Drop what is kept of a project, so that the next request asks upstream."""
        for key in [key for key in self._shelf.keys() if key[0] == project]:  # noqa: SIM118 - it is no mapping
            self._shelf.drop(key)
        await self._pages.drop_below(_stored_as((project, "")))

    async def get(self, project: str, version: str | None, since: float = 0.0) -> tuple[Release, Freshness]:
        """Return what upstream last said, and how fresh that is; what it said before ``since`` is asked for again.

        Raise `NotFound` or `UpstreamFault`.
        """
        key = project, version
        known = self._shelf.get(key)
        if isinstance(known, _Absent) and time.time() < known.until:
            raise NotFound(known.sentence)
        if isinstance(known, Release) and self._usable(known, since):
            return known, known.freshness(time.time())
        found = await self._flights.join(key, lambda: self._refresh(key))
        if found[0].checked < since and not found[0].stale and not isinstance(known, Release):
            found = await self._flights.join(key, lambda: self._refresh(key))  # it came from the store
        return found

    def _usable(self, known: Release, since: float = 0.0) -> bool:
        is_fresh = 0 <= time.time() - known.checked < self._ttl and known.checked >= since
        return is_fresh or time.monotonic() < known.ask_after

    async def _refresh(self, key: Key) -> tuple[Release, Freshness]:
        known = self._shelf.get(key)
        if not isinstance(known, Release):
            known = await self._load(key)
            if known is not None and self._usable(known):
                return known, HIT
        try:
            work = partial(self._ask, key, known)
            return await self._patience.ask(self._asking, key, work, is_known=known is not None)
        except UpstreamFault as fault:
            if known is None:
                raise
            reason = fault.sentence
        known.stale = True
        known.ask_after = self._later()
        log.warning("upstream failed, its last good answer is served", project=key[0], version=key[1], fault=reason)
        return known, known.freshness(time.time())

    def _later(self) -> float:
        return time.monotonic() + min(self._ttl, _PAUSE_SECONDS)

    async def _ask(self, key: Key, known: Release | None) -> tuple[Release, Freshness]:
        try:
            answer = await self._upstream.json_api(*key, known.etag if known else None)
        except NotFound as fault:
            await self._pages.drop(_stored_as(key))
            until = time.time() + min(self._ttl, _ABSENT_SECONDS)
            self._shelf.put(key, _Absent(sentence=fault.sentence, until=until), _ABSENT_WEIGHT)
            raise
        return await self._take(key, known, answer)

    async def _take(self, key: Key, known: Release | None, answer: PageAnswer | None) -> tuple[Release, Freshness]:
        """Make what upstream answered current. Raise `UpstreamInvalid` where it is no answer of the API."""
        now = time.time()
        if answer is None:
            if known is None:
                raise UpstreamInvalid("Upstream answered that something is unchanged that was never asked for.")
            return await self._confirm(key, known, now)
        taken = await asyncio.to_thread(_read, answer, key, now)
        if known is not None and taken.digest == known.digest:
            known.etag = taken.etag
            return await self._confirm(key, known, now)
        if known is not None and not self._accept_older and _is_before(taken, known):
            if not known.is_ahead:
                log.warning(
                    "upstream's answer is older than the one that is known, which is kept",
                    project=key[0],
                    version=key[1],
                )
            known.stale, known.is_ahead, known.ask_after = False, True, self._later()
            return known, HIT
        self._keep(key, taken)
        await self._pages.put(_stored_as(key), answer, now)
        return taken, MISS

    async def _confirm(self, key: Key, known: Release, now: float) -> tuple[Release, Freshness]:
        known.checked, known.stale = now, False
        await self._pages.renew(_stored_as(key), now)
        return known, REVALIDATED

    async def _load(self, key: Key) -> Release | None:
        stored = await self._pages.get(_stored_as(key))
        if stored is None:
            return None
        try:
            release = await asyncio.to_thread(_read, stored.answer, key, stored.fetched)
        except UpstreamInvalid as fault:
            log.warning("a stored answer cannot be read and is asked for again", project=key[0], fault=fault.sentence)
            return None
        self._keep(key, release)
        return release

    def _keep(self, key: Key, release: Release) -> None:
        files = sum(len(one) for one in release.document.lists)
        text = sys.getsizeof(release.document.text)
        self._shelf.put(key, release, text * (1 + _MOST_RENDERS) + files * _FILE_WEIGHT)


def _is_before(taken: Release, known: Release) -> bool:
    """Whether an answer is older than what is known; the serials of two upstreams have nothing in common."""
    return taken.upstream == known.upstream and is_older(taken.last_serial, known.last_serial)


def _stored_as(key: Key) -> str:
    """Return its place among the stored pages: no project's name has a slash."""
    return f"pypi/{key[0]}/{key[1] or ''}"


def _read(answer: PageAnswer, key: Key, checked: float) -> Release:
    try:
        text = decode(answer.body, None)
    except ValueError as error:
        raise UpstreamInvalid("Upstream's answer cannot be decoded: JSON is UTF-8.") from error
    document = release_json.read(text, answer.url, key[0])
    return Release(
        document=document,
        digest=hashlib.sha256(f"{answer.upstream}\n{answer.url}\n".encode() + answer.body).digest(),
        etag=answer.etag,
        last_serial=answer.last_serial or document.last_serial,
        upstream=answer.upstream,
        checked=checked,
    )


def _is_older(taken: Release, known: Release) -> bool:
    return taken.upstream == known.upstream and is_older(taken.last_serial, known.last_serial)


def _render(document: ReleaseDocument, root: str, coding: Coding, hidden: frozenset[str]) -> Rendered:
    return Rendered.of(document.render(root, hidden), coding)
