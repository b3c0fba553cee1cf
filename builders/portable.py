"""Wheels with binaries get the tags of the oldest libc that they really run on; ``linux_*`` is never published.

Since packaging 26.3 a ``linux_*`` tag outranks every manylinux tag, and it promises nothing. What a backend claims is
not believed either: auditwheel finds out what is true (PEP 600, PEP 656), in a sandbox of its own.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.dialogue import Dialogue, converse, lend_files, lend_folder
from buildthrough.builders.facts import AbiClaim
from buildthrough.builders.faults import PackageFault
from buildthrough.builders.sandbox import Mount

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.kit import Kit
    from buildthrough.builders.sandbox import Channel, Limits, Sandbox
    from buildthrough.builders.target import Target

_WALL_SECONDS = 300
_MOST_REASONS, _LONGEST_REASON = 20, 200
_ANSWERING_TO_LINUX = ("linux_", "manylinux", "musllinux_")


async def make_portable(
    wheel: Path,
    *,
    target: Target,
    sandbox: Sandbox,
    kit: Kit,
    folder: Path,
    limits: Limits,
    log: BuildLog,
    max_wheel_bytes: int,
) -> Path:
    """Return the wheel itself where it is for any platform, else a repaired one, made in a sub-folder.

    Raise `PackageFault` of the stage ``repair``, class ``output.no-manylinux`` where no portable tag is true; it tells
    the wheel.
    """
    if not needs_repair(wheel.name):
        return wheel
    repaired = folder / "repaired"
    await asyncio.to_thread(lend_folder, repaired)
    await asyncio.to_thread(lend_files, wheel.parent)
    inside = f"/in/{wheel.name}"
    environment = target.environment
    plan = {
        "wheel": inside,
        "system": environment.system,
        "arch": environment.arch,
        "library": kit.library,
        "interpreter": environment.interpreter,
        "abi": environment.abi,
    }
    command = kit.command(
        "repair",
        plan,
        target=target,
        limits=replace(limits, wall_seconds=min(limits.wall_seconds, _WALL_SECONDS)),
        mounts=(Mount(source=wheel, target=inside),),
        environment={"PATH": kit.tool_path},
    )
    dialogue = _RepairDialogue(stage="repair", output=repaired, max_wheel_bytes=max_wheel_bytes)
    try:
        made = await converse(sandbox=sandbox, command=command, dialogue=dialogue, log=log)
    except PackageFault as fault:
        fault.wheel = wheel if fault.kind == "output.no-manylinux" else None
        raise
    log.learn(abi3=dialogue.claim)
    return made


def needs_repair(filename: str) -> bool:
    """Whether the wheel says that it is for a Linux. Raise `PackageFault` for one that is for something else."""
    try:
        platforms = {tag.platform for tag in parse_wheel_filename(filename)[3]}
    except InvalidWheelFilename as problem:
        raise PackageFault("collect", "output.filename", plain_line(str(problem))) from None
    if platforms == {"any"}:
        return False
    if all(platform.startswith(_ANSWERING_TO_LINUX) for platform in platforms):
        return True
    raise PackageFault("repair", "output.bad-tags", plain_line(f"the wheel is for {', '.join(sorted(platforms))}"))


class _RepairDialogue(Dialogue):
    """Takes what is said of the stable ABI, beside the wheel."""

    claim: AbiClaim | None = None

    async def hear(self, channel: Channel, raw: dict[str, Any]) -> bool:
        match raw:
            case {"t": "abi3", "claimed": str() as claimed, "true": str() as true, "because": list() as because}:
                told = tuple(plain_line(str(each), _LONGEST_REASON) for each in because[:_MOST_REASONS])
                self.claim = AbiClaim(
                    claimed=plain_line(claimed, _LONGEST_REASON), true=plain_line(true, _LONGEST_REASON), because=told
                )
                return False
            case _:
                return await super().hear(channel, raw)
