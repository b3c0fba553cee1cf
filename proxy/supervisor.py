"""The life of a builder in a process of its own: it owns the sandboxes, and answers a server over a unix socket."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.service import Service
from buildthrough.proxy import logs
from buildthrough.proxy.folder import StartError
from buildthrough.proxy.opening import open_own

if TYPE_CHECKING:
    from buildthrough.config.schema import Settings

log = logs.logger("builder")


def supervise(settings: Settings, socket: Path) -> None:
    """Run commands for a server until SIGTERM or SIGINT. Raise `StartError`."""
    with closing(logs.configure(settings.log.level, settings.log.format)), asyncio.Runner() as runner:
        runner.run(_supervise(settings, socket))


async def _supervise(settings: Settings, socket: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    own = await asyncio.to_thread(_own_folder, socket)
    workshop = await open_own(settings, own)
    isolation = workshop.isolation
    for sentence in isolation.sentences if not isolation.can_build else ():
        log.warning(sentence)  # the server asks, and says it too
    shared = Path(settings.build.work_dir or tempfile.gettempdir())
    try:
        async with Service(workshop, shared=shared).listening(socket):
            log.info("builder listens", socket=str(socket), isolation=isolation.level, slots=len(workshop.sandboxes))
            await stop.wait()
    except OSError as error:
        raise StartError(f"The socket {socket} cannot be made ({error.strerror or error}).") from error
    log.info("builder stopped")


def _own_folder(socket: Path) -> Path:
    """Return the folder for what is lent: the same after a restart, for servers that go on. Blocking."""
    name = hashlib.sha256(str(socket.absolute()).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"buildthrough-builder-{os.geteuid()}-{name}")
    folder.mkdir(mode=0o755, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.geteuid():
        raise StartError(f"{folder} belongs to somebody else; remove it, or set TMPDIR.")
    folder.chmod(0o755)
    return folder
