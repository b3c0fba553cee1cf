"""Looks out for a builder: learns at once when it goes away, and when it is back, with whatever it has by then."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.remote import AWAY, SILENCE_SECONDS, attended, workshop_of
from buildthrough.builders.retry import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.builders.sandbox import Level
    from buildthrough.builders.workplace import Workplace

logger = logging.getLogger(__name__)

PAUSES = RetryPolicy(first_seconds=0.2, factor=2, longest_seconds=10)
"""How long to wait before the builder is looked for again."""
_SETTLED_SECONDS = 5.0
"""A builder that stayed for so long is looked for without delay when it goes; one that comes and goes is not."""


class Lookout:
    """Over the builder at one socket."""

    def __init__(
        self,
        socket: Path,
        workplace: Workplace,
        *,
        minimum: Level,
        pauses: RetryPolicy = PAUSES,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Below the level ``minimum`` nothing is built, however the builder comes back.

        One that says nothing for ``silence_seconds`` is taken for dead.
        """
        self._socket = socket
        self._workplace = workplace
        self._minimum = minimum
        self._pauses = pauses
        self._silence_seconds = silence_seconds
        self._looked = asyncio.Event()

    async def first(self, patience_seconds: float) -> None:
        """Wait until it was looked for once; no longer than so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                await self._looked.wait()

    async def run(self) -> None:
        """Look, until cancelled."""
        loop = asyncio.get_running_loop()
        setbacks = 0
        while True:
            came = loop.time()
            try:
                async with attended(self._socket, silence_seconds=self._silence_seconds) as (description, gone):
                    came = loop.time()
                    self._workplace.take_over(workshop_of(description, self._socket, minimum=self._minimum))
                    self._looked.set()
                    self._welcome()
                    why = await gone
                self._miss(why)
            except InfrastructureFault as fault:
                self._miss(fault.line, is_there=fault.kind != AWAY)
            except Exception:
                # The boundary of a background task: what we did not foresee must not end the looking.
                logger.exception("the builder could not be looked for by a fault of ours")
                self._miss("looking for it fails by a fault of ours, see the log")
            self._looked.set()
            setbacks = 1 if loop.time() - came > _SETTLED_SECONDS else setbacks + 1
            await asyncio.sleep(self._pauses.delay(setbacks))

    def _welcome(self) -> None:
        workshop = self._workplace.workshop
        isolation = workshop.isolation
        fields: dict[str, object] = {"socket": str(self._socket)}
        if isolation.can_build:
            targets = ", ".join(target.slug for target in workshop.targets)
            fields |= {"isolation": isolation.level, "targets": targets}
            logger.info("builds are on: the builder answers", extra={"fields": fields})
        else:
            fields |= {"why": "; ".join(isolation.sentences)}
            logger.warning("builds are off, everything else works", extra={"fields": fields})

    def _miss(self, why: str, *, is_there: bool = False) -> None:
        """Say it once; and again where something is there by now, and fails."""
        before = self._workplace.away
        self._workplace.lose(why)
        if before is None or not self._looked.is_set() or (is_there and before.why != why):
            message = "the builder is away: builds wait for it, everything else works"
            logger.warning(message, extra={"fields": {"socket": str(self._socket), "why": why}})
