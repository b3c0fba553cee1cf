"""What lies in the data folder, opened in the order of dependence."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from buildthrough.builders.database import Database
from buildthrough.builders.retry import FailureMemory, RetryPolicy
from buildthrough.builders.sql_queue import SqlQueue
from buildthrough.proxy import logs
from buildthrough.proxy.blobs import LocalBlobs
from buildthrough.proxy.checks import Checks
from buildthrough.proxy.decisions import SqlDecisions
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.eviction import Eviction
from buildthrough.proxy.healing import Healing
from buildthrough.proxy.loss import find_lost
from buildthrough.proxy.pages import MAX_BYTES, PageStore
from buildthrough.proxy.publication import clean_up
from buildthrough.proxy.space import Part, Space
from buildthrough.proxy.sql_catalog import SqlCatalog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager, AsyncExitStack
    from pathlib import Path

    from buildthrough.config.schema import Settings
    from buildthrough.proxy.metrics import Metrics

log = logs.logger("stores")

_DAY: Final = 86_400.0
_PAGES_SHARE: Final = 8
"""Part of the data folder that pages may fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What lies in the data folder, and what looks after it."""

    queue: SqlQueue
    catalog: SqlCatalog
    decisions: SqlDecisions
    files: LocalBlobs
    built: LocalBlobs
    build_logs: LocalBlobs
    pages: PageStore
    space: Space
    checks: Checks
    healing: Healing

    async def tidy(self) -> None:
        """Sweep what a crash left, and take lost wheels off the record: behind the start, since it takes its time."""
        try:
            await clean_up(self.catalog, self.built)
            await find_lost(self.catalog, self.built)
        except StorageFault as fault:
            log.warning("what a crash left is not swept yet", fault=fault.sentence)


async def open_stores(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Store:
    """Open what lies in the data folder. Raise `StorageFault` or `DatabaseFault`."""
    root = settings.storage.dir
    database = await stack.enter_async_context(_database(root))
    held_against = settings.build.failure_days * _DAY
    queue = SqlQueue(
        database,
        retry=RetryPolicy(max_attempts=settings.build.max_attempts),
        memory=FailureMemory(otherwise=held_against, longest=held_against),
        limit=settings.build.queue_size,
        on_change=metrics.build,
    )
    recovered = await queue.recover()
    if recovered:
        log.info("builds that were running when the last server ended are taken up again", builds=len(recovered))
    catalog = await SqlCatalog.open(database, notice=queue.notice)
    most_pages = min(MAX_BYTES, settings.storage.max_size // _PAGES_SHARE)
    pages = await stack.enter_async_context(PageStore.open(root / "pages", most_pages))
    space = Space(
        root,
        max_bytes=settings.storage.max_size,
        min_free=settings.storage.min_free,
        others={
            "pages": pages.volume,
            "list": lambda: asyncio.to_thread(_bytes_of, root / "list", "*"),
            "records": lambda: asyncio.to_thread(_bytes_of, root, "catalog.sqlite3*"),
        },
        observe=lambda kind, evicted: metrics.evicted(kind, evicted.count, evicted.bytes),
    )
    metrics.space = space
    checks = Checks()
    files = await LocalBlobs.opened(root / "files", space.room(), checks.of("files"))
    built = await LocalBlobs.opened(root / "built", space.room(is_record=True), checks.of("built"))
    build_logs = await LocalBlobs.opened(root / "logs", space.room(is_record=True), checks.of("logs"))
    for kind, blobs in (("files", files), ("logs", build_logs), ("built", built)):
        space.add(kind, Part(blobs=blobs, eviction=Eviction(blobs), may_go=kind != "built"))
    healing = Healing(
        files=files,
        logs=build_logs,
        built=built,
        pages=pages,
        lists=root / "list",
        catalog=catalog,
        observe=metrics.damaged,
    )
    return Store(
        queue=queue,
        catalog=catalog,
        decisions=SqlDecisions(database),
        files=files,
        built=built,
        build_logs=build_logs,
        pages=pages,
        space=space,
        checks=checks,
        healing=healing,
    )


@asynccontextmanager
async def open_healing(root: Path) -> AsyncIterator[Healing]:
    """Open a folder that no server uses, tidied up as a server does. Raise `StorageFault` or `DatabaseFault`."""
    async with _database(root) as database, PageStore.open(root / "pages") as pages:
        healing = Healing(
            files=await LocalBlobs.opened(root / "files"),
            logs=await LocalBlobs.opened(root / "logs"),
            built=await LocalBlobs.opened(root / "built"),
            pages=pages,
            lists=root / "list",
            catalog=await SqlCatalog.open(database),
        )
        await clean_up(healing.catalog, healing.built)
        yield healing


def _database(root: Path) -> AbstractAsyncContextManager[Database]:
    return Database.open(f"sqlite:///{root / 'catalog.sqlite3'}")


def _bytes_of(folder: Path, pattern: str) -> int:
    """Return the bytes of some files, such as the catalog and its journal."""
    sizes = []
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # replaced just now
            sizes.append(path.stat().st_size)
    return sum(sizes)
