"""The time by which pages are taken for old, ahead of the real one by as much as a test says.

So what is fresh stays so however long a busy machine takes, and what is to be old is so at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pytest

MODULES: Final = ("current", "projects", "releases")


class Later:
    """Stands in for the module `time` in those of the page caches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        for module in MODULES:
            monkeypatch.setattr(f"buildthrough.proxy.{module}.time", self)

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return time.time() + self._ahead

    def monotonic(self) -> float:
        """Return the seconds of a clock that nobody sets."""
        return time.monotonic() + self._ahead
