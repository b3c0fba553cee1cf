"""The `Sandbox` port: run one command with these mounts and limits, nothing else. `builders.bubblewrap` does it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, Self, TypeVar, get_args

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

T = TypeVar("T")
Overrun = Literal["time", "silence", "cpu", "memory", "inodes", "log", "dialogue"]
"""The limit whose overrun made the host end the command."""
Level = Literal["full", "unprivileged", "container", "landlock", "none"]
"""How well builds are kept in, the best first.

``full``: namespaces of their own, a /proc of their own, a user of their own for each slot, and a control group.
``unprivileged``: the same without the user, or without the control group: a watchdog bounds the memory.
``container``: in a container that keeps its /proc masked: namespaces, but no /proc inside.
``landlock``: no namespaces at all: files, system calls and signals are kept in by Landlock and a stricter filter.
``none``: nothing that holds; nothing is built.
"""
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds of one command and everything that it starts. Bytes and seconds."""

    memory_bytes: int = 2 << 30
    address_space_bytes: int = 8 << 30
    """Of each process; far above the memory, for what reserves more than it uses."""
    cpus: int = 1
    """Processors that the build is told to use at once; others' are not taken from it while they are idle."""
    disk_bytes: int = 1 << 30
    inodes: int = 200_000
    """Files, folders and links that exist at a time, in all folders that can be written to together."""
    file_bytes: int = 512 << 20
    """Of one file."""
    processes: int = 256
    """Threads count as well."""
    wall_seconds: float = 900
    """Time that the host takes to answer the command is not counted."""
    silence_seconds: float = 300
    cpu_seconds: int = 3600
    """Of all processes together, those that have ended included."""
    log_bytes: int = 1 << 20
    """Kept of the log's head, and again of its tail; 256 times as much ends the command."""

    def overridden(self, **values: float) -> Self:
        """Return these limits with some of them replaced, by their names here.

        Raise ValueError, with a sentence for whoever wrote them, for a name that there is not, for a value that is no
        number above 0, and for a fraction where only whole numbers make sense.
        """
        kinds = {each.name: each.type for each in fields(self)}
        for name, value in values.items():
            if name not in kinds:
                raise ValueError(f"there is no limit {name!r}; there are {', '.join(sorted(kinds))}")
            wanted = (int, float) if kinds[name] == "float" else int
            if isinstance(value, bool) or not isinstance(value, wanted) or not 0 < value < float("inf"):
                whole = "" if kinds[name] == "float" else "whole "
                raise ValueError(f"the limit {name} is a {whole}number above 0, not {value!r}")
        return replace(self, **values)  # type: ignore[arg-type] # just looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host, readable inside, never writable."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run inside. Two arguments are appended: the descriptors to read answers from and to write messages to."""

    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]
    limits: Limits
    environment: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    """A folder that holds another distribution: its programs and libraries are seen inside; None for this machine's."""
    gives_way: bool = True
    """Whether it has only the processor time that others leave. What the start of a server waits for does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a command ended, and what it printed."""

    exit_code: int
    """As a shell gives it: 128 + the signal's number where one ended it."""
    overrun: Overrun | None
    log: bytes
    """Head and tail of what it printed."""
    seconds: float
    peak_memory_bytes: int | None
    cpu_seconds: float | None = None
    """Processor time of all its processes together, None where it was not counted."""
    refused_forks: int = 0
    """How often the kernel refused it another process or thread; without a control group 1 where it was seen to have
    as many as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What this machine can isolate: tried, not guessed."""

    level: Level
    minimum: Level = "landlock"
    """The lowest level at which anything may be built here."""
    sentences: tuple[str, ...]
    """In plain words: what holds, what is missing, what to do about it."""

    @property
    def can_build(self) -> bool:
        """Whether anything may be built here."""
        return self.level != "none" and LEVELS.index(self.level) <= LEVELS.index(self.minimum)


class Channel(Protocol):
    """The dialogue with the command inside, which is trusted in nothing: every message is bounded."""

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message, None at the end. Raise `DialogueError` for one that is none, or exceeds a bound."""
        ...

    async def send(self, message: dict[str, Any]) -> None:
        """Answer with one JSON object."""
        ...

    async def receive_bytes(self, size: int, file: BinaryIO) -> None:
        """Copy exactly that many bytes into the file. Raise `DialogueError` where fewer come."""
        ...


class DialogueError(Exception):
    """What came from inside is no message, or not as announced."""


class Sandbox(Protocol):
    """Run one command at a time, isolated. One instance is one slot of the pool."""

    async def run(self, command: Command, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
        """Run the command, hold the dialogue, wait until every process of it is dead.

        The first value is what ``talk`` returned, None where the command ended or was ended before. An exception
        of ``talk`` ends the command and is raised, a `DialogueError` excepted: that is the overrun ``dialogue``.
        Cancellation ends the command as well. Raise
        `InfrastructureFault` where the sandbox itself could not be set up.
        """
        ...

    async def probe(self) -> Isolation:
        """Try what this slot isolates."""
        ...
