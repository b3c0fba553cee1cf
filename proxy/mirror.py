"""The use cases of the index: project page, file, core metadata, built wheel.

A page is asked for by many and changes rarely. It is rendered once for each form and kept with what upstream said, so
that an unchanged page costs a lookup. Three rules meet here: a page is edited, never modelled anew; a built wheel lives
and dies with its sdist's listing; upstream's failure never shrinks the index.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildthrough.builders.database import utc_now
from buildthrough.proxy import logs
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.current import Rendered
from buildthrough.proxy.errors import NotFound
from buildthrough.proxy.flight import Flights
from buildthrough.proxy.overlay import downloadable, overlay
from buildthrough.proxy.page import render
from buildthrough.proxy.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.current import Current, CurrentPages
    from buildthrough.proxy.download import Download
    from buildthrough.proxy.downloads import Downloads
    from buildthrough.proxy.entry import Entry, ProjectFiles
    from buildthrough.proxy.freshness import Freshness
    from buildthrough.proxy.negotiation import Form
    from buildthrough.proxy.overlay import Addition
    from buildthrough.proxy.page import Page

log = logs.logger("mirror")

_METADATA = ".metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPage:
    """A page to send."""

    rendered: Rendered
    last_serial: str | None
    freshness: Freshness


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
        current: CurrentPages,
        downloads: Downloads,
        catalog: Catalog,
        built: BlobStore,
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
        self._built = built
        self._rendering: Flights[tuple[str, Form, str, bool], Rendered] = Flights()

    async def close(self) -> None:
        """End what is under way."""
        await self._rendering.close()

    async def current(self, project: str) -> tuple[Current, Freshness]:
        """Return what upstream says, see `CurrentPages.get`."""
        return await self._current.get(project)

    async def ask(self, project: str) -> ProjectFiles:
        """Return what upstream lists for a project, asked just now, see `CurrentPages.ask`."""
        return await self._current.ask(project)

    async def page(self, project: str, form: Form, *, root: str, compress: bool, with_built: bool = True) -> ServedPage:
        """Return a project's page. Raise `UnknownProject` or `UpstreamFault`.

        ``root`` is the relative way from the page to the server's root.
        """
        current, freshness = await self._current.get(project)
        if freshness.age is not None:
            self._observe_stale(freshness.age)
        wheels = await self._catalog.wheels(project) if with_built and freshness.within(self._max_stale) else ()
        rendered = current.renders.get((form, root, compress))
        if rendered is None or rendered.wheels is not wheels:
            rendered = await self._rendering.join(
                (project, form, root, compress),
                lambda: self._render(project, current, form, root, wheels, compress=compress),
            )
            if rendered.wheels is not wheels:  # joined one that began before the newest wheel was known
                rendered = await self._render(project, current, form, root, wheels, compress=compress)
        serial = current.page.last_serial
        return ServedPage(rendered=rendered, last_serial=serial, freshness=freshness)

    async def files(self, project: str) -> ProjectFiles:
        """Return what upstream lists for a project now. Raise `UnknownProject` or `UpstreamFault`."""
        return (await self._current.get(project))[0].page.files

    async def listed(self, project: str) -> tuple[ProjectFiles, Sequence[Addition]]:
        """Return what upstream lists for a project now, and the built wheels beside it. Raise as `files` does."""
        current, freshness = await self._current.get(project)
        files = current.page.files
        return files, overlay(files, await self._catalog.wheels(project)) if freshness.within(self._max_stale) else ()

    async def file(self, project: str, path: str) -> ServedFile:
        """Return an upstream file or its core metadata by its percent-decoded path. Raise `NotFound` if unlisted."""
        current, _ = await self._current.get(project)
        files = current.page.files
        entry = current.entry(path)
        if entry is not None:
            resource = file_resource(entry, files)
        else:
            entry = current.entry(path.removesuffix(_METADATA)) if path.endswith(_METADATA) else None
            if entry is None or entry.core_metadata is False:
                raise NotFound(f"{project}: upstream lists no file {path.rpartition('/')[2]} now.")
            resource = metadata_resource(entry, files)
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

    async def _render(
        self, project: str, current: Current, form: Form, root: str, wheels: tuple[BuiltWheel, ...], *, compress: bool
    ) -> Rendered:
        rendered = await asyncio.to_thread(_render_body, current.page, form, root, wheels, compress=compress)
        current.renders[form, root, compress] = rendered
        self._current.add_weight(project, current, len(rendered.body))
        return rendered


def file_resource(entry: Entry, files: ProjectFiles) -> Resource:
    """Return how to fetch a file that these list, and what it must be."""
    return Resource(
        key=_key(files, entry.sha256 or entry.url),
        url=entry.url,
        upstream=files.upstream,
        hashes=entry.hashes,
        size=entry.size,
    )


def metadata_resource(entry: Entry, files: ProjectFiles) -> Resource:
    """Return how to fetch a listed file's core metadata. The suffix goes to the path, as uv forms it (PEP 658)."""
    base, question, query = entry.url.partition("?")
    url = f"{base}{_METADATA}{question}{query}"
    hashes: Mapping[str, str] = {} if isinstance(entry.core_metadata, bool) else entry.core_metadata
    return Resource(
        key=_key(files, hashes.get("sha256") or url),
        url=url,
        upstream=files.upstream,
        hashes=hashes,
        size=None,
        is_sidecar=True,
    )


def _key(files: ProjectFiles, name: str) -> str:
    """One upstream's download is not to be held up by what another sends under the same name."""
    return f"{files.upstream}\n{name}" if files.upstream else name


def _render_body(page: Page, form: Form, root: str, wheels: tuple[BuiltWheel, ...], *, compress: bool) -> Rendered:
    return Rendered.of(render(page, form, overlay(page.files, wheels), root=root), wheels, compress=compress)
