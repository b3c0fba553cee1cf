"""Everything that building needs of this machine, found and tried once when the server starts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.interpreters import NotUsable, find_targets
from buildthrough.builders.kit import prepare_kit
from buildthrough.builders.ladder import climb_down
from buildthrough.builders.permissions import is_readable_by
from buildthrough.builders.roots import add_roots
from buildthrough.builders.sandbox import Isolation
from buildthrough.builders.slot import claim_slots
from buildthrough.builders.toolchain import find_toolchains, survey_tools

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from buildthrough.builders.kit import Kit
    from buildthrough.builders.sandbox import Level, Sandbox
    from buildthrough.builders.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What can be built here, and how it is isolated."""

    isolation: Isolation
    kit: Kit | None
    """None where nothing can be built."""
    sandboxes: tuple[Sandbox, ...]
    """One for each slot; none where nothing can be built."""
    sentences: tuple[str, ...]
    """What was left out or copied, and why."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """What can be built for."""
        return () if self.kit is None else self.kit.targets


async def open_workshop(
    work: Path,
    *,
    enabled: bool,
    slots: int,
    first_uid: int,
    interpreters: Sequence[Path],
    search_path: str,
    roots: Sequence[Path] = (),
    memory: Path | None = None,
    min_isolation: Level,
    toolchains: Sequence[Path] = (),
) -> Workshop:
    """Find the interpreters, copy what has to be copied into ``work``, and try what is isolated.

    ``roots`` are folders that hold other distributions, to build for theirs; in the folder ``memory`` is kept what
    their Pythons say of themselves, so that they are asked once.
    Whatever is missing turns building off and says so in a sentence; nothing is ever built without a sandbox.
    """
    if not enabled:
        return closed("nothing is built here: build.enabled is false")
    claimed = await asyncio.to_thread(claim_slots, slots, first_uid=first_uid)
    isolation, rung = await climb_down(claimed[0], work, minimum=min_isolation)
    if rung is None:
        return Workshop(isolation=isolation, kit=None, sandboxes=(), sentences=())
    uid = claimed[0].uid
    try:
        discovery = await find_targets(
            named=interpreters, search_path=search_path, is_readable=partial(is_readable_by, uid=uid)
        )
        found = await find_toolchains(toolchains, search_path)
        kit = await prepare_kit(folder=work / "kit", discovery=discovery, uid=uid, toolchains=found)
        sandboxes = tuple(rung.make(slot, work) for slot in claimed)
        kit = await _surveyed(kit, sandboxes[0])
        kit = await add_roots(
            kit,
            roots,
            sandboxes[0],
            memory=memory or work / "roots",
            can_change_root=isolation.level != "landlock",
            is_readable=partial(is_readable_by, uid=uid),
        )
    except NotUsable as problem:
        return closed(f"nothing is built here: {problem}")
    except InfrastructureFault as fault:
        return closed(f"nothing is built here: {fault.line}")
    return Workshop(isolation=isolation, kit=kit, sandboxes=sandboxes, sentences=(*discovery.sentences, *kit.sentences))


async def _surveyed(kit: Kit, sandbox: Sandbox) -> Kit:
    """Add which tools builds have; that this is not known keeps nothing from being built."""
    if not kit.targets:
        return kit
    try:
        return replace(kit, tool_versions=await survey_tools(sandbox, kit, kit.targets[0]))
    except InfrastructureFault as fault:
        return replace(kit, sentences=(*kit.sentences, fault.line))


def closed(*sentences: str) -> Workshop:
    """Return one in which nothing can be built, for these reasons."""
    return Workshop(isolation=Isolation(level="none", sentences=sentences), kit=None, sandboxes=(), sentences=())
