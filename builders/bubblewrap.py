"""The `Sandbox` port by bubblewrap: namespaces, a system call filter, limits, and an end that leaves nothing alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from buildthrough.builders import seccomp
from buildthrough.builders.channel import LONGEST_LINE
from buildthrough.builders.isolation import probe
from buildthrough.builders.profile import ETC_FILES, TEMPORARY, Descriptors, Host, command_line
from buildthrough.builders.running import Runner
from buildthrough.builders.tree import Reports, Tree

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from buildthrough.builders.pipes import Pipes
    from buildthrough.builders.sandbox import Channel, Command, Ending, Isolation
    from buildthrough.builders.slot import Slot
    from buildthrough.builders.walls import Ends, Plan

T = TypeVar("T")


class BubblewrapSandbox:
    """One slot of the pool. Opens nothing until a command runs."""

    def __init__(self, slot: Slot, work: Path, *, own_proc: bool = True, host: Host | None = None) -> None:
        """Run commands in ``slot``; ``work`` is a folder of the host of which nothing may be seen inside.

        Without ``own_proc`` there is no /proc inside: the level ``container``.
        """
        self._slot = slot
        self._work = work
        self._own_proc = own_proc
        self._runner = Runner(slot, _Namespaces(own_proc=own_proc), host=host)

    async def run(self, command: Command, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
        """Run the command, hold the dialogue, wait until every process of it is dead. See `Sandbox.run`."""
        return await self._runner.run(command, talk)

    async def probe(self) -> Isolation:
        """Try what this slot isolates. See `Sandbox.probe`."""
        return await probe(self, self._slot, self._work, "namespaces" if self._own_proc else "container")


class _Namespaces:
    """Walls of namespaces, which bubblewrap makes."""

    folders: tuple[str, ...] = TEMPORARY

    def __init__(self, *, own_proc: bool) -> None:
        self._own_proc = own_proc

    async def start(self, plan: Plan, pipes: Pipes, ends: Ends) -> Tree:
        """Start bubblewrap; what it reports comes over a pipe of its own."""
        status, status_end = await pipes.stream(LONGEST_LINE)
        descriptors = Descriptors(
            etc={path: pipes.file(content) for path, content in ETC_FILES.items()},
            seccomp=pipes.file(seccomp.program(plan.architecture, memfd=plan.cgroup is not None)),
            status=status_end,
            answers=ends.answers,
            messages=ends.messages,
        )
        argv = command_line(
            plan.command,
            host=plan.host,
            root=plan.root,
            descriptors=descriptors,
            user=plan.user,
            cgroups=plan.procs,
            processes=plan.processes,
            own_proc=self._own_proc,
        )
        return await Tree.start(
            argv,
            streams=ends.streams,
            inherited=descriptors.numbers,
            reports=Reports(status=status, leash=ends.leash),
        )
