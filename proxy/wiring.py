"""The composition: which implementation stands behind each port, what starts in which order, and how it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.database import Database, DatabaseFault
from buildthrough.builders.pool import Pool
from buildthrough.builders.queue import SqlQueue
from buildthrough.builders.retry import FailureMemory, RetryPolicy
from buildthrough.builders.sandbox import Limits
from buildthrough.builders.workshop import Workshop, open_workshop
from buildthrough.config.pip import find_index
from buildthrough.config.schema import SettingsError
from buildthrough.proxy import logs
from buildthrough.proxy.api import MAX_BODY_BYTES, Api, Readiness
from buildthrough.proxy.blobs import LocalBlobs
from buildthrough.proxy.building import Building
from buildthrough.proxy.catalog import SqlCatalog
from buildthrough.proxy.connection import Runner
from buildthrough.proxy.current import CurrentPages
from buildthrough.proxy.downloads import Downloads
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.eviction import Eviction
from buildthrough.proxy.folder import DataFolder, StartError, temporary_work
from buildthrough.proxy.metrics import Metrics
from buildthrough.proxy.mirror import Mirror
from buildthrough.proxy.misses import Misses
from buildthrough.proxy.operations import Operations
from buildthrough.proxy.pages import PageStore
from buildthrough.proxy.projects import Projects
from buildthrough.proxy.publication import clean_up, put_bytes
from buildthrough.proxy.upstream import HttpUpstream
from buildthrough.proxy.web import MAX_HEADER_BYTES, MAX_LINE_BYTES, Index, boundary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from buildthrough.config.schema import Settings

log = logs.logger("server")

_THREADS = 32
"""Blocking calls that may be under way at once."""
_DOWNLOADS = 64
_SWITCH_SECONDS = 0.0005
"""How long a thread that reads a big page may hold the interpreter while the event loop waits; a request waits several
times. With Python's own 5 ms, a page of 10 MB held up others for half a second (``bench/stall.py``)."""
_EVICTION_SECONDS = 60.0
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What lies in the data folder."""

    queue: SqlQueue
    catalog: SqlCatalog
    files: LocalBlobs
    built: LocalBlobs
    build_logs: LocalBlobs
    pages: PageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The application, and the records that it works on."""

    application: web.Application
    store: Store


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT and return the exit code. Raise `StartError`."""
    with (
        closing(logs.configure(settings.log.level, settings.log.format)),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        return runner.run(_serve(settings))


def diagnose(settings: Settings) -> tuple[list[str], bool]:
    """Say in plain words what this machine can isolate and build, and whether it can. Raise `StartError`."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_diagnose(settings))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.implementation.name != "cpython":
        return None
    import uvloop  # noqa: PLC0415 - PyPy has none

    return uvloop.new_event_loop


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="blocking"))
    folder = DataFolder(settings.storage.dir)
    with folder.held(), folder.work(settings.build.work_dir) as work:
        try:
            async with AsyncExitStack() as stack:
                workshop = await _open_workshop(settings, work)
                assembly = await assemble(settings, folder, workshop, work=work, stop=stop, stack=stack)
                await stack.enter_async_context(listening(settings, folder, assembly.application))
                sys.setswitchinterval(_SWITCH_SECONDS)
                gc.freeze()  # what is alive now stays: full collections need not look at it, and are shorter
                await stop.wait()
                log.info("stopping: requests finish, builds go back to the queue")
        except DatabaseFault as fault:
            raise StartError(fault.sentence) from fault
        except StorageFault as fault:
            raise StartError(fault.sentence) from fault
        except SettingsError as error:
            raise StartError(str(error)) from error
    log.info("stopped")
    return 0


async def assemble(
    settings: Settings,
    folder: DataFolder,
    workshop: Workshop,
    *,
    work: Path,
    stop: asyncio.Event,
    stack: AsyncExitStack,
) -> Assembly:
    """Open everything, in the order of dependence; the stack closes it in reverse."""
    metrics = Metrics()
    parts = await _open_store(settings, metrics, stack)
    upstream = await stack.enter_async_context(_upstream(settings, metrics))
    downloads = await stack.enter_async_context(
        Downloads.open(upstream, parts.files, limit=_DOWNLOADS, remember=parts.pages.digests, observe=metrics.file)
    )
    current = CurrentPages(
        upstream=upstream,
        pages=parts.pages,
        page_ttl=settings.upstream.page_ttl,
        memory_bytes=settings.storage.memory_bytes,
        observe=metrics.page,
    )
    stack.push_async_callback(current.close)
    mirror = Mirror(current=current, downloads=downloads, catalog=parts.catalog, built=parts.built)
    stack.push_async_callback(mirror.close)
    projects = Projects(upstream=upstream, pages=parts.pages, page_ttl=settings.upstream.page_ttl)
    stack.push_async_callback(projects.close)
    pool = await stack.enter_async_context(
        _pool(settings, workshop, store=parts, mirror=mirror, downloads=downloads, work=work)
    )
    misses = Misses(parts.queue, parts.catalog, workshop.targets, enabled=pool.slots > 0, observe=metrics.verdict)
    stack.push_async_callback(misses.close)
    operations = Operations(
        mirror=mirror,
        catalog=parts.catalog,
        queue=parts.queue,
        built=parts.built,
        logs_store=parts.build_logs,
        isolation=workshop.isolation,
        targets=workshop.targets,
        slots=pool.slots,
        cancel_running=pool.cancel,
    )
    await _start_task(_evict_for_ever(Eviction(parts.files, settings.storage.max_cached_bytes)), stack)
    index = Index(mirror=mirror, projects=projects, misses=misses)
    api = Api(
        operations=operations,
        metrics=metrics,
        readiness=Readiness(is_ready=lambda: not stop.is_set()),
        token=folder.token(settings.admin.token),
    )
    application = web.Application(middlewares=[boundary(metrics)], client_max_size=MAX_BODY_BYTES)
    application.add_routes([*index.routes(), *api.routes()])
    return Assembly(application=application, store=parts)


async def _open_store(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Store:
    """Open what lies in the data folder, and sweep what a crash left there."""
    root = settings.storage.dir
    database = await stack.enter_async_context(Database.open(f"sqlite:///{root / 'catalog.sqlite3'}"))
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
    built = await LocalBlobs.opened(root / "built")
    await clean_up(catalog, built)
    return Store(
        queue=queue,
        catalog=catalog,
        files=await LocalBlobs.opened(root / "files"),
        built=built,
        build_logs=await LocalBlobs.opened(root / "logs"),
        pages=await stack.enter_async_context(PageStore.open(root / "pages")),
    )


@asynccontextmanager
async def _upstream(settings: Settings, metrics: Metrics) -> AsyncIterator[HttpUpstream]:
    given = settings.upstream
    url, ca_file = given.url, given.ca_file
    if not url:
        found = await asyncio.to_thread(find_index, host=settings.server.host, port=settings.server.port)
        url, ca_file = found.url, ca_file or found.ca_file or ""
    contact = f" ({given.user_agent_contact})" if given.user_agent_contact else ""
    async with HttpUpstream.open(
        url,
        connect_seconds=given.connect_seconds,
        read_seconds=given.read_seconds,
        retries=given.retries,
        max_page_bytes=given.max_page_bytes,
        ca_file=ca_file or None,
        user_agent=f"buildthrough/{version('buildthrough')}{contact}",
        observe=metrics.upstream,
    ) as upstream:
        log.info("upstream", url=upstream.redacted_url)
        yield upstream


async def _open_workshop(settings: Settings, work: Path) -> Workshop:
    build = settings.build
    workshop = await open_workshop(
        work,
        enabled=build.enabled,
        slots=build.slots,
        first_uid=build.slot_uid_base,
        interpreters=tuple(Path(path) for path in build.interpreters),
        search_path=os.environ.get("PATH", os.defpath),
    )
    isolation = workshop.isolation
    if isolation.can_build:
        log.info("builds are on", isolation=isolation.level, targets=", ".join(one.slug for one in workshop.targets))
    else:
        log.warning("builds are off, everything else works", why="; ".join(isolation.sentences))
    for sentence in (*isolation.sentences, *workshop.sentences) if isolation.can_build else ():
        log.debug(sentence)
    return workshop


def _pool(
    settings: Settings,
    workshop: Workshop,
    *,
    store: Store,
    mirror: Mirror,
    downloads: Downloads,
    work: Path,
) -> Pool[BuildLog]:
    """Return the workers, none where nothing can be isolated."""
    build = settings.build
    building = Building(
        mirror=mirror,
        downloads=downloads,
        catalog=store.catalog,
        built=store.built,
        queue=store.queue,
        workshop=workshop,
        limits=Limits(
            memory_bytes=build.memory_bytes,
            disk_bytes=build.disk_bytes,
            processes=build.processes,
            wall_seconds=build.wall_seconds,
            silence_seconds=build.silence_seconds,
        ),
        max_wheel_bytes=build.max_wheel_bytes,
        work=work,
    )
    return Pool(
        store.queue,
        workshop.sandboxes,
        new_log=BuildLog,
        make=building.make,
        publish=building.publish,
        submit_requirement=building.submit_requirement,
        store_log=lambda data: put_bytes(store.build_logs, data),
        clean=building.clean,
        stop_seconds=settings.server.shutdown_seconds,
    )


@asynccontextmanager
async def listening(settings: Settings, folder: DataFolder, application: web.Application) -> AsyncIterator[None]:
    """Take requests; at the end take no more, and let those under way finish."""
    server = settings.server
    runner = Runner(
        application,
        access_log=logging.getLogger("aiohttp.access") if settings.log.access else None,
        shutdown_timeout=server.shutdown_seconds,
        handler_cancellation=False,
        max_field_size=MAX_HEADER_BYTES,
        max_line_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, server.host, server.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            reason = error.strerror or error
            raise StartError(
                f"The address {server.host}:{server.port} cannot be listened on ({reason}); choose another with --port."
            ) from error
        host, port = runner.addresses[0][:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        with folder.announced(url):
            log.info("listening", index=f"{url}simple/", data=str(folder.path))
            yield
    finally:
        await runner.cleanup()


async def _diagnose(settings: Settings) -> tuple[list[str], bool]:
    with temporary_work(settings.build.work_dir) as work:
        workshop = await _open_workshop(settings, work)
    return _describe(workshop), bool(workshop.targets)


def _describe(workshop: Workshop) -> list[str]:
    isolation = workshop.isolation
    lines = [f"isolation level {isolation.level}" if isolation.can_build else "builds are off; pass-through works"]
    lines += [f"  - {sentence}" for sentence in isolation.sentences]
    if isolation.can_build:
        lines.append("targets" if workshop.targets else "no target: nothing can be built")
        lines += [f"  - {target.slug} with {target.interpreter.executable}" for target in workshop.targets]
        lines += ["notes", *(f"  - {sentence}" for sentence in workshop.sentences)] if workshop.sentences else []
    return lines


async def _evict_for_ever(eviction: Eviction) -> None:
    while True:
        try:
            evicted = await eviction.round()
        except StorageFault as fault:
            log.warning("cached files could not be removed", fault=fault.sentence)
        else:
            if evicted.count:
                log.info("cached files were removed to stay within the bound", count=evicted.count, bytes=evicted.bytes)
        await asyncio.sleep(_EVICTION_SECONDS)


async def _start_task(work: Coroutine[object, object, None], stack: AsyncExitStack) -> None:
    task = asyncio.ensure_future(work)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
