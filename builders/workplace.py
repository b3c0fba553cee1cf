"""What can be built now: by this process, which stays as it is, or by a builder that comes and goes. See `Lookout`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildthrough.builders.database import utc_now
from buildthrough.builders.pool_state import Away

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from buildthrough.builders.target import Target
    from buildthrough.builders.workshop import Workshop


class Workplace:
    """Holds the workshop that there is, and tells those who follow it of another one."""

    def __init__(
        self, workshop: Workshop, *, builder: Path | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Begin with a workshop. ``builder`` is the socket of the builder that has it, one that is yet to answer."""
        self.builder = builder
        self.workshop = workshop
        """What there is; while the builder is away, what it had."""
        self.away = None if builder is None else Away(since=clock(), why=f"the builder at {builder} has not answered")
        """Since when the builder does not answer, and why; None where it does, or where there is none."""
        self.since = clock()
        """Since when it is so."""
        self._clock = clock
        self._followers: list[Callable[[], None]] = []

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows what can be built here: the builder is away, and has told of no target before."""
        return self.away is not None and not self.workshop.targets

    def target(self, slug: str) -> Target | None:
        """Return the target of this name, None where there is none."""
        return next((target for target in self.workshop.targets if target.slug == slug), None)

    def follow(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` now, and after each change."""
        self._followers.append(changed)
        changed()

    def take_over(self, workshop: Workshop) -> None:
        """Learn what the builder has: it answers."""
        self.workshop = workshop
        self.away = None
        self.since = self._clock()
        self._tell()

    def lose(self, why: str) -> None:
        """Learn that the builder does not answer, and why. What it had is still known: builds of that wait for it."""
        if self.away is None:
            self.since = self._clock()
        self.away = Away(since=self.since, why=why)
        self._tell()

    def _tell(self) -> None:
        for changed in self._followers:
            changed()
