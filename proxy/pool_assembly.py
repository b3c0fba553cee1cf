"""The pool of a server, made of the settings: what is done with a build, and how much all builds may use."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from buildthrough.builders.attendance import Work
from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.demand import Demand, demand_of
from buildthrough.builders.fuse import FusePolicy
from buildthrough.builders.lookout import Lookout
from buildthrough.builders.machine import budget, read_capacity
from buildthrough.builders.pool import Pool
from buildthrough.builders.sandbox import Limits
from buildthrough.builders.workplace import Workplace
from buildthrough.config.schema import SettingsError
from buildthrough.proxy.publication import put_log

if TYPE_CHECKING:
    from buildthrough.builders.workshop import Workshop
    from buildthrough.config.schema import Build, Settings
    from buildthrough.proxy.building import Building
    from buildthrough.proxy.stores import Store


async def find_budget(settings: Settings) -> Demand:
    """Return what all builds together may use on this machine. Raise `SettingsError`."""
    build = settings.build
    capacity = await asyncio.to_thread(read_capacity)
    try:
        return budget(
            capacity,
            memory_bytes=build.pool_memory_bytes,
            cpus=build.pool_cpus,
            reserve_bytes=settings.storage.memory_bytes,
            least=Demand(memory_bytes=build.memory_bytes, cpus=max(build.cpus, 1)),
        )
    except ValueError as error:
        raise SettingsError(f"The setting {error}.") from error


def limits_of(build: Build, total: Demand) -> Limits:
    """Return the limits of a build of which nothing else is said."""
    return Limits(
        wall_seconds=build.wall_seconds,
        silence_seconds=build.silence_seconds,
        cpu_seconds=build.cpu_seconds,
        memory_bytes=build.memory_bytes,
        cpus=build.cpus or max(total.cpus // build.slots, 1),
        disk_bytes=build.disk_bytes,
        file_bytes=build.file_bytes,
        inodes=build.inodes,
        processes=build.processes,
        log_bytes=build.log_bytes,
    )


def open_workplace(settings: Settings, workshop: Workshop) -> Workplace:
    """Return where things are built: here, or by the builder that the settings name, which is yet to be looked for."""
    build = settings.build
    return Workplace(workshop, builder=Path(build.socket) if build.enabled and build.socket else None)


def look_out(settings: Settings, workplace: Workplace, pool: Pool[BuildLog]) -> Lookout | None:
    """Have the pool build as the builder comes and goes; None where there is no builder to look out for."""
    if workplace.builder is None:
        return None
    workplace.follow(lambda: pool.adopt(() if workplace.away else workplace.workshop.sandboxes, away=workplace.away))
    return Lookout(workplace.builder, workplace, minimum=settings.build.min_isolation)


def assemble_pool(
    settings: Settings,
    workplace: Workplace,
    *,
    store: Store,
    building: Building,
    total: Demand,
    is_draining: bool,
) -> Pool[BuildLog]:
    """Return the pool, one without slots where nothing can be isolated."""
    return Pool(
        store.queue,
        () if workplace.away else workplace.workshop.sandboxes,
        Work(
            new_log=BuildLog,
            make=building.make,
            publish=building.publish,
            submit_requirement=building.submit_requirement,
            store_log=lambda data: put_log(store.build_logs, data),
            clean=building.clean,
        ),
        total=total,
        demand=lambda request: demand_of(building.limits(request)),
        is_draining=is_draining,
        policy=replace(FusePolicy(), faults=settings.build.lock_after),
        patience_seconds=settings.build.hold_seconds,
        stop_seconds=settings.server.shutdown_seconds,
    )
