"""The `Sandbox` port without namespaces: Landlock, a stricter filter, limits, and a process above all others.

For where neither root nor a user namespace is to be had. Files, sockets and signals of the machine are out of reach;
what is lacking against namespaces is said by `buildthrough.builders.isolation`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from buildthrough.builders import seccomp
from buildthrough.builders.confined import Confined
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.isolation import probe
from buildthrough.builders.permissions import is_readable_by
from buildthrough.builders.profile import DEVICES, ENVIRONMENT, TEMPORARY, preamble
from buildthrough.builders.running import Runner
from buildthrough.builders.scratch import VARIABLE, places, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from buildthrough.builders.pipes import Pipes
    from buildthrough.builders.profile import Host, Root
    from buildthrough.builders.sandbox import Channel, Command, Ending, Isolation
    from buildthrough.builders.slot import Slot
    from buildthrough.builders.walls import Ends, Plan

T = TypeVar("T")
_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
_LAUNCHER = Path(__file__).with_name("inside") / "confine.py"


class LandlockSandbox:
    """One slot of the pool. Opens nothing until a command runs."""

    def __init__(self, slot: Slot, work: Path, *, host: Host | None = None) -> None:
        """Run commands in ``slot``. Their folders are made below ``work``, and are gone when they have ended."""
        self._slot = slot
        self._work = work
        self._scratch = work / f"scratch-{slot.index}"
        self._turn = asyncio.Lock()
        self._runner = Runner(slot, _Walls(self._scratch), host=host)

    async def run(self, command: Command, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
        """Run the command, hold the dialogue, wait until every process of it is dead. See `Sandbox.run`."""
        async with self._turn:
            await asyncio.to_thread(_make_afresh, self._scratch, self._slot.user)
            try:
                return await self._runner.run(command, talk)
            finally:
                await asyncio.shield(_remove(self._scratch))

    async def probe(self) -> Isolation:
        """Try what this slot isolates. See `Sandbox.probe`."""
        return await probe(self, self._slot, self._work, "landlock")


class _Walls:
    """Walls of Landlock, which the process that becomes the command puts up itself."""

    folders: tuple[str, ...] = ()

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    async def start(self, plan: Plan, pipes: Pipes, ends: Ends) -> Confined:
        """Start the process that starts the command and ends what it leaves."""
        if plan.command.root is not None:
            raise InfrastructureFault(
                "infra.sandbox", "another root file system needs namespaces, which are not to be had"
            )
        program = pipes.file(seccomp.program(plan.architecture, memfd=False, strict=True))
        argv = command_line(
            plan.command,
            host=plan.host,
            root=plan.root,
            python=await asyncio.to_thread(_python, None if plan.user is None else plan.user[0]),
            launcher=await asyncio.to_thread(_LAUNCHER.read_text),
            scratch=self._scratch,
            seccomp_fd=program,
            dialogue=(ends.answers, ends.messages),
            user=plan.user,
            cgroups=plan.procs,
            processes=plan.processes,
        )
        inherited = (program, ends.answers, ends.messages)
        return await Confined.start(argv, ends=ends, inherited=inherited, user=plan.user)


def command_line(
    command: Command,
    *,
    host: Host,
    root: Root,
    python: str,
    launcher: str,
    scratch: Path,
    seccomp_fd: int,
    dialogue: tuple[int, int],
    user: tuple[int, int] | None,
    cgroups: tuple[Path, ...],
    processes: int,
) -> tuple[str, ...]:
    """Return the whole argv; ``launcher`` is the text of `builders/inside/confine.py`. Pure."""
    found = places(command.mounts, scratch)
    environment = {name: translated(value, found) for name, value in {**ENVIRONMENT, **command.environment}.items()}
    plan = {
        "argv": [*(translated(word, found) for word in command.argv), *map(str, dialogue)],
        "environment": {**environment, VARIABLE: str(scratch)},
        "folder": f"{scratch}/build",
        "read": [*_SYSTEM, *root.folders, *(str(mount.source) for mount in command.mounts)],
        "write": [str(scratch)],
        "devices": [f"/dev/{name}" for name in DEVICES],
        "seccomp": seccomp_fd,
        "inherited": list(dialogue),
    }
    bounded = preamble(host, command.limits, user=user, cgroups=cgroups, processes=processes)
    return (*bounded, python, "-I", "-S", "-B", "-c", launcher, json.dumps(plan))


def _python(uid: int | None) -> str:
    """Return a Python that the user that builds can run: the system's, or our own. Blocking."""
    for path in (Path("/usr/bin/python3"), Path(sys.executable)):
        if path.exists() and is_readable_by(path, uid):
            return str(path.resolve())
    raise InfrastructureFault("infra.sandbox", "there is no Python that the user that builds can run: install python3")


def _make_afresh(scratch: Path, user: tuple[int, int] | None) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in ("", *TEMPORARY):
        path = Path(f"{scratch}{folder}")
        path.mkdir(parents=True, mode=0o700)
    if user is not None:
        for path in (scratch, *scratch.rglob("*")):
            os.chown(path, *user)


async def _remove(scratch: Path) -> None:
    """Remove what a command left, however deep and whatever its modes; nothing of it is alive any more.

    By a program, since folders may lie deeper than Python's own recursion goes.
    """
    script = 'chmod -R u+rwX -- "$1" 2>/dev/null; exec rm -rf --one-file-system -- "$1"'
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", script, "sh", str(scratch))
    if await process.wait():
        raise InfrastructureFault("infra.disk", f"what a build left in {scratch} cannot be removed")
