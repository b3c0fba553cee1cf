"""The use cases of operators over the pool: how it stands, drain, resume, cancel; and what queued builds wait for."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from buildthrough.builders.database import utc_now
from buildthrough.builders.faults import Cancelled
from buildthrough.builders.pool_state import Wait, wait_of
from buildthrough.builders.request import BuildState
from buildthrough.proxy import logs, names
from buildthrough.proxy.catalog import AuditRecord
from buildthrough.proxy.errors import BadRequest, Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from buildthrough.builders.pool import Pool
    from buildthrough.builders.pool_state import PoolState
    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.request import Build
    from buildthrough.proxy.catalog import Catalog

log = logs.logger("pool")

_ACTIVE = (BuildState.QUEUED, BuildState.RUNNING)
_WORDS = ("drain", "resume")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Where a queued build stands."""

    reason: Wait | None
    """None for one that is not queued."""
    position: int | None = None
    """Its place among those that are due, from 1; None where something else has to happen first."""
    estimate_seconds: float | None = None
    """In about how many seconds it will start; None where nobody knows."""


async def was_drained(catalog: Catalog) -> bool:
    """Whether an operator's last word on the pool was to drain it: that holds until it is taken back."""
    last = await catalog.last_audit(_WORDS)
    return last is not None and last.action == "drain"


class PoolControl:
    """Over the pool of this server."""

    def __init__(
        self, pool: Pool[Any], queue: BuildQueue, catalog: Catalog, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._catalog = catalog
        self._clock = clock

    @property
    def state(self) -> PoolState:
        """How the pool stands."""
        return self._pool.state

    async def drain(self) -> PoolState:
        """Start no more builds, now and after a restart, until `resume`."""
        await self._note("drain", {})
        self._pool.drain()
        log.warning("builds are drained: those that run go on, no more are started, an operator says")
        return self.state

    async def resume(self) -> PoolState:
        """Start builds again: after a drain, and where faults of ours have locked the pool."""
        lock = self.state.lock
        await self._note("resume", {"was_locked": lock is not None})
        self._pool.resume()
        log.info("builds go on, an operator says")
        return self.state

    async def cancel(self, *, build: int | None, project: str | None) -> tuple[int, ...]:
        """Cancel one build, or all of a project that are queued or running. Return which.

        Raise `BadRequest`, `NotFound`, or `Conflict` for one that has ended.
        """
        if (build is None) == (project is None):
            raise BadRequest("Say what to cancel: one build, or all of a project.")
        found = await self._one(build) if build is not None else await self._all_of(project or "")
        numbers = tuple(one.id for one in found)
        await self._note("cancel", {"builds": list(numbers), "project": project})
        # To its end, even where the operator's client hangs up.
        await asyncio.shield(self._pool.withdraw(numbers, Cancelled("cancelled.operator", "An operator cancelled it.")))
        log.info("builds cancelled by an operator", builds=numbers, project=project)
        return numbers

    async def waits(self, builds: Sequence[Build]) -> Mapping[int, Waiting]:
        """Return where queued builds stand."""
        queued = [build for build in builds if build.state is BuildState.QUEUED]
        if not queued:
            return {}
        places = await self._queue.positions([build.id for build in queued])
        state, now = self.state, self._clock()
        found = {}
        for build in queued:
            reason = wait_of(build, self._pool.demand(build.request), state, now)
            place = places.get(build.id)
            is_next = place is not None and reason in (Wait.SLOT, Wait.BUDGET)
            estimate = state.estimate(place) if is_next and place is not None else None
            found[build.id] = Waiting(reason=reason, position=place, estimate_seconds=estimate)
        return found

    async def _one(self, number: int) -> Sequence[Build]:
        build = await self._queue.get(number)
        if build is None:
            raise NotFound(f"There is no build {number}.")
        if build.state not in _ACTIVE:
            raise Conflict(f"Build {number} has ended: it is {build.state}.")
        return (build,)

    async def _all_of(self, project: str) -> Sequence[Build]:
        if not names.is_valid(project):
            raise BadRequest("This is no valid project name: letters, digits, and . - _ between them.")
        normalized = names.normalize(project)
        found = await self._queue.active(project=normalized)
        if not found:
            raise NotFound(f"No build of {normalized} is queued or running.")
        return found

    async def _note(self, action: str, detail: dict[str, object]) -> None:
        await self._catalog.note(AuditRecord(at=self._clock(), action=action, detail=json.dumps(detail)))
