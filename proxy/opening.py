"""Find out what can be built on this machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.interpreters import managed_folders
from buildthrough.builders.remote import open_remote_workshop
from buildthrough.builders.root_folders import folder_of_roots, folders_below
from buildthrough.builders.workshop import closed, open_workshop
from buildthrough.proxy import logs

if TYPE_CHECKING:
    from buildthrough.builders.workshop import Workshop
    from buildthrough.config.schema import Settings

log = logs.logger("opening")


async def open_builders(settings: Settings, work: Path) -> Workshop:
    """Find out what can be built here, and say it in the log. A builder of its own is yet to be looked for."""
    build = settings.build
    if build.enabled and build.socket:
        return closed(f"nothing is built yet: the builder at {build.socket} has not answered")
    workshop = await open_own(settings, work)
    isolation = workshop.isolation
    if isolation.can_build:
        log.info("builds are on", isolation=isolation.level, targets=", ".join(one.slug for one in workshop.targets))
    else:
        log.warning("builds are off, everything else works", why="; ".join(isolation.sentences))
    for sentence in (*isolation.sentences, *workshop.sentences) if isolation.can_build else ():
        log.debug(sentence)
    return workshop


async def survey_builders(settings: Settings, work: Path) -> Workshop:
    """Find out what can be built here, or by the builder that the settings name, at this moment."""
    build = settings.build
    if build.enabled and build.socket:
        return await open_remote_workshop(Path(build.socket), minimum=build.min_isolation)
    return await open_own(settings, work)


async def open_own(settings: Settings, work: Path) -> Workshop:
    """Find out what can be built by this very process."""
    build = settings.build
    return await open_workshop(
        work,
        enabled=build.enabled,
        slots=build.slots,
        first_uid=build.slot_uid_base,
        interpreters=tuple(Path(path) for path in build.interpreters),
        search_path=await asyncio.to_thread(_search_path, settings),
        roots=await asyncio.to_thread(_roots, settings),
        memory=settings.storage.dir / "roots",
        min_isolation=build.min_isolation,
        toolchains=tuple(Path(path) for path in build.toolchains),
    )


def _roots(settings: Settings) -> tuple[Path, ...]:
    """Return the named root file systems, and those that `buildthrough target create` made."""
    named = tuple(Path(path) for path in settings.build.roots)
    return (*named, *folders_below(folder_of_roots(settings.storage.dir)))


def _search_path(settings: Settings) -> str:
    """Return where Pythons are looked for."""
    managed = managed_folders(Path.home(), os.environ) if settings.build.version_managers else ()
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *map(str, managed)))
