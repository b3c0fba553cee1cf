"""The use cases of the index: project list, project page, file, core metadata, built wheel.

A page is asked for by many and changes rarely. What upstream said is kept as `Current`: read once, rendered once for
each form, so that an unchanged page costs a lookup. Three rules meet here: a page is edited, never modelled anew; a
built wheel lives and dies with its sdist's listing; upstream's failure never shrinks the index.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buildthrough.builders.database import utc_now
from buildthrough.proxy import logs
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.errors import NotFound, UnknownProject, UpstreamFault, UpstreamInvalid, UpstreamUnavailable
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.link import decoded
from buildthrough.proxy.overlay import downloadable, overlay
from buildthrough.proxy.page import read_page, render
from buildthrough.proxy.resource import Resource
from buildthrough.proxy.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.download import Download
    from buildthrough.proxy.downloads import Downloads
    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.negotiation import Form
    from buildthrough.proxy.page import Page
    from buildthrough.proxy.pages import PageStore
    from buildthrough.proxy.upstream import PageAnswer, Upstream

log = logs.logger("mirror")

_METADATA = ".metadata"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPage:
    """A page to send."""

    rendered: Rendered
    last_serial: str | None
    stale: bool
    hit: bool
    """Whether it was answered without asking upstream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """A file to send: kept already, or arriving."""

    source: Blob | Download
    entry: Entry
    files: ProjectFiles
    sha256: str | None
    is_metadata: bool


class Mirror:
    """Upstream's index with our wheels added."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        pages: PageStore,
        downloads: Downloads,
        catalog: Catalog,
        built: BlobStore,
        page_ttl: float,
        memory_bytes: int,
        observe: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._upstream = upstream
        self._pages = pages
        self._downloads = downloads
        self._catalog = catalog
        self._built = built
        self._ttl = page_ttl
        self._shelf: Shelf[str, Current | Absent] = Shelf(memory_bytes)
        self._flights: Flights[str, tuple[Current, bool]] = Flights()
        self._rendering: Flights[tuple[str, Form, str, bool], Rendered] = Flights()
        self._observe = observe

    async def close(self) -> None:
        """End what is under way."""
        await self._flights.close()
        await self._rendering.close()

    async def page(self, project: str, form: Form, *, root: str, compress: bool, with_built: bool = True) -> ServedPage:
        """Return a project's page. Raise `UnknownProject` or `UpstreamFault`.

        ``root`` is the relative way from the page to the server's root.
        """
        current, hit = await self.current(project)
        wheels = await self._catalog.wheels(project) if with_built else ()
        rendered = current.renders.get((form, root, compress))
        if rendered is None or rendered.wheels is not wheels:
            rendered = await self._rendering.join(
                (project, form, root, compress),
                lambda: self._render(project, current, form, root, wheels, compress=compress),
            )
            if rendered.wheels is not wheels:  # joined one that began before the newest wheel was known
                rendered = await self._render(project, current, form, root, wheels, compress=compress)
        serial = current.page.last_serial
        return ServedPage(rendered=rendered, last_serial=serial, stale=current.stale, hit=hit)

    async def files(self, project: str) -> ProjectFiles:
        """Return what upstream lists for a project now. Raise `UnknownProject` or `UpstreamFault`."""
        return (await self.current(project))[0].page.files

    async def ask(self, project: str) -> ProjectFiles:
        """Return what upstream lists for a project, asked just now. Raise `UpstreamFault`: an old page will not do."""
        current, _ = await self._flights.join(project, lambda: self._refresh(project))
        if current.stale:
            raise UpstreamUnavailable(f"Upstream cannot be asked about {project} now.")
        return current.page.files

    async def file(self, project: str, path: str) -> ServedFile:
        """Return an upstream file or its core metadata by its percent-decoded path. Raise `NotFound` if unlisted."""
        current, _ = await self.current(project)
        files = current.page.files
        entry = current.entry(path)
        if entry is not None:
            resource = file_resource(entry)
        else:
            entry = current.entry(path.removesuffix(_METADATA)) if path.endswith(_METADATA) else None
            if entry is None or entry.core_metadata is False:
                raise NotFound(f"{project}: upstream lists no file {path.rpartition('/')[2]} now.")
            resource = metadata_resource(entry)
        if files.status == "quarantined":
            raise NotFound(f"{project} is quarantined upstream: none of its files is offered.")
        source = await self._downloads.obtain(resource)
        return ServedFile(
            source=source,
            entry=entry,
            files=files,
            sha256=resource.hashes.get("sha256"),
            is_metadata=resource.url != entry.url,
        )

    async def built_wheel(self, project: str, sha256: str, filename: str) -> tuple[Blob, str]:
        """Return the bytes of a built wheel or of its core metadata, and their digest. Raise `NotFound`."""
        wanted = filename.removesuffix(_METADATA)
        # Several sdists may have given the same bytes: one that is still listed is enough.
        wheels = [one for one in await self._catalog.wheels(project) if one.sha256 == sha256 and one.filename == wanted]
        if not wheels:
            raise NotFound(f"No wheel {wanted} with this digest is kept here: it was purged, or was never built.")
        files = await self.files(project)
        wheel = next((one for one in wheels if downloadable(files, one)), None)
        if wheel is None:
            sdist = wheels[0].sdist
            raise NotFound(f"{wanted} is not offered: upstream no longer lists the {sdist} that it was built from.")
        digest = wheel.metadata_sha256 if filename != wanted else wheel.sha256
        blob = await self._built.open(digest, wheel.size if filename == wanted else None)
        if blob is None:
            await self._lose(wheels, digest)
            raise NotFound(f"The bytes of {filename} are lost here: it is listed no longer, until it is built again.")
        return blob, digest

    async def _lose(self, wheels: Sequence[BuiltWheel], digest: str) -> None:
        """Take wheels off the record whose bytes are gone: a client gives up where it is shown a wheel in vain."""
        lost = [{"project": one.project, "filename": one.filename, "sha256": one.sha256} for one in wheels]
        log.error("the bytes of a built wheel are lost, it is listed no longer", sha256=digest, wheels=lost)
        audit = AuditRecord(at=utc_now(), action="lost", detail=json.dumps({"wheels": lost, "missing": digest}))
        await self._catalog.purge(wheels, every_target=False, bury=False, builds=(), audit=audit)

    async def current(self, project: str) -> tuple[Current, bool]:
        """Return the page as upstream last sent it, and whether that needed no question to upstream."""
        known = self._shelf.get(project)
        now = time.time()
        if isinstance(known, Absent) and now < known.until:
            self._observe("absent")
            raise UnknownProject(f"Upstream has no project {project}.")
        if isinstance(known, Current) and self._usable(known, now):
            self._observe("stale" if known.stale else "fresh")
            return known, True
        return await self._flights.join(project, lambda: self._refresh(project))

    def _usable(self, known: Current, now: float) -> bool:
        fresh = 0 <= now - known.checked < self._ttl
        return fresh or (known.stale and time.monotonic() < known.ask_after)

    async def _refresh(self, project: str) -> tuple[Current, bool]:
        known = self._shelf.get(project)
        if not isinstance(known, Current):
            known = await self._load(project)
            if known is not None and self._usable(known, time.time()):
                self._observe("stored")
                return known, True
        try:
            answer = await self._upstream.page(project, known.etag if known else None)
            return await self._take(project, known, answer), False
        except UnknownProject:
            await self._pages.drop(project)
            absent = Absent(until=time.time() + min(self._ttl, _ABSENT_SECONDS))
            self._shelf.put(project, absent, _ABSENT_WEIGHT)
            self._observe("unknown")
            raise
        except UpstreamFault as fault:
            if known is None:
                self._observe("failed")
                raise
            known.stale = True
            known.ask_after = time.monotonic() + min(self._ttl, _PAUSE_SECONDS)
            self._observe("stale")
            log.warning("upstream failed, the last good page is served", project=project, fault=fault.sentence)
            return known, False

    async def _take(self, project: str, known: Current | None, answer: PageAnswer | None) -> Current:
        """Make what upstream answered the current page. Raise `UpstreamInvalid` where it is none."""
        now = time.time()
        digest = None if answer is None else await asyncio.to_thread(_digest, answer)
        if known is not None and (answer is None or digest == known.digest):
            known.checked, known.stale = now, False
            if answer is not None:
                known.etag = answer.etag
            await self._pages.renew(project, now)
            self._observe("revalidated")
            return known
        if answer is None or digest is None:
            raise UpstreamInvalid("Upstream answered that a page is unchanged that was never asked for.")
        page = await asyncio.to_thread(read_page, answer, project)
        current = Current(page=page, digest=digest, etag=answer.etag, checked=now)
        self._shelf.put(project, current, len(answer.body) * _PAGE_WEIGHT)
        await self._pages.put(project, answer, now)
        self._observe("fetched")
        return current

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

    async def _render(
        self, project: str, current: Current, form: Form, root: str, wheels: tuple[BuiltWheel, ...], *, compress: bool
    ) -> Rendered:
        rendered = await asyncio.to_thread(_render_body, current.page, form, root, wheels, compress=compress)
        current.renders[form, root, compress] = rendered
        if self._shelf.get(project) is current:
            self._shelf.add_weight(project, len(rendered.body))
        return rendered


def file_resource(entry: Entry) -> Resource:
    """Return how to fetch a listed file and what it must be."""
    return Resource(key=entry.sha256 or entry.url, url=entry.url, hashes=entry.hashes, size=entry.size)


def metadata_resource(entry: Entry) -> Resource:
    """Return how to fetch a listed file's core metadata. The suffix goes to the path, as uv forms it (PEP 658)."""
    base, question, query = entry.url.partition("?")
    url = f"{base}{_METADATA}{question}{query}"
    hashes: Mapping[str, str] = {} if isinstance(entry.core_metadata, bool) else entry.core_metadata
    return Resource(key=hashes.get("sha256") or url, url=url, hashes=hashes, size=None, is_sidecar=True)


def _digest(answer: PageAnswer) -> bytes:
    """Return what tells one page from another: its bytes, and the address that its links are relative to."""
    digest = hashlib.sha256(f"{answer.content_type}\n{answer.url}\n".encode())
    digest.update(answer.body)
    return digest.digest()


def _render_body(page: Page, form: Form, root: str, wheels: tuple[BuiltWheel, ...], *, compress: bool) -> Rendered:
    body = render(page, form, overlay(page.files, wheels), root=root)
    tag = hashlib.sha256(body).hexdigest()[:32]
    if compress:
        return Rendered(body=gzip.compress(body, 6, mtime=0), etag=f'"{tag}-gzip"', wheels=wheels)
    return Rendered(body=body, etag=f'"{tag}"', wheels=wheels)
