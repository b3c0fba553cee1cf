"""Built wheels as they are downloaded: while their sdist is listed upstream and shown here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.proxy.errors import NotFound
from buildthrough.proxy.loss import lose
from buildthrough.proxy.overlay import downloadable
from buildthrough.proxy.resource import METADATA, PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from buildthrough.proxy.blobs import Blob, BlobStore
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.mirror import Mirror
    from buildthrough.proxy.screens import Screens


class BuiltWheels:
    """The wheels that were built here, with core metadata and provenance."""

    def __init__(self, *, mirror: Mirror, screens: Screens, catalog: Catalog, built: BlobStore) -> None:
        self._mirror = mirror
        self._screens = screens
        self._catalog = catalog
        self._built = built

    async def get(self, project: str, sha256: str, filename: str, cutoff: datetime | None = None) -> tuple[Blob, str]:
        """Return the bytes of a built wheel, its core metadata or its provenance, and their digest.

        Raise as `file` does.
        """
        self._screens.admit(project)
        suffix = next((one for one in (METADATA, PROVENANCE) if filename.endswith(one)), "")
        wanted = filename.removesuffix(suffix)
        # Several sdists may have given the same bytes: one that is still listed is enough.
        wheels = [one for one in await self._catalog.wheels(project) if one.sha256 == sha256 and one.filename == wanted]
        if not wheels:
            raise NotFound(f"No wheel {wanted} with this digest is kept here: it was purged, or was never built.")
        files, screened = await self._mirror.screened(project, cutoff)
        listed = [one for one in wheels if downloadable(files, one)]
        if not listed:
            sdist = wheels[0].sdist
            raise NotFound(f"{wanted} is not offered: upstream no longer lists the {sdist} that it was built from.")
        wheel = next((one for one in listed if one.sdist not in screened.hidden.names), listed[0])
        screened.check(wheel.sdist)
        if suffix == PROVENANCE:
            return await self._provenance(wanted, listed)
        digest = wheel.metadata_sha256 if suffix else wheel.sha256
        blob = await self._built.open(digest, None if suffix else wheel.size)
        if blob is None:
            await lose(self._catalog, self._built, digest)
            raise NotFound(f"The bytes of {filename} are lost here: it is listed no longer, until it is built again.")
        return blob, digest

    async def provenance(self, sha256: str) -> Blob:
        """Return the provenance of a built wheel by the wheel's digest, whatever upstream lists. Raise `NotFound`."""
        wheels = [one for one in await self._catalog.all_wheels() if one.sha256 == sha256]
        if not wheels:
            raise NotFound("No wheel with this digest is kept here: it was purged, or was never built.")
        return (await self._provenance(wheels[0].filename, wheels))[0]

    async def _provenance(self, filename: str, wheels: Sequence[BuiltWheel]) -> tuple[Blob, str]:
        """Return the record of the first of some builds that gave the same bytes, if it has one."""
        for digest in [one.provenance_sha256 for one in wheels if one.provenance_sha256 is not None]:
            blob = await self._built.open(digest, None)
            if blob is not None:
                return blob, digest
            await lose(self._catalog, self._built, digest)
        raise NotFound(f"No record is kept of how {filename} was built: it is older than records, or it is lost.")
