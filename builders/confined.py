"""The processes of one command without a namespace of their own: all are below one, which kills them when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.faults import SlotFault

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

    from buildthrough.builders.walls import Ends

_PATIENCE_SECONDS = 20.0
_DEATH_SECONDS = 30.0
_SIGNALLED = 128
_KILLED = _SIGNALLED + signal.SIGKILL


class Confined:
    """Started, killed and waited for as a whole. See `builders/inside/confine.py`, which is at the top of them."""

    namespace: int | None = None

    def __init__(self, top: Process, ends: Ends, user: tuple[int, int] | None) -> None:
        """Take over the process at the top; ``user`` runs nothing else."""
        self._top = top
        self._ends = ends
        self._user = user
        self._begun = asyncio.create_task(ends.leash.hold())

    @property
    def ran(self) -> bool:
        """Whether the command began; holds once everything is dead."""
        return self._ends.leash.let_go

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, ends: Ends, inherited: Sequence[int], user: tuple[int, int] | None
    ) -> Confined:
        """Start it with only these descriptors, in the event loop's thread: it dies with the thread that starts it."""
        stdin, stdout, stderr = ends.streams
        top = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd="/",
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            pass_fds=inherited,
        )
        return cls(top, ends, user)

    async def found(self) -> int | None:
        """Return the pid of the process at the top."""
        return self._top.pid

    async def begun(self) -> None:
        """Wait until the command begins, or its set-up has ended without that."""
        await asyncio.shield(self._begun)

    async def wait(self) -> int:
        """Wait until everything is dead. Return the exit code as a shell gives it."""
        code = await self._top.wait()
        await self._begun
        if self._user is not None:
            await asyncio.to_thread(_kill_all_of, self._user[0])
        # Only we end the process at the top by SIGTERM, and then everything below it is killed.
        return _KILLED if code == -signal.SIGTERM else _SIGNALLED - code if code < 0 else code

    async def kill(self) -> int:
        """Kill everything, wait until it is dead, and return the exit code. Raise `SlotFault` where it does not die."""
        try:
            async with asyncio.timeout(_DEATH_SECONDS):
                return await self._kill()
        except TimeoutError:
            raise SlotFault("infra.remains", "processes of a build do not die") from None

    async def _kill(self) -> int:
        """Ask the process at the top, which knows what is below it; it is out of the build's reach."""
        with suppress(ProcessLookupError):
            self._top.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await self.wait()
        with suppress(ProcessLookupError):
            self._top.kill()
        return await self.wait()


def _kill_all_of(uid: int) -> None:
    """Kill every process of a user, until there is none. Blocking."""
    while left := [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _is_alive(pid, uid)]:  # noqa: PTH208 # many
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int, uid: int) -> bool:
    try:
        rows = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return f"\nUid:\t{uid}\t" in rows and "\nState:\tZ" not in rows
