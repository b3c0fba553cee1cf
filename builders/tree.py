"""The processes of one command: bwrap, and below it everything in the command's own pid namespace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildthrough.builders.faults import SlotFault

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Sequence

    from buildthrough.builders.leash import Leash

_REPORT_SECONDS = 5.0
_REAP_SECONDS = 5.0
_DEATH_SECONDS = 30.0
_SIGNALLED = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """What the set-up of a sandbox says, and what it waits for."""

    status: asyncio.StreamReader
    """What bwrap reports (``--json-status-fd``)."""
    leash: Leash


class Tree:
    """Started, killed and waited for as a whole: when pid 1 of a pid namespace is dead, all of it is."""

    def __init__(self, bwrap: Process, reports: Reports) -> None:
        """Take over a bwrap that was started."""
        self._bwrap = bwrap
        self._reports = reports
        self._resources = ExitStack()
        self._parent = _hold_child(bwrap)
        if self._parent is not None:
            self._resources.callback(os.close, self._parent)
        self._init: int | None = None
        self._dead = asyncio.Event()
        self._found = asyncio.Event()
        self._reported = asyncio.create_task(self._follow())
        self._begun = asyncio.create_task(reports.leash.hold())
        self.pid: int | None = None
        """Of the command itself, pid 1 inside, as the host counts."""
        self.namespace: int | None = None
        """Of process ids, the one that it is pid 1 of, as its inode number."""

    @property
    def ran(self) -> bool:
        """Whether the command began; holds once everything is dead."""
        return self._reports.leash.let_go

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, streams: tuple[int, int, int], inherited: Sequence[int], reports: Reports
    ) -> Tree:
        """Start it with only these descriptors, in the event loop's thread: it dies with the thread that starts it."""
        stdin, stdout, stderr = streams
        bwrap = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd="/",
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            pass_fds=inherited,
        )
        return cls(bwrap, reports)

    async def found(self) -> int | None:
        """Wait until the command begins, in file systems of its own, and return its pid; None where it does not."""
        await self._found.wait()
        await self.begun()
        return self.pid if self.ran else None

    async def begun(self) -> None:
        """Wait until the command begins, or its set-up has ended without that."""
        await asyncio.shield(self._begun)

    async def wait(self) -> int:
        """Wait until everything is dead. Return the exit code as a shell gives it."""
        code = await self._bwrap.wait()
        await self._reported
        await self._begun
        if self._init is not None:  # bwrap may have been killed before its child
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
            await self._dead.wait()
        return _SIGNALLED - code if code < 0 else code

    async def kill(self) -> int:
        """Kill everything, wait until it is dead, and return the exit code.

        Raise `SlotFault` where something does not die.
        """
        try:
            async with asyncio.timeout(_DEATH_SECONDS):
                return await self._kill()
        except TimeoutError:
            raise SlotFault("infra.remains", "processes of a build do not die") from None
        finally:
            self._resources.close()

    async def _kill(self) -> int:
        """Kill pid 1 of the namespace first, so that bwrap reaps it, and not the host's init."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_REPORT_SECONDS):
                await self._found.wait()
        if self._init is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
            await self._dead.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_REAP_SECONDS):
                    await self._bwrap.wait()
        if self._parent is not None:  # not by asyncio, which reaps whom it asks and then knows no exit code any more
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._parent, signal.SIGKILL)
        return await self.wait()

    async def _follow(self) -> None:
        """Read bwrap's report, in which the pid comes first; what was killed in the middle of a line said nothing."""
        try:
            while (line := await self._reports.status.readline()).endswith(b"\n"):
                report: dict[str, Any] = json.loads(line)
                if "child-pid" in report:
                    self.namespace = report.get("pid-namespace")
                    self._hold(report["child-pid"])
        finally:
            self._found.set()

    def _hold(self, pid: int) -> None:
        """Get a hold on the process, so that its number cannot come to mean another one."""
        with suppress(ProcessLookupError, FileNotFoundError):  # it has ended meanwhile
            descriptor = os.pidfd_open(pid)
            self._resources.callback(os.close, descriptor)
            if f"\nPPid:\t{self._bwrap.pid}\n" in Path(f"/proc/{pid}/status").read_text():
                self._init = descriptor
                self.pid = pid
                loop = asyncio.get_running_loop()
                self._resources.callback(loop.remove_reader, descriptor)
                loop.add_reader(descriptor, self._note_death)
        self._found.set()

    def _note_death(self) -> None:
        """Take note that pid 1, and with it its whole pid namespace, is dead: its pidfd is readable."""
        if self._init is not None:
            asyncio.get_running_loop().remove_reader(self._init)
        self._dead.set()


def _hold_child(child: Process) -> int | None:
    """Return a descriptor of a process that was started here, None where it has ended."""
    if child.returncode is not None:
        return None
    with suppress(ProcessLookupError):
        return os.pidfd_open(child.pid)
    return None
