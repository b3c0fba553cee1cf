"""The life of a server: start, listen, stop; and the diagnosis of the machine that it would run on."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING

from buildthrough.builders.database import DatabaseFault
from buildthrough.config.schema import SettingsError
from buildthrough.proxy import logs
from buildthrough.proxy.allocator import give_back
from buildthrough.proxy.connection import Runner
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.folder import DataFolder, StartError, temporary_work
from buildthrough.proxy.fullness import fullness
from buildthrough.proxy.listener import Listener, connections_within, raise_descriptor_limit
from buildthrough.proxy.survey import survey
from buildthrough.proxy.wiring import assemble, open_builders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from buildthrough.builders.workshop import Workshop
    from buildthrough.config.schema import Settings

log = logs.logger("server")

_THREADS = 32
"""Blocking calls that may be under way at once."""
_SWITCH_SECONDS = 0.0005
"""How long a thread that reads a big page may hold the interpreter while the event loop waits; a request waits several
times. With Python's own 5 ms, a page of 10 MB held up others for half a second (``python -m bench cold``)."""


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT and return the exit code. Raise `StartError`."""
    give_back()
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
                workshop = await open_builders(settings, work)
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


@asynccontextmanager
async def listening(settings: Settings, folder: DataFolder, application: web.Application) -> AsyncIterator[None]:
    """Take requests; at the end take no more, and let those under way finish."""
    server = settings.server
    runner = Runner(
        application,
        head_seconds=server.header_seconds,
        keepalive_timeout=server.keepalive_seconds,
        access_log=logging.getLogger("aiohttp.access") if settings.log.access else None,
        shutdown_timeout=server.shutdown_seconds,
        handler_cancellation=False,
    )
    await runner.setup()
    listener = Listener(runner.connections, limit=_connections(server.max_connections))
    try:
        try:
            host, port = await listener.start(server.host, server.port)
        except OSError as error:
            reason = error.strerror or error
            raise StartError(
                f"The address {server.host}:{server.port} cannot be listened on ({reason}); choose another with --port."
            ) from error
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        with folder.announced(url):
            log.info("listening", index=f"{url}simple/", data=str(folder.path))
            yield
    finally:
        listener.close()
        await runner.cleanup()


def _connections(wanted: int) -> int:
    """Return how many connections may be open at once."""
    descriptors = raise_descriptor_limit()
    allowed = connections_within(descriptors, wanted)
    if allowed < wanted:
        log.warning("fewer connections are let in: the limit of open files is low", files=descriptors, limit=allowed)
    return allowed


async def _diagnose(settings: Settings) -> tuple[list[str], bool]:
    with temporary_work(settings.build.work_dir) as work:
        workshop = await open_builders(settings, work)
    storage = settings.storage
    disk = await asyncio.to_thread(fullness, storage.dir, max_size=storage.max_size, min_free=storage.min_free)
    return [*_describe(workshop), *await survey(settings), *disk], bool(workshop.targets)


def _describe(workshop: Workshop) -> list[str]:
    isolation = workshop.isolation
    lines = [f"isolation level {isolation.level}" if isolation.can_build else "builds are off; pass-through works"]
    lines += [f"  - {sentence}" for sentence in isolation.sentences]
    if isolation.can_build:
        lines.append("targets" if workshop.targets else "no target: nothing can be built")
        lines += [f"  - {target.slug} with {target.interpreter.executable}" for target in workshop.targets]
        lines += ["notes", *(f"  - {sentence}" for sentence in workshop.sentences)] if workshop.sentences else []
    return lines
