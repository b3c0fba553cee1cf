"""The host's side of the dialogue with the driver inside, and what it makes of how that ended."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.diagnosis import diagnose
from buildthrough.builders.exceeded import ended_by, failed_by
from buildthrough.builders.faults import BuildEnded, InfrastructureFault, PackageFault
from buildthrough.builders.messages import Entered, Failed, Requires, Told, WheelComes, read_message
from buildthrough.builders.sandbox import DialogueError
from buildthrough.builders.stages import StageClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.faults import Stage
    from buildthrough.builders.sandbox import Channel, Command, Sandbox

_READ_LINES = 20_000
"""Of the log's head, and again of its tail, when it is looked for what failed."""
MOST_ROUNDS = 8
"""How often a command inside may ask for requirements: each time the host resolves them and downloads."""


class Dialogue:
    """Answers one command inside and takes its wheel."""

    def __init__(
        self,
        *,
        stage: Stage,
        output: Path,
        max_wheel_bytes: int,
        provide: Callable[[tuple[str, ...]], Awaitable[None]] | None = None,
    ) -> None:
        """Begin at a stage; put the wheel into ``output``, an empty folder; ``provide`` sees to requirements."""
        self.stage: Stage = stage
        self.ended: BuildEnded | None = None
        """Why the host ended it."""
        self.failed: Failed | None = None
        """Why the command inside says that it failed."""
        self.wheel: Path | None = None
        self.told: Told | None = None
        """What the command inside found out for the record."""
        self.is_done = False
        """Whether everything came that was waited for."""
        self.clock = StageClock()
        """How long each stage took so far."""
        self._output = output
        self._max_wheel_bytes = max_wheel_bytes
        self._provide = provide
        self._rounds = 0

    async def hold(self, channel: Channel) -> None:
        """Talk until the wheel is here or the command ends. What came of it is in the attributes."""
        try:
            while (raw := await channel.receive()) is not None:
                if await self.hear(channel, raw):
                    return
        except BuildEnded as ended:
            self.ended = ended
            if self.stage != "requires":  # it does not wait for an answer but goes on sending
                raise DialogueError(str(ended)) from ended
            await channel.send({"ok": False})
        except DialogueError as error:
            self.ended = PackageFault(self.stage, "output.dialogue", plain_line(str(error)))
            raise

    async def hear(self, channel: Channel, raw: dict[str, Any]) -> bool:
        """Take one message. Return whether it is the last. Raise `DialogueError` for one that nobody asked for."""
        match read_message(raw):
            case Entered(stage=stage):
                self.stage = stage
                self.clock.enter(stage)
            case Requires(requirements=requirements):
                await self._answer(channel, requirements)
            case Failed() as failed:
                self.stage, self.failed = failed.stage, failed
            case Told() as told:
                self.told = told
            case WheelComes() as coming:
                await self._take(channel, coming)
                return True
        return False

    async def _answer(self, channel: Channel, requirements: tuple[str, ...]) -> None:
        if self._provide is None:
            raise DialogueError("requirements are not asked for at this stage")
        self._rounds += 1
        if self._rounds > MOST_ROUNDS:
            raise DialogueError(f"the build asks for requirements more than {MOST_ROUNDS} times")
        self.stage = "requires"
        await self._provide(requirements)
        await channel.send({"ok": True})

    async def _take(self, channel: Channel, coming: WheelComes) -> None:
        if coming.size > self._max_wheel_bytes:
            line = f"the wheel has {coming.size} bytes, more than {self._max_wheel_bytes}"
            raise PackageFault("collect", "limit.output", line)
        path = self._output / coming.filename
        try:
            with await asyncio.to_thread(path.open, "xb") as file:
                await channel.receive_bytes(coming.size, file)
        except OSError as problem:
            raise InfrastructureFault("infra.disk", f"the wheel cannot be stored: {problem.strerror}") from problem
        self.wheel = path
        self.is_done = True


async def converse(*, sandbox: Sandbox, command: Command, dialogue: Dialogue, log: BuildLog) -> Path:
    """Run the command, hold the dialogue and return the wheel. Raise the families of `builders.faults`."""
    await hold_dialogue(sandbox=sandbox, command=command, dialogue=dialogue, log=log)
    if dialogue.wheel is None:
        raise InfrastructureFault("infra.driver", "the dialogue came to its end without a wheel")
    return dialogue.wheel


async def hold_dialogue(*, sandbox: Sandbox, command: Command, dialogue: Dialogue, log: BuildLog) -> None:
    """Run the command and hold the dialogue to its end. Raise the families of `builders.faults`."""
    try:
        _, ending = await sandbox.run(command, dialogue.hold)
    except DialogueError:
        if dialogue.ended is None:
            raise
        raise dialogue.ended from None
    text = await asyncio.to_thread(log.output, ending.log)
    peak = "" if ending.peak_memory_bytes is None else f", at most {ending.peak_memory_bytes >> 20} MiB of memory"
    log.note(f"the sandbox ended after {ending.seconds:.1f} s{peak}")
    if ending.overrun is not None:
        raise ended_by(ending, command.limits, dialogue.stage) or _broken_off(dialogue)
    if dialogue.ended is not None:
        raise dialogue.ended
    if dialogue.failed is not None:
        refused = failed_by(ending, command.limits, dialogue.failed.stage)
        raise await asyncio.to_thread(_failure, dialogue.failed, text, refused)  # of a long log it takes a while
    if not dialogue.is_done:
        line = f"the driver ended at the stage {dialogue.stage} with exit code {ending.exit_code}, without a word"
        raise InfrastructureFault("infra.driver", line)


def _broken_off(dialogue: Dialogue) -> PackageFault:
    if isinstance(dialogue.ended, PackageFault):
        return dialogue.ended
    return PackageFault(dialogue.stage, "output.dialogue", "what came out of the sandbox was not what a driver says")


def _failure(failed: Failed, text: str, refused: PackageFault | None) -> BuildEnded:
    if refused is not None and failed.kind in {"driver", "hook"}:
        return refused
    if failed.kind == "driver":
        return InfrastructureFault("infra.driver", failed.line)
    if failed.kind != "hook":
        return PackageFault(failed.stage, failed.kind, failed.line)
    # The sandbox's log may be cut in the middle, or without the stage's own beginning: then all of it has to do.
    _, _, since = text.rpartition(f"==> {failed.stage}: ")
    since, _, _ = since.partition("\n==> ")  # the stage that is to blame need not be the last
    kind, line = diagnose(failed.stage, _ends_of(since))
    if failed.stage == "install":  # no code of the package ran: its requirements do not fit together, or the target
        kind = "deps.unresolvable"
    return PackageFault(failed.stage, kind, plain_line(line))


def _ends_of(text: str) -> str:
    """Return the text without its middle, where it has far more lines than anybody would read."""
    lines = text.split("\n")
    return text if len(lines) <= 2 * _READ_LINES else "\n".join([*lines[:_READ_LINES], *lines[-_READ_LINES:]])


def lend_folder(folder: Path) -> None:
    """Make a new folder in the build's own; the user that builds can read both. Blocking."""
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    folder.parent.chmod(0o755)


def lend_files(folder: Path) -> None:
    """Make the files of a folder readable for the user that builds. Blocking."""
    for entry in os.scandir(folder):
        if entry.is_file(follow_symlinks=False):
            os.chmod(entry.path, 0o644)  # noqa: PTH101 # the entry is at hand
