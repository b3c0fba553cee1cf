"""Built wheels whose bytes are gone or damaged: they are taken off the record at once, and may be built again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from buildthrough.builders.database import utc_now
from buildthrough.proxy import logs
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.publication import sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildthrough.proxy.blobs import BlobStore
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.catalog import Catalog

log = logs.logger("loss")


async def lose(catalog: Catalog, blobs: BlobStore, sha256: str) -> Sequence[BuiltWheel]:
    """Take off the record the wheels that need these bytes, and delete what is left of them. Return the wheels.

    A wheel whose provenance alone is lost stays, without it: lock files hold its address.

    A client gives up where it is shown a wheel in vain. No tombstone is left: the next miss has the wheel built again.
    """
    if stay := await catalog.drop_provenance(sha256):
        log.error("the provenance of built wheels is lost", sha256=sha256, wheels=[one.filename for one in stay])
    wheels = [one for one in await catalog.all_wheels() if sha256 in {one.sha256, one.metadata_sha256}]
    if wheels:
        lost = [{"project": one.project, "filename": one.filename, "sha256": one.sha256} for one in wheels]
        log.error("the bytes of a built wheel are lost, it is listed no longer", sha256=sha256, wheels=lost)
        audit = AuditRecord(at=utc_now(), action="lost", detail=json.dumps({"wheels": lost, "missing": sha256}))
        await catalog.purge(wheels, every_target=False, bury=False, builds=(), audit=audit)
        await sweep(catalog, blobs)
    return (*wheels, *stay)


async def find_lost(catalog: Catalog, blobs: BlobStore) -> int:
    """Take off the record all wheels whose bytes are not there, or of another size. Return how many."""
    found = 0
    for wheel in await catalog.all_wheels():
        for sha256, size in ((wheel.sha256, wheel.size), (wheel.metadata_sha256, None)):
            if await blobs.open(sha256, size) is None and wheel in await catalog.wheels(wheel.project):
                found += len(await lose(catalog, blobs, sha256))
                break
    return found
