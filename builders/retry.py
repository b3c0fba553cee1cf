"""How long to wait after our own faults, and how long a package's faults are remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MINUTE = 60.0
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

REMEMBERED: Mapping[str, float | None] = MappingProxyType(
    {
        "source.missing": 10 * _MINUTE,  # upstream's delivery network lags behind its pages
        "source": None,  # these very bytes are wrong; other bytes are another request
        "incompatible": None,
        "capi": None,
        "refused": None,
        "output": None,
        "limit": 7 * _DAY,
        "compiler": 30 * _DAY,
        "syslib": 7 * _DAY,  # until somebody installs what is missing on this machine
        "rot": 7 * _DAY,
        "network": 30 * _DAY,
        "deps": 6 * _HOUR,  # the index changes under it
        "deps.undeclared": 30 * _DAY,
        "deps.cycle": 7 * _DAY,
        "infra": 0.0,
    }
)
"""Seconds by fault class or by its beginning, None for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What follows on an infrastructure fault. Seconds."""

    max_attempts: int = 5
    """After so many setbacks a build is given up, without holding it against the package."""
    first_seconds: float = 10
    factor: float = 4
    longest_seconds: float = 1800

    def delay(self, setbacks: int) -> float:
        """Return the seconds to wait after so many setbacks, the first is 1."""
        exponent = min(setbacks - 1, 32)  # more would overflow before it is cut
        return float(min(self.first_seconds * self.factor**exponent, self.longest_seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureMemory:
    """How long a failure is held against its request, by fault class."""

    seconds: Mapping[str, float | None] = field(default_factory=lambda: REMEMBERED)
    """By class or by its beginning up to a dot: the longest that fits counts. None is for ever."""
    otherwise: float | None = 7 * _DAY
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
