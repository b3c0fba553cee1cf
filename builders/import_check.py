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
from buildthrough.builders.sandbox import Command, DialogueError, Mount
from buildthrough.builders.seen import MALFORMED, Seen, read_requirement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.facts import UsedWheel
    from buildthrough.builders.kit import Kit
    from buildthrough.builders.sandbox import Channel, Limits, Sandbox
    from buildthrough.builders.target import Target

    Resolve = Callable[[Sequence[str], Path], Awaitable[tuple[UsedWheel, ...]]]
    """Puts the wheels that satisfy requirements into a folder, and returns them."""

_WALL_SECONDS = 300
"""Of the whole check."""
_DEPENDENCIES = "/dependencies"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRule:
    """How the import of a wheel is checked."""

    resolve: Resolve
    resolve_then: Resolve | None = None
    """With the index as it was when the sdist was uploaded; None where that is not to be tried."""
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
    if rule.skip or not modules:
        found = ImportCheck(verdict="unchecked" if rule.skip else "nothing", line=plain_line(rule.skip))
    else:
        check = _Check(
            wheel=wheel,
            modules=modules,
            seconds=rule.seconds,
            project=project,
            target=target,
            sandbox=sandbox,
            kit=kit,
            limits=limits,
            log=log,
        )
        found = await check.run(rule.resolve, folder / "dependencies")
        if found.verdict == "failed" and found.dependencies and rule.resolve_then is not None:
            log.note(sentence(found))
            log.note("perhaps what it requires moved on: once more, beside what there was when it was uploaded")
            then = await check.run(rule.resolve_then, folder / "dependencies-then")
            if then.verdict in {"imported", "excused"}:
                found = replace(then, line="beside what it requires as of its upload; with that of today it fails")
    log.learn(imported=found)
    log.note(sentence(found))
    for one in found.modules:
        if one.kind and not one.excused:
            refusal = PackageFault("check", one.kind, plain_line(f"import {one.module}: {one.line}"))
            refusal.wheel = wheel.path
            raise refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """What stays the same where a wheel is imported beside other dependencies."""

    wheel: CheckedWheel
    modules: Sequence[str]
    seconds: float
    project: str
    target: Target
    sandbox: Sandbox
    kit: Kit
    limits: Limits
    log: BuildLog

    async def run(self, resolve: Resolve, dependencies: Path) -> ImportCheck:
        """Import the modules beside the wheels that ``resolve`` puts into the new folder ``dependencies``."""
        await asyncio.to_thread(lend_folder, dependencies)
        try:
            used = await _resolve(self.wheel, resolve, self.project, self.target, dependencies)
        except NeedsBuild as needed:
            line = f"it requires {needed.project}=={needed.version}, which has no wheel here"
            return ImportCheck(verdict="unchecked", line=plain_line(line))
        except PackageFault as fault:
            return ImportCheck(verdict="unchecked", line=plain_line(f"what it requires cannot be had: {fault.line}"))
        await asyncio.to_thread(self.wheel.path.chmod, 0o644)
        dialogue = _ImportDialogue(self.modules, output=dependencies)
        try:
            await hold_dialogue(
                sandbox=self.sandbox, command=self._command(dependencies), dialogue=dialogue, log=self.log
            )
        except PackageFault as fault:
            raise _renamed(fault) from None
        return judge_all(dialogue.results, self.modules, unchecked=dialogue.unchecked, dependencies=used)

    def _command(self, dependencies: Path) -> Command:
        inside = f"/wheel/{self.wheel.filename}"
        plan = {
            "wheel": inside,
            "dependencies": _DEPENDENCIES,
            "python": str(self.target.interpreter.executable),
            "uv": self.kit.uv,
            "modules": list(self.modules),
            "seconds": self.seconds,
        }
        return self.kit.command(
            "imports",
            plan,
            target=self.target,
            limits=replace(self.limits, wall_seconds=min(self.limits.wall_seconds, _WALL_SECONDS)),
            mounts=(Mount(source=self.wheel.path, target=inside), Mount(source=dependencies, target=_DEPENDENCIES)),
        )


async def _resolve(
    wheel: CheckedWheel, resolve: Resolve, project: str, target: Target, folder: Path
) -> tuple[UsedWheel, ...]:
    """Fetch what the wheel requires in the target, never another version of itself."""
    wanted = _required(wheel.metadata, project, target)
    if not wanted:
        return ()
    used = await resolve(wanted, folder)
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
