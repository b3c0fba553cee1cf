"""The `Sandbox` port by a builder in a process of its own, over a unix socket; `buildthrough.builders.service` answers.

The builder holds the walls, the limits and the clock. Here is the talk: each step of it is asked for in a frame and
answered in one, until the builder says how the command ended.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from buildthrough.builders import frames
from buildthrough.builders.faults import InfrastructureFault, SlotFault
from buildthrough.builders.frames import Broken, Ended
from buildthrough.builders.ladder import judged
from buildthrough.builders.running import until_done
from buildthrough.builders.sandbox import DialogueError, Ending, Isolation
from buildthrough.builders.wire import Description, NotAsExpected, decode, encode
from buildthrough.builders.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from buildthrough.builders.sandbox import Channel, Command, Level

T = TypeVar("T")
AWAY = "infra.builder-away"
"""The class of what fails because the builder is not there, or goes away."""
SILENCE_SECONDS = 30.0
"""A builder that says nothing for so long does not live: it was stopped, or hangs."""
_END_SECONDS = 60.0
_ANSWER_SECONDS = 10.0


class RemoteSandbox:
    """One slot of a builder. Opens a connection for each command."""

    def __init__(self, socket: Path, slot: int, *, level: Level) -> None:
        """Reach the builder that listens on ``socket``.

        It runs nothing where it isolates at another ``level`` by now: what is built is recorded with this one.
        """
        self._level = level
        self._socket = socket
        self._slot = slot
        self._turn = asyncio.Lock()

    async def run(self, command: Command, talk: Callable[[Channel], Awaitable[T]]) -> tuple[T | None, Ending]:
        """Run the command, hold the dialogue, wait until every process of it is dead. See `Sandbox.run`.

        Raise `InfrastructureFault` of the class `AWAY` where the builder is not there, or goes away.
        """
        async with self._turn:
            stop = asyncio.Event()
            return await until_done(asyncio.create_task(self._run(command, talk, stop)), stop)

    async def probe(self) -> Isolation:
        """Have the builder try what this slot isolates. See `Sandbox.probe`."""
        return await _asked(self._socket, {"ask": "probe", "slot": self._slot}, "isolation", Isolation)

    async def _run(
        self, command: Command, talk: Callable[[Channel], Awaitable[T]], stop: asyncio.Event
    ) -> tuple[T | None, Ending]:
        reader, writer = await _connect(self._socket)
        try:
            await frames.write(
                writer, {"ask": "run", "slot": self._slot, "level": self._level, "command": encode(command)}
            )
            return await _converse(_Conversation(reader, writer), talk, stop)
        except (Broken, NotAsExpected) as problem:
            raise _failing(self._socket, problem) from problem
        finally:
            await _close(writer)


@asynccontextmanager
async def attended(
    socket: Path, *, silence_seconds: float = SILENCE_SECONDS
) -> AsyncIterator[tuple[Description, asyncio.Task[str]]]:
    """Ask a builder what it has, and stay connected: give that, and what is done when it is gone, and says why.

    Raise `InfrastructureFault` where it does not answer, or not in time.
    """
    writer: asyncio.StreamWriter | None = None
    gone: asyncio.Task[str] | None = None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await _connect(socket)
            description = await _answered(reader, writer, {"ask": "attend"}, "description", Description)
        gone = asyncio.create_task(_end(reader, socket, silence_seconds))
        yield description, gone
    except TimeoutError:
        raise InfrastructureFault(AWAY, f"the builder at {socket} says nothing") from None
    except (Broken, NotAsExpected) as problem:
        raise _failing(socket, problem) from problem
    finally:
        if gone is not None:
            gone.cancel()
        if writer is not None:
            await _close(writer)


async def _end(reader: asyncio.StreamReader, socket: Path, silence_seconds: float) -> str:
    """Follow a builder that says every now and then that it lives. Return why it is taken for dead."""
    try:
        while True:
            async with asyncio.timeout(silence_seconds):
                if not await reader.read(1 << 10):
                    break
    except TimeoutError:
        return f"the builder at {socket} has said nothing for {silence_seconds:g} s: it was stopped, or hangs"
    except ConnectionError:
        pass
    return f"the builder at {socket} went away"


async def open_remote_workshop(socket: Path, *, minimum: Level) -> Workshop:
    """Find out what a builder has, now. Where it cannot be reached, or does not isolate enough, nothing is built."""
    try:
        async with attended(socket) as (description, _):
            return workshop_of(description, socket, minimum=minimum)
    except InfrastructureFault as fault:
        isolation = Isolation(level="none", minimum=minimum, sentences=(f"nothing is built here: {fault.line}",))
        return Workshop(isolation=isolation, kit=None, sandboxes=(), sentences=())


def workshop_of(told: Description, socket: Path, *, minimum: Level) -> Workshop:
    """Return what can be built by a builder that says this of itself: nothing, where it does not isolate enough."""
    isolation = told.isolation if told.isolation.level == "none" else judged(told.isolation, minimum)
    if told.kit is None or not isolation.can_build:
        return Workshop(isolation=isolation, kit=None, sandboxes=(), sentences=told.sentences)
    sandboxes = tuple(RemoteSandbox(socket, slot, level=isolation.level) for slot in range(told.slots))
    sentences = (f"builds run in a builder of its own, at {socket}", *told.sentences)
    return Workshop(isolation=isolation, kit=told.kit, sandboxes=sandboxes, sentences=sentences)


async def _connect(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(str(socket))
    except OSError as error:
        line = f"no builder answers at {socket} ({error.strerror or error}): is `buildthrough builder` running?"
        raise InfrastructureFault(AWAY, line) from error


async def _asked(socket: Path, question: dict[str, Any], name: str, kind: type[T]) -> T:
    reader, writer = await _connect(socket)
    try:
        return await _answered(reader, writer, question, name, kind)
    except (Broken, NotAsExpected) as problem:
        raise _failing(socket, problem) from problem
    finally:
        await _close(writer)


async def _answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: dict[str, Any], name: str, kind: type[T]
) -> T:
    await frames.write(writer, question)
    answer = await frames.read(reader)
    _raise_fault(answer)
    return decode(kind, answer.get(name))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _failing(socket: Path, problem: Exception) -> InfrastructureFault:
    kind = AWAY if isinstance(problem, Ended) else "infra.builder"
    return InfrastructureFault(kind, f"the builder at {socket} fails: {problem}")


def _raise_fault(answer: dict[str, Any]) -> None:
    if "fault" in answer:
        fault = SlotFault if answer.get("slot") is True else InfrastructureFault
        raise fault(str(answer["fault"])[:100], str(answer.get("line"))[:500])


class _Conversation:
    """The frames of one command: answers to what was asked, and in the end how it ended."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answers: asyncio.Queue[tuple[dict[str, Any], bytes]] = asyncio.Queue(4)
        self.ending = asyncio.create_task(self._follow())
        """Its result is the last frame."""

    async def ask(self, **frame: object) -> None:
        """Send a frame."""
        await frames.write(self._writer, frame)

    async def answer(self) -> tuple[dict[str, Any], bytes]:
        """Return the next answer, and the bytes that came with it. Raise `DialogueError` where it is that."""
        answer, content = await self._answers.get()
        if "broken" in answer:
            raise DialogueError(str(answer["broken"])[:500])
        return answer, content

    async def _follow(self) -> dict[str, Any]:
        while True:
            frame = await frames.read(self._reader)
            if "ended" in frame or "fault" in frame:
                return frame
            content = b""
            if isinstance(size := frame.get("piece"), int) and 0 <= size <= frames.LONGEST:
                try:
                    content = await self._reader.readexactly(size)
                except (EOFError, ConnectionError) as error:
                    raise Ended("the connection ended") from error
            await self._answers.put((frame, content))


class _RemoteChannel:
    """The dialogue with the command inside, step by step."""

    def __init__(self, conversation: _Conversation) -> None:
        self._conversation = conversation

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message. See `Channel.receive`."""
        await self._conversation.ask(do="receive")
        answer, _ = await self._conversation.answer()
        message = answer.get("got")
        if message is not None and not isinstance(message, dict):
            raise DialogueError("the builder hands on something that is no JSON object")
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Answer with one JSON object. See `Channel.send`."""
        await self._conversation.ask(do="send", message=message)
        await self._conversation.answer()

    async def receive_bytes(self, size: int, file: BinaryIO) -> None:
        """Copy exactly that many bytes into the file. See `Channel.receive_bytes`."""
        await self._conversation.ask(do="bytes", size=size)
        left = size
        while "all" not in (answered := await self._conversation.answer())[0]:
            left -= len(answered[1])
            if left < 0:
                raise DialogueError("the builder hands on more bytes than were asked for")
            await asyncio.to_thread(file.write, answered[1])
        if left:
            raise DialogueError("the builder hands on fewer bytes than were asked for")


async def _converse(
    conversation: _Conversation, talk: Callable[[Channel], Awaitable[T]], stop: asyncio.Event
) -> tuple[T | None, Ending]:
    talking = asyncio.ensure_future(talk(_RemoteChannel(conversation)))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((talking, conversation.ending, stopping), return_when=asyncio.FIRST_COMPLETED)
        fault: BaseException | None = None
        if not conversation.ending.done():
            fault = await _finish(conversation, talking)
            async with asyncio.timeout(None if fault is None and talking.done() else _END_SECONDS) as limit:
                await asyncio.wait((conversation.ending, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not conversation.ending.done():
                    await conversation.ask(do="abort")
                    limit.reschedule(asyncio.get_running_loop().time() + _END_SECONDS)
                    await asyncio.wait((conversation.ending,))
        last = conversation.ending.result()
        if fault is not None and not isinstance(fault, DialogueError):
            raise fault
        _raise_fault(last)
        if last["ended"] is None:
            raise InfrastructureFault("infra.builder", "the builder gave the command up")
        ending = decode(Ending, last["ended"])
        whole = last.get("whole") is True and talking.done() and talking.exception() is None
        return (talking.result() if whole else None), ending
    except TimeoutError:
        raise InfrastructureFault("infra.builder", "the builder does not end a command") from None
    finally:
        for task in (talking, stopping, conversation.ending):
            task.cancel()
        await asyncio.wait((talking, stopping, conversation.ending))


async def _finish(conversation: _Conversation, talking: asyncio.Future[T]) -> BaseException | None:
    """Tell the builder what came of the talk; return what it raised."""
    if not talking.done():  # the caller does not want the command any longer
        await conversation.ask(do="abort")
        return None
    fault = talking.exception()
    if isinstance(fault, Broken):
        raise fault
    await conversation.ask(do="over" if fault is None else "end" if isinstance(fault, DialogueError) else "abort")
    return fault
