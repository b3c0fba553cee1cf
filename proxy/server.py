"""The life of a server: listen, serve, stop; and the diagnosis of the machine that it would run on."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from buildthrough.builders.database import DatabaseFault
from buildthrough.builders.packages import missing_packages
from buildthrough.builders.toolchain import PACKAGES
from buildthrough.config.recipe_files import load_recipes
from buildthrough.config.schema import SettingsError
from buildthrough.proxy import logs
from buildthrough.proxy.connection import Runner
from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.folder import DataFolder, StartError, temporary_work
from buildthrough.proxy.fullness import fullness
from buildthrough.proxy.listener import Listener, connections_within, raise_descriptor_limit
from buildthrough.proxy.loop import loop_factory
from buildthrough.proxy.opening import survey_builders
from buildthrough.proxy.survey import survey
from buildthrough.proxy.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
    from pathlib import Path

    from aiohttp import web

    from buildthrough.builders.workshop import Workshop
    from buildthrough.config.schema import Settings

log = logs.logger("server")

_SWITCH_SECONDS = 0.0005
"""How long a thread that reads a big page may hold the interpreter while the event loop waits; a request waits several
times. With Python's own 5 ms, a page of 10 MB held up others for half a second (``python -m bench cold``)."""


def diagnose(settings: Settings) -> tuple[list[str], bool]:
    """Say in plain words what this machine can isolate and build, and whether it can. Raise `StartError`."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_diagnose(settings))


async def run(
    settings: Settings, folder: DataFolder, opening: Awaitable[Workshop], *, work: Path, stop: asyncio.Event
) -> None:
    """Serve until the event is set. Raise `StartError`."""
    try:
        async with AsyncExitStack() as stack:
            assembly = await assemble(settings, folder, await opening, work=work, stop=stop, stack=stack)
            await stack.enter_async_context(listening(settings, folder, assembly.application))
            sys.setswitchinterval(_SWITCH_SECONDS)
            gc.enable()
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
        workshop = await survey_builders(settings, work)
    storage = settings.storage
    disk = await asyncio.to_thread(fullness, storage.dir, max_size=storage.max_size, min_free=storage.min_free)
    recipes = await asyncio.to_thread(load_recipes, settings.build.recipes)
    lacking = _lacking(await missing_packages((*recipes.shipped, *recipes.own)))
    return [*_describe(workshop), *lacking, *await survey(settings), *disk], bool(workshop.targets)


def _lacking(missing: Mapping[str, Sequence[str]] | None) -> list[str]:
    """Say which projects want Debian packages that are not here."""
    if not missing:
        return []
    told = [f"    {project}: apt install {' '.join(names)}" for project, names in sorted(missing.items())]
    return ["recipes name Debian packages that are not installed; to build these projects here", *told]


def _tools(workshop: Workshop) -> list[str]:
    """Say which toolchains builds have."""
    if workshop.kit is None:
        return []
    there = workshop.kit.tool_versions
    lines = ["tools that builds have", f"  - {', '.join(f'{name} {version}' for name, version in there.items())}"]
    lines += [f"    {mount.source} is lent as {mount.target}" for mount in workshop.kit.toolchains]
    missed = {name: package for name, package in PACKAGES.items() if name not in there}
    if missed:
        lines.append(f"  - missing: {', '.join(missed)}; on Debian: apt install {' '.join(missed.values())}")
    return lines


def _describe(workshop: Workshop) -> list[str]:
    isolation = workshop.isolation
    lines = [f"isolation level {isolation.level}" if isolation.can_build else "builds are off; pass-through works"]
    lines += [f"  - {sentence}" for sentence in isolation.sentences]
    if isolation.can_build:
        lines += _tools(workshop)
        lines.append("targets" if workshop.targets else "no target: nothing can be built")
        lines += [f"  - {target.slug} with {target.interpreter.executable}" for target in workshop.targets]
        lines += ["notes", *(f"  - {sentence}" for sentence in workshop.sentences)] if workshop.sentences else []
    return lines
