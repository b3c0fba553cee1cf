"""What is known of a project's page: what upstream last said of it, or that there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buildthrough.proxy.freshness import HIT, Freshness

if TYPE_CHECKING:
    from buildthrough.proxy.rendered import Rendered, Rendering
    from buildthrough.proxy.stored_page import StoredHead


@dataclass(slots=True, kw_only=True)
class Current:
    """What upstream last said of a project; its page itself is kept apart, see `CurrentPages.page`."""

    head: StoredHead
    checked: float
    """When upstream last confirmed it, in seconds since the epoch."""
    stale: bool = False
    """Upstream failed when it was last asked."""
    ask_after: float = 0.0
    """Monotonic time before which an upstream that fails, or that answered with an older page, is left alone."""
    is_ahead: bool = False
    """Upstream answered with an older page at least once."""
    renders: dict[Rendering, Rendered] = field(default_factory=dict)

    def freshness(self, now: float) -> Freshness:
        """Return how fresh it is where upstream is not asked."""
        return Freshness.stale(now - self.checked) if self.stale else HIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Upstream said that there is no such project."""

    until: float
    """Seconds since the epoch."""
