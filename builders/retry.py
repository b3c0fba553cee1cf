"""How long to wait after our own faults, and how long a package's faults are remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from buildthrough.builders.failures import DAY, FAILURES

if TYPE_CHECKING:
    from collections.abc import Mapping

REMEMBERED: Mapping[str, float | None] = MappingProxyType({row.name: row.remembered for row in FAILURES})
"""Seconds by fault class or by its beginning, None for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What follows on an infrastructure fault. Seconds."""

    max_attempts: int = 5
    """After so many setbacks a build is given up, without holding it against the package."""
    first_seconds: float = 10
    factor: float = 4
    longest_seconds: float = 1800
    put_off_seconds: float = 60
    """How long a build waits that a fault has hit which hits every build, and is not counted."""

    def delay(self, setbacks: int) -> float:
        """Return the seconds to wait after so many setbacks, the first is 1."""
        exponent = min(setbacks - 1, 32)  # more would overflow before it is cut
        return float(min(self.first_seconds * self.factor**exponent, self.longest_seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMemory:
    """How long a failure is held against its request, by fault class."""

    seconds: Mapping[str, float | None] = field(default_factory=lambda: REMEMBERED)
    """By class or by its beginning up to a dot: the longest that fits counts. None is for ever."""
    otherwise: float | None = 7 * DAY
    longest: float | None = None
    """No failure is remembered for longer, whatever its class; None is no such bound."""

    def of(self, kind: str) -> float | None:
        """Return the seconds that a fault of this class is remembered, None for ever."""
        known = [seconds for seconds in (self._of_class(kind), self.longest) if seconds is not None]
        return min(known, default=None)

    def _of_class(self, kind: str) -> float | None:
        beginning = kind
        while beginning:
            if beginning in self.seconds:
                return self.seconds[beginning]
            beginning = beginning.rpartition(".")[0]
        return self.otherwise
