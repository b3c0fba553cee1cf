"""The start of a server: while the machine is tried for builds, by other programs, the rest of this one is loaded."""

from __future__ import annotations

import asyncio
import gc
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from buildthrough.proxy import logs
from buildthrough.proxy.allocator import give_back
from buildthrough.proxy.folder import DataFolder
from buildthrough.proxy.loop import loop_factory
from buildthrough.proxy.opening import open_builders

if TYPE_CHECKING:
    from types import ModuleType

    from buildthrough.config.schema import Settings

_THREADS = 32
"""Blocking calls that may be under way at once."""


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raise `StartError`."""
    gc.disable()  # all that is made now stays: looking through it time and again takes a tenth of the start
    give_back()
    with (
        closing(logs.configure(settings.log.level, settings.log.format)),
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="blocking"))
    folder = DataFolder(settings.storage.dir)
    with folder.held(), folder.work(settings.build.work_dir) as work:
        opening = asyncio.ensure_future(open_builders(settings, work))
        try:
            server = await asyncio.to_thread(_load)
            await server.run(settings, folder, opening, work=work, stop=stop)
        finally:
            opening.cancel()
            await asyncio.wait((opening,))


def _load() -> ModuleType:
    from buildthrough.proxy import server  # noqa: PLC0415 - half a second, in which the machine is tried

    return server
