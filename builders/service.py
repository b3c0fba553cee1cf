"""A builder: owns the sandboxes of a machine and runs commands in them for a server, over a unix socket.

It has no credentials and needs no network. What it is sent names files by their paths: what it lends itself, and what
lies in the folder that it shares with the server. See `buildthrough.builders.remote` for the other side.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, cast

from buildthrough.builders import frames
from buildthrough.builders.faults import InfrastructureFault, SlotFault
from buildthrough.builders.frames import Broken
from buildthrough.builders.sandbox import Command, DialogueError
from buildthrough.builders.wire import Description, NotAsExpected, decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import BinaryIO

    from buildthrough.builders.sandbox import Channel, Sandbox
    from buildthrough.builders.workshop import Workshop

logger = logging.getLogger(__name__)
_MODE = 0o660
_BEAT_SECONDS = 5.0
"""A small part of `buildthrough.builders.remote.SILENCE_SECONDS`."""


class Service:
    """Answers on a socket, one question a connection."""

    def __init__(self, workshop: Workshop, *, shared: Path, beat_seconds: float = _BEAT_SECONDS) -> None:
        """Lend what the workshop has. ``shared`` is the folder in which the server puts what a build is given.

        A server that attends to this builder is told every ``beat_seconds`` that it lives.
        """
        self._workshop = workshop
        self._beat_seconds = beat_seconds
        self._shared = shared.resolve()
        self._lent = _lent(workshop)

    @asynccontextmanager
    async def listening(self, socket: Path) -> AsyncIterator[None]:
        """Answer at a path, in place of a builder that has died. Commands under way end with it."""
        with suppress(FileNotFoundError):
            await asyncio.to_thread(socket.unlink)
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._answer(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_unix_server(connected, str(socket))
        await asyncio.to_thread(socket.chmod, _MODE)
        try:
            yield
        finally:
            server.close()
            for task in connections:
                task.cancel()
            if connections:
                await asyncio.wait(connections)
            await server.wait_closed()
            with suppress(FileNotFoundError):
                await asyncio.to_thread(socket.unlink)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = await frames.read(reader)
            match question:
                case {"ask": "attend"}:
                    await frames.write(writer, {"description": encode(self._description())})
                    await self._stay(reader, writer)
                case {"ask": "probe", "slot": int() as slot}:
                    await frames.write(writer, {"isolation": encode(await self._slot(slot).probe())})
                case {"ask": "run", "slot": int() as slot, "level": str() as level, "command": dict() as raw}:
                    if level != self._workshop.isolation.level:
                        _refuse(f"the builder isolates at the level {self._workshop.isolation.level} now, not {level}")
                    command = decode(Command, raw)
                    await asyncio.to_thread(self._check, command)
                    await _Run(self._slot(slot), command, reader, writer).hold()
                case _:
                    _refuse("the builder does not know what is asked")
        except NotAsExpected as problem:
            await _tell(writer, InfrastructureFault("infra.builder", str(problem)))
        except InfrastructureFault as fault:
            await _tell(writer, fault)
        except Broken as problem:
            logger.info("a connection ended: %s", problem)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say that this builder lives, until the server goes away; this builder's end cancels it."""
        left = asyncio.ensure_future(reader.read(1))
        try:
            while not (await asyncio.wait((left,), timeout=self._beat_seconds))[0]:
                await frames.write(writer, {"here": True})
        finally:
            left.cancel()
            await asyncio.wait((left,))

    def _description(self) -> Description:
        workshop = self._workshop
        return Description(
            isolation=workshop.isolation,
            kit=workshop.kit,
            slots=len(workshop.sandboxes),
            sentences=workshop.sentences,
        )

    def _slot(self, number: int) -> Sandbox:
        if not 0 <= number < len(self._workshop.sandboxes):
            raise InfrastructureFault("infra.builder", f"the builder has no slot {number}")
        return self._workshop.sandboxes[number]

    def _check(self, command: Command) -> None:
        """Refuse to lend anything else of this machine. Blocking. Raise `InfrastructureFault`."""
        for source in (mount.source for mount in command.mounts):
            if source not in self._lent and self._shared not in source.resolve().parents:
                line = f"the builder does not lend {source}: it is not in {self._shared}; see build.work_dir"
                raise InfrastructureFault("infra.builder", line)
        if command.root is not None and command.root not in self._lent:
            raise InfrastructureFault("infra.builder", f"the builder has no root file system {command.root}")


def _refuse(line: str) -> NoReturn:
    raise InfrastructureFault("infra.builder", line)


def _lent(workshop: Workshop) -> frozenset[Path]:
    if workshop.kit is None:
        return frozenset()
    mounts = [mount for target in workshop.targets for mount in workshop.kit.mounts(target)]
    return frozenset({mount.source for mount in mounts} | set(workshop.kit.roots))


class _Run:
    """One command, and the frames about it."""

    def __init__(
        self, sandbox: Sandbox, command: Command, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._sandbox = sandbox
        self._command = command
        self._reader = reader
        self._writer = writer
        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hold(self) -> None:
        """Run it; end it where the server says so, or goes away. Tell how it ended. Raise `InfrastructureFault`."""
        running = asyncio.create_task(self._sandbox.run(self._command, self._relay))
        following = asyncio.create_task(self._follow())
        try:
            await asyncio.wait((running, following), return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()  # waits for the last process, too; nothing where it is done
            following.cancel()
            await asyncio.wait((running, following))
        if running.cancelled():
            with suppress(Broken):  # whoever asked may have left
                await frames.write(self._writer, {"ended": None})
            return
        whole, ending = running.result()
        await frames.write(self._writer, {"ended": encode(ending), "whole": whole is not None})

    async def _follow(self) -> None:
        """Take what is asked, until the server wants no more of it."""
        with suppress(Broken):
            while (frame := await frames.read(self._reader)).get("do") != "abort":
                self._asked.put_nowait(frame)

    async def _relay(self, channel: Channel) -> bool:
        """Do what is asked, step by step."""
        while True:
            try:
                match await self._asked.get():
                    case {"do": "receive"}:
                        await frames.write(self._writer, {"got": await channel.receive()})
                    case {"do": "send", "message": dict() as message}:
                        await channel.send(message)
                        await frames.write(self._writer, {"sent": True})
                    case {"do": "bytes", "size": int() as size}:
                        await channel.receive_bytes(size, cast("BinaryIO", _Forwarded(self._writer)))
                        await frames.write(self._writer, {"all": True})
                    case {"do": "over"}:
                        return True
                    case _:
                        break
            except DialogueError as error:
                await frames.write(self._writer, {"broken": str(error)})
        raise DialogueError("the server ends the dialogue")


class _Forwarded:
    """A file to write to, from another thread, whose bytes go over the socket."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()

    def write(self, piece: bytes) -> int:
        """Send a piece and wait until there is room for the next one. Blocking."""
        asyncio.run_coroutine_threadsafe(self._send(piece), self._loop).result()
        return len(piece)

    async def _send(self, piece: bytes) -> None:
        await frames.write(self._writer, {"piece": len(piece)}, piece)


async def _tell(writer: asyncio.StreamWriter, fault: InfrastructureFault) -> None:
    with suppress(Broken):
        frame = {"fault": fault.kind, "line": fault.line, "slot": isinstance(fault, SlotFault)}
        await frames.write(writer, frame)
