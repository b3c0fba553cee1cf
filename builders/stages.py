"""How long each stage of a build took, as the host saw it: the start ends with the first word from inside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

START: Final = "start"
"""The sandbox and the driver in it are being started."""
HOOK: Final = "hook"
"""The first code of the package or of its backend runs: they are asked what else they require, and get it."""

Stages = tuple[tuple[str, float], ...]
"""Names of stages, in the order in which they were first entered, each with all its seconds."""


class StageClock:
    """Runs from when it is made."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds: dict[str, float] = {}
        self._stage = START
        self._since = now()

    def enter(self, stage: str) -> None:
        """Begin a stage. To require once the environment is made means that the backend is asked."""
        now = self._now()
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        is_asked = "install" in self._seconds and stage in {"requires", "install"}
        self._stage, self._since = HOOK if is_asked else stage, now

    def stop(self) -> Stages:
        """Return the stages up to now."""
        self.enter(self._stage)
        return tuple((stage, round(seconds, 3)) for stage, seconds in self._seconds.items())


def until_hook(stages: Stages) -> float | None:
    """Return the seconds before the first code of the package ran; None where none ran."""
    names = [name for name, _ in stages]
    first = min((names.index(name) for name in (HOOK, "build") if name in names), default=None)
    return None if first is None else sum(seconds for _, seconds in stages[:first])


def told(stages: Stages) -> str:
    """Write them in one line."""
    return ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in stages)
