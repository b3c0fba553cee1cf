"""The use cases of the index: project page, file, core metadata. Built wheels are in `buildthrough.proxy.built_wheels`.

A page is asked for by many and changes rarely. It is rendered once for each form and kept with what upstream said, so
that an unchanged page costs a lookup. Three rules meet here: a page is edited, never modelled anew; a built wheel lives
and dies with its sdist's listing; upstream's failure never shrinks the index.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from buildthrough.proxy import logs
from buildthrough.proxy.errors import NotFound, PageChanged
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.overlay import overlay
from buildthrough.proxy.page import render
from buildthrough.proxy.page_stream import PageStream
from buildthrough.proxy.rendered import Rendered, Rendering, source_of
from buildthrough.proxy.resource import METADATA, file_resource, metadata_resource
from buildthrough.proxy.screens import ALL
from buildthrough.proxy.served import ServedFile, ServedPage, StreamedPage
from buildthrough.proxy.view import FULL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.current import CurrentPages
    from buildthrough.proxy.downloads import Downloads
    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.freshness import Freshness
    from buildthrough.proxy.known_page import Current
    from buildthrough.proxy.overlay import Addition
    from buildthrough.proxy.page import Page
    from buildthrough.proxy.resource import Resource
    from buildthrough.proxy.screens import Screened, Screens

log = logs.logger("mirror")
T = TypeVar("T")

_TRIES: Final = 10
"""How often work begins again because the page that it is about has changed meanwhile."""


class Mirror:
    """Upstream's index with our wheels added."""

    def __init__(
        self,
        *,
        current: CurrentPages,
        downloads: Downloads,
        catalog: Catalog,
        screens: Screens,
        max_stale: float,
        observe_stale: Callable[[float], None] = lambda _age: None,
    ) -> None:
        """List built wheels where upstream confirmed the page in the last ``max_stale`` seconds, or answers now.

        ``observe_stale`` is told the age, in seconds, of each old page that is served.
        """
        self._max_stale = max_stale
        self._observe_stale = observe_stale
        self._current = current
        self._downloads = downloads
        self._catalog = catalog
        self._screens = screens
        self._flights: Flights[tuple[str, Rendering, str], Rendered] = Flights()
        self._making: set[asyncio.Task[ServedPage]] = set()

    async def close(self) -> None:
        """End what is under way."""
        for making in self._making:
            making.cancel()
        await asyncio.gather(*self._making, return_exceptions=True)
        await self._flights.close()

    async def current(self, project: str) -> tuple[Current, Freshness]:
        """Return what upstream says, see `CurrentPages.get`."""
        return await self._current.get(project)

    async def ask(self, project: str) -> ProjectFiles:
        """Return what upstream lists for a project, asked just now, see `CurrentPages.ask`."""
        return await self._current.ask(project)

    async def page(self, project: str, rendering: Rendering) -> ServedPage:
        """Return a project's page. Raise `UnknownProject`, `Denied` or `UpstreamFault`."""
        self._screens.admit(project)
        return await self._settle(project, partial(self._page, project, rendering), rendering.view.cutoff)

    def page_at_hand(self, project: str, rendering: Rendering) -> ServedPage | None:
        """Return what `page` would, if it is in memory and nothing has to be asked or made; else None."""
        if not self._screens.show_all:
            return None
        found = self._current.at_hand(project)
        if found is None:
            return None
        current, freshness = found
        rendered = current.renders.get(rendering)
        if rendered is None or freshness.age is not None:
            return None
        wheels = self._catalog.wheels_at_hand(project) if rendering.view.with_built else ()
        if wheels is None or not rendered.is_made_with(wheels, ALL.hidden.digest):
            return None
        return ServedPage(rendered=rendered, last_serial=current.head.last_serial, freshness=freshness)

    async def page_or_stream(self, project: str, rendering: Rendering) -> ServedPage | StreamedPage:
        """Return as `page` does, or, where the page is new here and long, the page while it arrives.

        Only upstream's own text can be sent so: not where wheels are to be added, or files to be hidden.
        """
        is_plain = rendering.form == "json" and rendering.view == FULL and self._screens.is_open(project)
        if not is_plain or self._current.knows(project) or await self._catalog.wheels(project):
            return await self.page(project, rendering)
        stream = PageStream(project, f"{FULL.root}files/{project}/", rendering.coding)
        found = await self._current.get_or_stream(project, stream)
        if found is None:
            return StreamedPage(last_serial=stream.last_serial, chunks=self._streamed(project, rendering, stream))
        try:
            return await self._page(project, rendering, *found)
        except PageChanged:
            return await self.page(project, rendering)

    async def _streamed(self, project: str, rendering: Rendering, stream: PageStream) -> AsyncIterator[bytes]:
        """Go through what is sent; then make the page anew, better compressed, for whoever asks next."""
        async for chunk in stream.chunks():
            yield chunk
        making = asyncio.ensure_future(self.page(project, rendering))
        self._making.add(making)
        making.add_done_callback(self._made)

    def _made(self, making: asyncio.Task[ServedPage]) -> None:
        self._making.discard(making)
        if not making.cancelled():
            making.exception()  # whoever asks next is told

    async def _page(self, project: str, rendering: Rendering, current: Current, freshness: Freshness) -> ServedPage:
        if freshness.age is not None:
            self._observe_stale(freshness.age)
        is_vouched_for = rendering.view.with_built and freshness.within(self._max_stale)
        wheels = await self._catalog.wheels(project) if is_vouched_for else ()
        screened = await self._look(project, current, rendering.view.cutoff)
        rendering = rendering.kept_as(screened.hidden.digest)
        rendered = current.renders.get(rendering)
        if rendered is None or not rendered.is_made_with(wheels, screened.hidden.digest):
            key = (project, rendering, current.head.digest)
            rendered = await self._flights.join(
                key, lambda: self._render(project, current, rendering, wheels, screened)
            )
            if not rendered.is_made_with(wheels, screened.hidden.digest):  # it began before the newest was known
                rendered = await self._render(project, current, rendering, wheels, screened)
        return ServedPage(rendered=rendered, last_serial=current.head.last_serial, freshness=freshness)

    async def files(self, project: str) -> ProjectFiles:
        """Return what is shown here of what upstream lists now. Raise `UnknownProject`, `Denied` or `UpstreamFault`."""
        files, screened = await self.screened(project)
        return screened.shown(files)

    async def screened(self, project: str, cutoff: datetime | None = None) -> tuple[ProjectFiles, Screened]:
        """Return what upstream lists now, and what is hidden of it here. Raise as `files` does."""
        self._screens.admit(project)

        async def use(current: Current, _: Freshness) -> tuple[ProjectFiles, Screened]:
            return await self._current.files(project, current), await self._look(project, current, cutoff)

        return await self._settle(project, use, cutoff)

    async def listed(self, project: str) -> tuple[ProjectFiles, Sequence[Addition]]:
        """Return what is shown of what upstream lists now, and the built wheels beside it. Raise as `files` does."""
        self._screens.admit(project)

        async def use(current: Current, freshness: Freshness) -> tuple[ProjectFiles, Sequence[Addition]]:
            files = await self._shown(project, current)
            wheels = await self._catalog.wheels(project) if freshness.within(self._max_stale) else ()
            return files, overlay(files, wheels)

        return await self._settle(project, use)

    async def upload_times(self, project: str) -> Mapping[str, datetime]:
        """Return when upstream's files were uploaded, by name, as far as anybody says. Raise as `files` does."""
        self._screens.admit(project)

        async def use(current: Current, _: Freshness) -> Mapping[str, datetime]:
            files = partial(self._current.files, project, current)
            return await self._screens.times(project, current.head.digest, files)

        return await self._settle(project, use)

    async def file(self, project: str, path: str, cutoff: datetime | None = None) -> ServedFile:
        """Return an upstream file or its core metadata by its percent-decoded path, as of a moment if one is given.

        Raise `NotFound` where it is not listed, `Denied` where it is hidden.
        """
        current, resource, entry = await self._resource(project, path, cutoff)
        source = await self._downloads.obtain(resource)
        bare = replace(current, renders={})  # a miss may be kept until a builder is back: not with what was rendered
        return ServedFile(
            source=source,
            entry=entry,
            files=lambda: self._shown_by_now(project, bare),
            sha256=resource.hashes.get("sha256"),
            is_metadata=resource.url != entry.url,
        )

    async def resource(self, project: str, path: str) -> Resource:
        """Return how to fetch what `file` sends."""
        return (await self._resource(project, path, None))[1]

    async def _shown_by_now(self, project: str, current: Current) -> ProjectFiles:
        """Return what is shown of the newest page at hand: upstream is not asked for it."""
        for _ in range(_TRIES):
            with suppress(PageChanged):
                return await self._shown(project, self._current.newest(project, current))
        return await self.files(project)

    async def _shown(self, project: str, current: Current) -> ProjectFiles:
        screened = await self._look(project, current)
        return screened.shown(await self._current.files(project, current))

    async def _get(self, project: str, cutoff: datetime | None) -> tuple[Current, Freshness]:
        """Return the page: for a moment just gone, as upstream has it since."""
        return await self._current.get(project, since=0.0 if cutoff is None else cutoff.timestamp())

    async def _settle(
        self, project: str, use: Callable[[Current, Freshness], Awaitable[T]], cutoff: datetime | None = None
    ) -> T:
        """Do something with the page; where it changes meanwhile, begin again with the new one. Raise as `get` does."""
        for _ in range(_TRIES):
            with suppress(PageChanged):
                return await use(*await self._get(project, cutoff))
        return await use(*await self._get(project, cutoff))

    async def _look(self, project: str, current: Current, cutoff: datetime | None = None) -> Screened:
        if self._screens.is_open(project, cutoff):
            return ALL
        head = current.head
        return await self._screens.look(
            project,
            head.digest,
            lambda: self._current.files(project, current),
            upstream=head.upstream,
            cutoff=cutoff,
        )

    async def _resource(self, project: str, path: str, cutoff: datetime | None) -> tuple[Current, Resource, Entry]:
        self._screens.admit(project)

        async def use(current: Current, _: Freshness) -> tuple[Current, Resource, Entry]:
            return await self._listed_at(project, path, current, cutoff)

        return await self._settle(project, use, cutoff)

    async def _listed_at(
        self, project: str, path: str, current: Current, cutoff: datetime | None
    ) -> tuple[Current, Resource, Entry]:
        page = await self._current.page(project, current)
        if page.status == "quarantined":
            raise NotFound(f"{project} is quarantined upstream: none of its files is offered.")
        entry = await self._current.entry(project, current, path)
        is_file = entry is not None
        if entry is None and path.endswith(METADATA):
            entry = await self._current.entry(project, current, path.removesuffix(METADATA))
        if entry is None or not (is_file or entry.core_metadata is not False):
            raise NotFound(f"{project}: upstream lists no file {path.rpartition('/')[2]} now.")
        (await self._look(project, current, cutoff)).check(entry.filename)
        return current, (file_resource if is_file else metadata_resource)(entry, page.upstream), entry

    async def _render(
        self,
        project: str,
        current: Current,
        rendering: Rendering,
        wheels: tuple[BuiltWheel, ...],
        screened: Screened,
    ) -> Rendered:
        hidden = screened.hidden
        source = source_of(current.head.digest, wheels, hidden.digest)
        is_stored = not rendering.view.is_dated
        stored = await self._current.rendered(project, rendering) if is_stored else None
        if stored is not None and stored.source == source:
            rendered = stored
            is_stored = False
        else:
            page = await self._current.page(project, current)
            files = screened.shown(await self._current.files(project, current)) if wheels else None
            additions = overlay(files, wheels) if files else ()
            rendered = await asyncio.to_thread(_render_body, page, additions, rendering, source, hidden.names)
        rendered = replace(rendered, wheels=wheels, hidden=hidden.digest)
        await self._current.keep(project, current, rendering, rendered, store=is_stored)
        return rendered


def _render_body(
    page: Page, additions: Sequence[Addition], rendering: Rendering, source: str, hidden: frozenset[str]
) -> Rendered:
    body = render(page, rendering.form, additions, root=rendering.view.root, hidden=hidden)
    return Rendered.of(body, rendering.coding, source)
