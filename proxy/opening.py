"""Find out what can be built on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.workshop import open_workshop
from buildthrough.proxy import logs

if TYPE_CHECKING:
    from buildthrough.builders.workshop import Workshop
    from buildthrough.config.schema import Settings

log = logs.logger("opening")


async def open_builders(settings: Settings, work: Path) -> Workshop:
    """Find out what can be built here, and say it in the log."""
    build = settings.build
    workshop = await open_workshop(
        work,
        enabled=build.enabled,
        slots=build.slots,
        first_uid=build.slot_uid_base,
        interpreters=tuple(Path(path) for path in build.interpreters),
        search_path=os.environ.get("PATH", os.defpath),
        min_isolation=build.min_isolation,
    )
    isolation = workshop.isolation
    if isolation.can_build:
        log.info("builds are on", isolation=isolation.level, targets=", ".join(one.slug for one in workshop.targets))
    else:
        log.warning("builds are off, everything else works", why="; ".join(isolation.sentences))
    for sentence in (*isolation.sentences, *workshop.sentences) if isolation.can_build else ():
        log.debug(sentence)
    return workshop
