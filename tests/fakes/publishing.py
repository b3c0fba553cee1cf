"""A data folder with the real catalog, queue and blob store; and a process that dies while it changes them.

    python -m tests.fakes.publishing FOLDER publish|purge STEP

dies, as by a kill, before the durable step of that number; it ends with 0 where there are not so many steps.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildthrough.builders.artifact import CheckedWheel
from buildthrough.builders.database import Database
from buildthrough.builders.sql_queue import SqlQueue
from buildthrough.proxy.blobs import LocalBlobs
from buildthrough.proxy.publication import publish
from buildthrough.proxy.purge import Selection, purge
from buildthrough.proxy.sql_catalog import SqlCatalog
from tests.fakes.records import a_request
from tests.fakes.wheels import make_metadata, make_wheel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KILLED = 9
PROVENANCE = b"{}"


@dataclass(frozen=True)
class Site:
    """What is open over one data folder."""

    queue: SqlQueue
    catalog: SqlCatalog
    blobs: LocalBlobs

    async def digests(self) -> set[str]:
        return {blob.sha256 async for blob in self.blobs}


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    async with Database.open(f"sqlite:///{folder / 'catalog.sqlite'}") as database:
        queue = SqlQueue(database)
        catalog = await SqlCatalog.open(database, notice=queue.notice)
        yield Site(queue=queue, catalog=catalog, blobs=await LocalBlobs.opened(folder / "built"))


def checked(folder: Path, *, name: str = "docopt", version: str = "0.6.2", **features: Any) -> CheckedWheel:
    """Make a wheel that passed every check."""
    folder.mkdir(parents=True, exist_ok=True)
    path = make_wheel(folder, name=name, version=version, **features)
    data = path.read_bytes()
    return CheckedWheel(
        path=path,
        filename=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        metadata=make_metadata(name=name, version=version),
        requires_python=None,
    )


class Mortal:
    """Stands before a collaborator and dies before one of its durable steps, counted over all of them."""

    DURABLE = frozenset({"commit", "publish", "purge", "delete", "forget"})

    def __init__(self, inner: Any, steps: list[int]) -> None:
        self._inner = inner
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "writer":
            return lambda: Mortal(found(), self._steps)
        if name not in self.DURABLE:
            return found

        async def step(*args: Any, **kwargs: Any) -> Any:
            if self._steps[0] == 0:
                os._exit(KILLED)
            self._steps[0] -= 1
            return await found(*args, **kwargs)

        return step


async def _main(folder: Path, what: str, step: int) -> None:
    steps = [step]
    async with open_site(folder) as site:
        blobs, catalog = Mortal(site.blobs, steps), Mortal(site.catalog, steps)
        if what == "publish":
            await site.queue.submit(a_request())
            await publish(
                await site.queue.claim(),
                checked(folder / "work"),
                None,
                blobs=blobs,
                catalog=catalog,
                provenance=lambda *_: PROVENANCE,
            )
        else:
            await purge(
                Selection(project="docopt"),
                dry_run=False,
                allow_rebuild=False,
                catalog=catalog,
                queue=site.queue,
                blobs=blobs,
                cancel_running=lambda _builds: None,
                pages=None,
            )


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
