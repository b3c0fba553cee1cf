"""The levels of isolation tried one after the other, from the best down, until one holds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from buildthrough.builders.bubblewrap import BubblewrapSandbox
from buildthrough.builders.isolation import what_to_do
from buildthrough.builders.landlock import LandlockSandbox
from buildthrough.builders.sandbox import Isolation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from buildthrough.builders.sandbox import Level, Sandbox
    from buildthrough.builders.slot import Slot

_FIRST = "nothing is built here: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way to keep builds in."""

    name: str
    make: Callable[[Slot, Path], Sandbox]


RUNGS = (
    Rung(name="full", make=BubblewrapSandbox),
    Rung(name="container", make=lambda slot, work: BubblewrapSandbox(slot, work, own_proc=False)),
    Rung(name="landlock", make=LandlockSandbox),
)
"""The best first. What the slot has decides whether the first one is ``full`` or ``unprivileged``."""


async def climb_down(
    slot: Slot, work: Path, *, minimum: Level, rungs: Sequence[Rung] = RUNGS
) -> tuple[Isolation, Rung | None]:
    """Try each rung for real until one holds. Return what was found, and the rung to build on; None to build nothing.

    Below ``minimum`` nothing is built, and the sentences say what is missing and what to do.
    """
    refusals: list[str] = []
    for rung in rungs:
        isolation = await rung.make(slot, work).probe()
        if isolation.level != "none":
            isolation = judged(await _explained(isolation, refusals), minimum)
            return isolation, rung if isolation.can_build else None
        refusals.append(f"{rung.name}: {'; '.join(isolation.sentences)}")
    return judged(await _explained(Isolation(level="none", sentences=()), refusals), minimum), None


def judged(isolation: Isolation, minimum: Level) -> Isolation:
    """Return it with the lowest level at which anything may be built, and a sentence where that is not reached."""
    asked = replace(isolation, minimum=minimum)
    return replace(asked, sentences=(*_verdict(asked), *asked.sentences))


async def _explained(isolation: Isolation, refusals: Sequence[str]) -> Isolation:
    """Add why it is not better, and what can be done about it."""
    hints = await asyncio.to_thread(what_to_do) if refusals else ()
    why = (*(f"not {refusal}" for refusal in refusals), *hints)
    return replace(isolation, sentences=(*isolation.sentences, *why))


def _verdict(isolation: Isolation) -> tuple[str, ...]:
    if isolation.can_build:
        return ()
    if isolation.level == "none":
        return (f"{_FIRST}no level of isolation holds on this machine",)
    found = f"this machine isolates builds at the level {isolation.level}, and build.min_isolation asks for"
    return (f'{_FIRST}{found} {isolation.minimum}; set it to "{isolation.level}" to build with what is missing below',)
