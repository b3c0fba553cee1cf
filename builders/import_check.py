"""The import check: a wheel is installed beside its dependencies in a fresh environment, and its modules are imported.

All of it happens in a sandbox of its own, offline. Decision 0019 says what counts against a wheel, and why.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from packaging.metadata import parse_email
from packaging.utils import canonicalize_name

from buildthrough.builders.build_log import plain_line
from buildthrough.builders.dialogue import Dialogue, hold_dialogue, lend_files, lend_folder
from buildthrough.builders.facts import ImportCheck
from buildthrough.builders.faults import NeedsBuild, PackageFault
from buildthrough.builders.imports import judge_all, modules_of, sentence
from buildthrough.builders.resolution import MALFORMED, Seen, read_requirement
from buildthrough.builders.sandbox import Command, DialogueError, Mount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.facts import UsedWheel
    from buildthrough.builders.kit import Kit
    from buildthrough.builders.sandbox import Channel, Limits, Sandbox
    from buildthrough.builders.target import Target

_WALL_SECONDS = 300
"""Of the whole check."""
_DEPENDENCIES = "/dependencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRule:
    """How the import of a wheel is checked."""

    resolve: Callable[[Sequence[str], Path], Awaitable[tuple[UsedWheel, ...]]]
    """Puts the wheels that satisfy requirements into a folder, and returns them."""
    seconds: float = 60
    """For each module."""
    modules: tuple[str, ...] = ()
    """Import these instead of what is found."""
    skip: str = ""
    """Why nothing is to be imported; empty where something is."""


async def check_import(
    wheel: CheckedWheel,
    *,
    rule: ImportRule,
    project: str,
    target: Target,
    sandbox: Sandbox,
    kit: Kit,
    folder: Path,
    limits: Limits,
    log: BuildLog,
) -> None:
    """Import the wheel's modules, and let the log learn what came of it. ``folder`` is the build's own.

    Raise `PackageFault` of the stage ``check``: ``import.<word>`` for a module that cannot be imported,
    ``output.not-installable``, or a limit's class; and whatever of our own faults the resolver raises.
    """
    modules = rule.modules or modules_of(wheel.files, project)
    dependencies = folder / "dependencies"
    await asyncio.to_thread(lend_folder, dependencies)
    try:
        used = () if rule.skip or not modules else await _resolve(wheel, rule, project, target, dependencies)
    except NeedsBuild as needed:
        used, lacking = (), f"it requires {needed.project}=={needed.version}, which has no wheel here"
    except PackageFault as fault:
        used, lacking = (), f"what it requires cannot be had: {fault.line}"
    else:
        lacking = rule.skip
    found = ImportCheck(verdict="unchecked" if lacking else "nothing", line=plain_line(lacking))
    if modules and not lacking:
        dialogue = _ImportDialogue(modules, output=dependencies)
        await asyncio.to_thread(wheel.path.chmod, 0o644)
        command = _command(wheel, dependencies, target, kit, limits, modules=modules, seconds=rule.seconds)
        try:
            await hold_dialogue(sandbox=sandbox, command=command, dialogue=dialogue, log=log)
        except PackageFault as fault:
            raise _renamed(fault) from None
        found = judge_all(dialogue.results, modules, unchecked=dialogue.unchecked, dependencies=used)
    log.learn(imported=found)
    log.note(sentence(found))
    for one in found.modules:
        if one.kind and not one.excused:
            refusal = PackageFault("check", one.kind, plain_line(f"import {one.module}: {one.line}"))
            refusal.wheel = wheel.path
            raise refusal


async def _resolve(
    wheel: CheckedWheel, rule: ImportRule, project: str, target: Target, folder: Path
) -> tuple[UsedWheel, ...]:
    """Fetch what the wheel requires in the target, never another version of itself."""
    wanted = _required(wheel.metadata, project, target)
    if not wanted:
        return ()
    used = await rule.resolve(wanted, folder)
    for one in used:
        if one.project == canonicalize_name(project):
            await asyncio.to_thread((folder / one.filename).unlink)
    await asyncio.to_thread(lend_files, folder)
    return tuple(one for one in used if one.project != canonicalize_name(project))


def _required(metadata: bytes, project: str, target: Target) -> tuple[str, ...]:
    """Return the requirements that hold in the target without extras. Raise `PackageFault` for an unreadable one."""
    seen = Seen(target=target)
    wanted = []
    for text in parse_email(metadata)[0].get("requires_dist", []):
        try:
            requirement = read_requirement(text)
            applies = seen.applies(requirement)
        except (*MALFORMED, ValueError):
            raise PackageFault(
                "check", "deps.unresolvable", plain_line(f"{text!r} names no versions of a project")
            ) from None
        if applies and canonicalize_name(requirement.name) != canonicalize_name(project):
            wanted.append(text)
    return tuple(wanted)


def _command(  # all that the plan and the mounts are made of
    wheel: CheckedWheel,
    dependencies: Path,
    target: Target,
    kit: Kit,
    limits: Limits,
    *,
    modules: Sequence[str],
    seconds: float,
) -> Command:
    inside = f"/wheel/{wheel.filename}"
    plan = {
        "wheel": inside,
        "dependencies": _DEPENDENCIES,
        "python": str(target.interpreter.executable),
        "uv": kit.uv,
        "modules": list(modules),
        "seconds": seconds,
    }
    return kit.command(
        "imports",
        plan,
        target=target,
        limits=replace(limits, wall_seconds=min(limits.wall_seconds, _WALL_SECONDS)),
        mounts=(Mount(source=wheel.path, target=inside), Mount(source=dependencies, target=_DEPENDENCIES)),
    )


def _renamed(fault: PackageFault) -> PackageFault:
    """Give a limit of time its class here: it is not the build that took too long."""
    if fault.kind in {"limit.time", "limit.silence"}:
        return PackageFault("check", "import.time", f"importing the wheel's modules {fault.line}")
    return fault


class _ImportDialogue(Dialogue):
    """Takes the results of the import of some modules: one for each, in their order, or none at all."""

    def __init__(self, modules: Sequence[str], *, output: Path) -> None:
        super().__init__(stage="check", output=output, max_wheel_bytes=0)
        self.results: tuple[Mapping[str, Any], ...] = ()
        self.unchecked = ""
        """Why nothing was imported."""
        self._modules = tuple(modules)

    async def hear(self, channel: Channel, raw: dict[str, Any]) -> bool:
        match raw:
            case {"t": "imports", "unchecked": str() as unchecked, "results": list() as results}:
                if not unchecked and [_module(result) for result in results] != list(self._modules):
                    raise DialogueError("the import check tells of other modules than those that were asked for")
                self.results, self.unchecked = tuple(results), unchecked
                self.is_done = True
                return True
            case {"t": "wheel"}:
                raise DialogueError("the import check sends a wheel")
            case _:
                return await super().hear(channel, raw)


def _module(result: object) -> object:
    return result.get("module") if isinstance(result, dict) else None
