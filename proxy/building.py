"""The use case of a build: from a claimed request to a published wheel, between our own index and the builders."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from buildthrough.builders.build import build_wheel
from buildthrough.builders.faults import Cancelled, InfrastructureFault, NeedsBuild, PackageFault
from buildthrough.builders.findings import findings_text
from buildthrough.builders.import_check import ImportRule
from buildthrough.builders.recipe_mount import advised, bounded, check_skip
from buildthrough.builders.request import BuildRequest
from buildthrough.builders.requirements import ResolutionLimits, resolve
from buildthrough.builders.rot import build_or_turn_back
from buildthrough.proxy.errors import Denied, ProxyError, StorageFault, UnknownProject
from buildthrough.proxy.own_index import OwnIndex, copy_for_builds
from buildthrough.proxy.publication import publish
from buildthrough.proxy.resource import file_resource
from buildthrough.proxy.sdists import find_sdist, wanted_sdist
from buildthrough.proxy.unlisted import keep_unlisted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel
    from buildthrough.builders.build_log import BuildLog
    from buildthrough.builders.facts import UsedWheel
    from buildthrough.builders.queue import BuildQueue
    from buildthrough.builders.recipe import Recipe, RecipeBook
    from buildthrough.builders.request import Build
    from buildthrough.builders.rot import Supply
    from buildthrough.builders.sandbox import Limits, Sandbox
    from buildthrough.builders.stages import Stages
    from buildthrough.builders.target import Target
    from buildthrough.builders.workplace import Workplace
    from buildthrough.proxy.attestation import Attester
    from buildthrough.proxy.blobs import BlobStore
    from buildthrough.proxy.catalog import Catalog
    from buildthrough.proxy.downloads import Downloads
    from buildthrough.proxy.entry import Entry
    from buildthrough.proxy.mirror import Mirror
    from buildthrough.proxy.resource import Resource

_UNPACKED = 4
"""The wheels that a wheel requires may take this part of a sandbox's disk: unpacked they are several times as large."""


class Building:
    """What the pool's workers do with a claimed build."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        index: OwnIndex,
        downloads: Downloads,
        catalog: Catalog,
        built: BlobStore,
        queue: BuildQueue,
        workplace: Workplace,
        limits: Limits,
        max_wheel_bytes: int,
        work: Path,
        recipes: RecipeBook,
        attester: Attester,
        import_seconds: float = 0,
        observe_stages: Callable[[Stages], None] = lambda _stages: None,
    ) -> None:
        """Take the collaborators. ``import_seconds`` is the time for the import of a module; 0 imports nothing."""
        self._observe_stages = observe_stages
        self._mirror = mirror
        self._downloads = downloads
        self._catalog = catalog
        self._built = built
        self._queue = queue
        self._workplace = workplace
        self._limits = limits
        self._max_wheel_bytes = max_wheel_bytes
        self._work = work
        self._recipes = recipes
        self._attester = attester
        self._import_seconds = import_seconds
        self._index = index

    def limits(self, request: BuildRequest) -> Limits:
        """Return the limits of a build: a recipe may change them."""
        target = self._workplace.target(request.target)
        recipe = None if target is None else self._recipes.of(request.project, request.version, target)
        return bounded(self._limits, recipe)

    async def make(self, build: Build, sandbox: Sandbox, build_log: BuildLog) -> CheckedWheel:
        """Build the wheel of a claimed build. Raise the families of `buildthrough.builders.faults`."""
        claimed = time.monotonic()
        request = build.request
        workshop, target = self._workplace.workshop, self._workplace.target(request.target)
        kit = workshop.kit
        if kit is None or target is None:
            raise InfrastructureFault(
                "infra.no-target", f"This machine no longer has an interpreter for {request.target}."
            )
        recipe = self._recipe(request, target)
        check_skip(recipe)
        entry, upstream = await self._still_wanted(request, target)
        build_log.learn(
            sdist_path=f"files/{request.project}/{entry.path}",
            upstream=upstream,
            limits=bounded(self._limits, recipe),
            isolation=workshop.isolation.level,
            chain=build.chain,
        )
        folder = self._folder(build)
        await asyncio.to_thread(_make_afresh, folder)
        sdist = await self._sdist(file_resource(entry, upstream), folder / request.sdist)
        if build.chain:
            build_log.note(f"a build requirement of {' -> '.join(build.chain)}")

        rule = self._import_rule(request, target, recipe)
        self._observe_stages((("fetch", time.monotonic() - claimed),))

        async def attempt(supply: Supply, is_second: bool) -> CheckedWheel:
            if is_second:
                await asyncio.to_thread(_clear, folder, sdist)
            try:
                return await build_wheel(
                    request=request,
                    sdist=sdist,
                    target=target,
                    sandbox=sandbox,
                    kit=kit,
                    folder=folder,
                    resolve=supply,
                    limits=self.limits(request),
                    log=build_log,
                    max_wheel_bytes=self._max_wheel_bytes,
                    recipe=recipe,
                    import_rule=rule,
                )
            finally:
                self._observe_stages(build_log.facts.stages)

        async def resolve_as_of(
            requirements: Sequence[str], into: Path, moment: datetime | None
        ) -> tuple[UsedWheel, ...]:
            return await resolve(
                requirements,
                target=target,
                index=self._index.asked_by(upstream),
                folder=into,
                moment=moment,
                constraints=() if recipe is None else recipe.constraints,
            )

        try:
            wheel = await build_or_turn_back(
                attempt, resolve=resolve_as_of, uploaded=lambda: self._uploaded(request), log=build_log
            )
        except PackageFault as fault:
            await self._keep_unlisted(build, fault, build_log)
            raise advised(fault, recipe) from fault
        finally:
            facts = build_log.facts
            await self._queue.mark(build.id, time_cut=facts.time_cut, findings=findings_text(facts))
        await self._still_wanted(request, target)
        return wheel

    async def _keep_unlisted(self, build: Build, fault: PackageFault, build_log: BuildLog) -> None:
        """Keep what was built all the same, for the operator. Without room for it the build ends as it would."""
        if fault.wheel is None:
            return
        try:
            await keep_unlisted(build, fault.wheel, blobs=self._built, catalog=self._catalog, queue=self._queue)
        except StorageFault as full:
            build_log.note(f"{fault.wheel.name} could not be kept: {full.sentence}")
        else:
            build_log.note(f"{fault.wheel.name} is kept for the operator, and listed for nobody")

    async def publish(self, build: Build, wheel: CheckedWheel, log_sha256: str, build_log: BuildLog) -> None:
        """Make the wheel visible: bytes, core metadata, provenance and record together, or not at all."""

        def provenance(named: CheckedWheel, finished: datetime) -> bytes:
            return self._attester.record(build, named, build_log.facts, log_sha256=log_sha256, finished=finished)

        try:
            await publish(build, wheel, log_sha256, blobs=self._built, catalog=self._catalog, provenance=provenance)
        except StorageFault as fault:
            raise InfrastructureFault("infra.disk", fault.sentence) from fault

    async def clean(self, build: Build) -> None:
        """Remove what the build left on disk."""
        await asyncio.to_thread(shutil.rmtree, self._folder(build), ignore_errors=True)

    async def submit_requirement(self, needed: NeedsBuild, build: Build) -> Build | None:
        """Ask for the wheel of a build requirement, for the same target. None where there is no sdist of it."""
        try:
            files = await self._mirror.files(canonicalize_name(needed.project))
        except (UnknownProject, Denied):
            return None
        except ProxyError as fault:
            raise InfrastructureFault("infra.index", fault.sentence) from fault
        entry = find_sdist(files, needed.version)
        if entry is None or entry.sha256 is None:
            return None
        request = BuildRequest(
            project=files.project,
            version=needed.version,
            sdist=entry.filename,
            sdist_sha256=entry.sha256,
            target=build.request.target,
        )
        if target := self._workplace.target(request.target):
            request = self._recipes.identify(request, target)
        if await self._catalog.is_buried(sdist_sha256=request.sdist_sha256, target=request.target):
            return None
        return await self._queue.submit(request, priority=build.priority, parent=build)

    def _recipe(self, request: BuildRequest, target: Target) -> Recipe | None:
        """Return the recipe of a request. Raise `Cancelled` where it is another than when the build was asked for."""
        recipe = self._recipes.of(request.project, request.version, target)
        if (None if recipe is None else recipe.digest) != request.recipe:
            raise Cancelled("cancelled.recipe", "The recipe for it was changed since it was asked for: ask again.")
        return recipe

    async def still_wanted(self, request: BuildRequest) -> None:
        """Raise `Cancelled` where there is nothing to build any more, `InfrastructureFault` where that is not known."""
        target = self._workplace.target(request.target)
        if target is not None:  # else it waits for its interpreter to come back
            await self._still_wanted(request, target)

    def _import_rule(self, request: BuildRequest, target: Target, recipe: Recipe | None) -> ImportRule | None:
        """Return how the wheel's import is checked; its dependencies come from our own index, as it is now."""
        if not self._import_seconds:
            return None
        bounds = ResolutionLimits(total_bytes=self._limits.disk_bytes // _UNPACKED)

        async def dependencies(requirements: Sequence[str], into: Path) -> tuple[UsedWheel, ...]:
            return await resolve(requirements, target=target, index=self._index, folder=into, limits=bounds)

        async def then(requirements: Sequence[str], into: Path) -> tuple[UsedWheel, ...]:
            moment = await self._uploaded(request)
            if moment is None:
                raise PackageFault("check", "deps.unresolvable", "nobody says when the sdist was uploaded")
            return await resolve(
                requirements, target=target, index=self._index, folder=into, limits=bounds, moment=moment
            )

        return ImportRule(
            resolve=dependencies,
            resolve_then=then,
            seconds=self._import_seconds,
            modules=(recipe and recipe.imports) or (),
            skip=(recipe and recipe.skip_import) or "",
        )

    def _folder(self, build: Build) -> Path:
        return self._work / f"build-{build.id}"

    async def _sdist(self, resource: Resource, destination: Path) -> Path:
        try:
            blob = await self._downloads.blob(resource)
        except ProxyError as fault:
            raise InfrastructureFault("infra.upstream", fault.sentence) from fault
        return await copy_for_builds(blob, destination)

    async def _uploaded(self, request: BuildRequest) -> datetime | None:
        """Return when the sdist was uploaded, None where nobody says."""
        try:
            return (await self._mirror.upload_times(request.project)).get(request.sdist)
        except ProxyError as fault:
            raise InfrastructureFault("infra.upstream", fault.sentence) from fault

    async def _still_wanted(self, request: BuildRequest, target: Target) -> tuple[Entry, str]:
        """Return the sdist as upstream lists it now, and which upstream does.

        Raise `Cancelled` where there is nothing to build.
        """
        try:
            files, screened = await self._mirror.screened(request.project)
            screened.check(request.sdist)
        except UnknownProject as fault:
            raise Cancelled("cancelled.removed", f"Upstream no longer has {request.project}.") from fault
        except Denied as fault:
            raise Cancelled("cancelled.denied", fault.sentence) from fault
        except ProxyError as fault:
            raise InfrastructureFault("infra.upstream", fault.sentence) from fault
        return wanted_sdist(files, request, target.environment), files.upstream


def _make_afresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755, parents=True)


def _clear(folder: Path, sdist: Path) -> None:
    """Remove all that a first try left, but the sdist."""
    for left in folder.iterdir():
        if left != sdist:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
