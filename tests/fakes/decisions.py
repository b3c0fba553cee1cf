"""A legal `Decisions` without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from buildthrough.proxy.decisions import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildthrough.proxy.errors import StorageFault


class FakeDecisions:
    """Keeps decisions in memory."""

    def __init__(self) -> None:
        self.held: dict[str, Decision] = {}
        self.fault: StorageFault | None = None
        """Raised where something is to be written."""

    async def recall(self, project: str) -> str | None:
        held = self.held.get(project)
        return held.upstream if held else None

    async def decide(self, project: str, upstream: str) -> str:
        if self.fault is not None and project not in self.held:
            raise self.fault
        made = Decision(project=project, upstream=upstream, decided=datetime.now(UTC))
        return self.held.setdefault(project, made).upstream

    async def forget(self, project: str) -> str | None:
        held = self.held.pop(project, None)
        return held.upstream if held else None

    async def list(self, project: str | None = None, limit: int = 100) -> Sequence[Decision]:
        newest = sorted(self.held.values(), key=lambda one: one.decided, reverse=True)
        return [one for one in newest if project in (None, one.project)][:limit]
