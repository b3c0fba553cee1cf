"""How fresh an answer is, as the header ``X-Buildthrough-Cache`` and the metrics say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HEADER: Final = "X-Buildthrough-Cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Where an answer came from: see `HIT`, `REVALIDATED`, `MISS`, and `Freshness.stale`."""

    header: str
    """The value of the header."""
    age: float | None = None
    """Of a stale answer: seconds since upstream last said that it is so."""

    @classmethod
    def stale(cls, age: float) -> Freshness:
        """Upstream fails: what it said so many seconds ago is all there is."""
        age = max(0.0, age)
        return cls(header=f"stale; age={age:.0f}", age=age)

    def within(self, max_stale: float) -> bool:
        """Whether upstream vouched for it at most so many seconds ago; while upstream answers, it does."""
        return self.age is None or self.age <= max_stale


HIT: Final = Freshness(header="hit")
"""From the cache, upstream was not asked."""
REVALIDATED: Final = Freshness(header="revalidated")
"""From the cache, upstream was asked and said that nothing has changed."""
MISS: Final = Freshness(header="miss")
"""Upstream sent it for this answer."""
UNVERIFIED: Final = Freshness(header="miss; unverified")
"""Upstream sent it for this answer: part of a file, before the digest of the whole could be checked."""
