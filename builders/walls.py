"""What keeps a command in, and what it hands to whoever runs the command: the border between the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from buildthrough.builders import seccomp
    from buildthrough.builders.cgroup import Cgroup
    from buildthrough.builders.leash import Leash
    from buildthrough.builders.pipes import Pipes
    from buildthrough.builders.profile import Host, Root
    from buildthrough.builders.sandbox import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is decided before anything is opened."""

    command: Command
    host: Host
    root: Root
    architecture: seccomp.Architecture
    user: tuple[int, int] | None
    processes: int
    cgroup: Cgroup | None
    stop: asyncio.Event
    """Set when the caller does not want the command any longer."""

    @property
    def procs(self) -> tuple[Path, ...]:
        """The control groups to join."""
        return () if self.cgroup is None else self.cgroup.procs


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What the processes of a command get, and the host's ends of what their set-up says."""

    answers: int
    messages: int
    streams: tuple[int, int, int]
    """Of the set-up: it waits on the first until it may begin, writes a line to the second before, and the log."""
    leash: Leash


class Processes(Protocol):
    """All processes of one command, started, killed and waited for as a whole."""

    namespace: int | None
    """Of process ids, as its inode number; None where none was made."""

    @property
    def ran(self) -> bool:
        """Whether the command began; holds once everything is dead."""
        ...

    async def found(self) -> int | None:
        """Wait until the pid is known above which there is nothing of the command, and return it; None for none."""
        ...

    async def begun(self) -> None:
        """Wait until the command begins, or its set-up has ended without that."""
        ...

    async def wait(self) -> int:
        """Wait until everything is dead. Return the exit code as a shell gives it."""
        ...

    async def kill(self) -> int:
        """Kill everything, wait until it is dead, and return the exit code. Raise `SlotFault` where it does not die."""
        ...


class Walls(Protocol):
    """What keeps a command in."""

    folders: tuple[str, ...]
    """File systems of its own, as it names them, whose files are counted."""

    async def start(self, plan: Plan, pipes: Pipes, ends: Ends) -> Processes:
        """Start the command behind them. Raise OSError where its programs cannot be started."""
        ...
