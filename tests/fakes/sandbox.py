"""A legal `Sandbox` without one: it plays a script of what a command inside says, hears, prints and how it ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from buildthrough.builders.channel import LONGEST_LINE, PipeChannel
from buildthrough.builders.clock import Clock
from buildthrough.builders.sandbox import Channel, Command, DialogueError, Ending, Isolation, Limits, Overrun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@dataclass(frozen=True)
class Say:
    """Send a message."""

    message: dict[str, Any]


@dataclass(frozen=True)
class SayBytes:
    """Send bytes as they are."""

    content: bytes


@dataclass(frozen=True)
class Hear:
    """Wait for one answer."""


@dataclass(frozen=True)
class Print:
    """Write to the log."""

    text: str


@dataclass(frozen=True)
class Sleep:
    """Take time, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Exit:
    """End with this code; a script that comes to its end exits with 0."""

    code: int


Step = Say | SayBytes | Hear | Print | Sleep | Exit


@dataclass
class FakeSandbox:
    """Play the same script for each command; keep the commands and what they were answered."""

    script: tuple[Step, ...] = ()
    isolation: Isolation = field(default_factory=lambda: Isolation(level="full", sentences=("a fake",)))
    overrun: Overrun | None = None
    """What to report where the script comes to its end, for example a memory limit that struck."""
    commands: list[Command] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def run(self, command: Command, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
        self.commands.append(command)
        performance = Performance(self.script, self.heard)
        clock = Clock()
        clock.begin()
        channel = PipeChannel(performance.messages, performance, clock)
        playing = asyncio.create_task(performance.play())
        talking = asyncio.create_task(_talk(talk, channel, clock))
        limiting = asyncio.create_task(_overrun(clock, command.limits))
        tasks = (playing, talking, limiting)
        try:
            while not (playing.done() and talking.done()) and not limiting.done():
                await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
                if talking.done() and talking.exception():
                    break
            overrun = "dialogue" if channel.broken else limiting.result() if limiting.done() else self.overrun
            value = await _value(talking)
            return value, Ending(
                exit_code=playing.result() if playing.done() else 137,
                overrun=overrun,
                log=bytes(performance.log),
                seconds=clock.elapsed,
                peak_memory_bytes=None,
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def probe(self) -> Isolation:
        return self.isolation


class Performance:
    """Plays a script; it is also the stream that the answers are written to."""

    def __init__(self, script: tuple[Step, ...], heard: list[dict[str, Any]]) -> None:
        self.script = script
        self.heard = heard
        self.messages = asyncio.StreamReader(LONGEST_LINE)
        self.answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.log = bytearray()

    async def play(self) -> int:
        for step in self.script:
            match step:
                case Say(message):
                    self.messages.feed_data(json.dumps(message).encode() + b"\n")
                case SayBytes(content):
                    self.messages.feed_data(content)
                case Hear():
                    answer = await self.answers.get()
                    if answer is not None:
                        self.heard.append(answer)
                case Print(text):
                    self.log += text.encode()
                case Sleep(seconds):
                    await asyncio.sleep(seconds)
                case Exit(code):
                    self.messages.feed_eof()
                    return code
        self.messages.feed_eof()
        return 0

    def write(self, data: bytes) -> None:
        self.answers.put_nowait(json.loads(data))

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        self.answers.put_nowait(None)


async def _talk(talk: Callable[[Channel], Awaitable[T]], channel: PipeChannel, clock: Clock) -> T:
    try:
        return await talk(channel)
    finally:
        channel.close()
        clock.start()


async def _overrun(clock: Clock, limits: Limits) -> Overrun:
    return await clock.overrun(limits)


async def _value(talking: asyncio.Task[T]) -> T | None:
    if not talking.done():
        return None
    try:
        return talking.result()
    except DialogueError:
        return None
