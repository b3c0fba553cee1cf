"""Build requirements: which wheels satisfy them for a target, taken from our own index, never built on the host.

The strings come out of the sandbox, so they are a stranger's: names, versions, extras and markers are taken from
them, never a place to fetch something from.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from packaging.utils import canonicalize_name
from resolvelib import ResolutionImpossible, Resolver

from buildthrough.builders.effort import Effort, TooMuch
from buildthrough.builders.facts import UsedWheel
from buildthrough.builders.faults import NeedsBuild, PackageFault
from buildthrough.builders.resolution import Candidate, Provider
from buildthrough.builders.seen import Seen, Unseen, read_requirement

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Sequence
    from datetime import datetime
    from pathlib import Path

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName
    from resolvelib.resolvers import Result

    from buildthrough.builders.target import Target

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """A file that our index lists, as far as a resolver needs to know it."""

    filename: str
    path: str
    """Where our index serves it, which is all that is needed to ask for it."""
    sha256: str | None
    requires_python: str | None
    yanked: bool
    has_core_metadata: bool
    uploaded: datetime | None = None
    """When it was, where that was asked for and anybody says."""


class Index(Protocol):
    """Our own index, asked in-process: upstream's files and the wheels that we built."""

    async def files(self, project: str, *, dated: bool = False) -> Sequence[ListedFile]:
        """Return the files of a normalised project name, none for an unknown one.

        ``dated`` asks for the times of upload as well, wherever they can be had. Raise `InfrastructureFault` when
        upstream fails.
        """
        ...

    async def core_metadata(self, project: str, file: ListedFile) -> bytes:
        """Return a wheel's METADATA, from its sidecar or from the wheel itself."""
        ...

    async def fetch(self, project: str, file: ListedFile, folder: Path) -> Path:
        """Put the file, its digest checked, under its own name into the folder."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionLimits:
    """Upper bounds of one resolution."""

    requirements: int = 200
    characters: int = 1000
    """Of one requirement."""
    projects: int = 500
    """Whose files are looked at."""
    metadata: int = 500
    """Wheels whose core metadata are looked at."""
    steps: int = 50_000
    """Of the resolver, backtracking included, and each time that it begins anew because it has seen more."""
    seconds: float = 30
    """Of processor time."""
    wheels: int = 200
    total_bytes: int = 2 << 30
    """Of all wheels fetched."""


_PARALLEL = 4
_DEFAULT_LIMITS = ResolutionLimits()


async def resolve(
    requirements: Sequence[object],
    *,
    target: Target,
    index: Index,
    folder: Path,
    limits: ResolutionLimits = _DEFAULT_LIMITS,
    moment: datetime | None = None,
    constraints: Sequence[str] = (),
) -> tuple[UsedWheel, ...]:
    """Put the wheels that satisfy the requirements, and theirs in turn, into the folder. Return them by name.

    With a ``moment``, those come first that the index had then, see `buildthrough.builders.time_cut`. ``constraints``
    are requirements that bound what is chosen without asking for it: a recipe's, not a stranger's.

    Raise `NeedsBuild` where a version can be had as an sdist only, `PackageFault` where a requirement is refused
    (``requires.refused``), cannot be satisfied (``deps.unresolvable``) or takes too much (``limit.disk``), and what
    the index raises.
    """
    seen = Seen(target=target, effort=Effort(steps=limits.steps, seconds=limits.seconds))
    seen.constrain(constraints)
    roots = [each for each in _parse(requirements, limits) if seen.applies(each)]
    looking = _Looking(index=index, seen=seen, limits=limits, moment=moment)
    await looking.up({canonicalize_name(each.name) for each in roots})
    # Versions that must be built first are the last resort: only where wheels alone do not do.
    try:
        chosen = await looking.settle(roots, sdists=False)
    except ResolutionImpossible:
        try:
            chosen = await looking.settle(roots, sdists=True)
        except ResolutionImpossible as error:
            raise PackageFault("requires", "deps.unresolvable", _explain(error, seen)) from error
    for candidate in chosen:
        if candidate.file is None:
            raise NeedsBuild(candidate.project, str(candidate.version))
    if len(chosen) > limits.wheels:
        raise PackageFault("requires", "deps.unresolvable", f"the build requires more than {limits.wheels} wheels")
    await _fetch(chosen, index, folder, limits)
    return tuple(
        UsedWheel(project=each.project, version=str(each.version), filename=each.file.filename, sha256=each.file.sha256)
        for each in chosen
        if each.file is not None
    )


def _parse(requirements: Sequence[object], limits: ResolutionLimits) -> list[Requirement]:
    if len(requirements) > limits.requirements:
        raise _refused(f"the build asks for {len(requirements)} requirements, more than {limits.requirements}")
    parsed = []
    for text in requirements:
        if not isinstance(text, str):
            raise _refused("a build requirement is not a string")
        if len(text) > limits.characters:
            raise _refused(f"a build requirement is longer than {limits.characters} characters: {text[:60]!a}")
        if not text.isprintable():
            raise _refused(f"a build requirement has a control character: {text[:200]!a}")
        try:
            parsed.append(read_requirement(text))
        except ValueError as error:
            raise _refused(f"{text[:200]!a} does not name a project and versions of it") from error
    return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looking:
    """One resolution: what is asked, and what was seen."""

    index: Index
    seen: Seen
    limits: ResolutionLimits
    moment: datetime | None

    async def settle(self, roots: Sequence[Requirement], *, sdists: bool) -> list[Candidate]:
        """Resolve, get what was not yet seen, resolve again. Raise `ResolutionImpossible`."""
        seen, limits = self.seen, self.limits
        while len(seen.files) <= limits.projects and len(seen.metadata) <= limits.metadata:
            resolver = Resolver(Provider(seen, sdists=sdists, moment=self.moment), seen.effort)
            try:
                # In a thread, for it may calculate a while. It waits for nothing, so it ends even if we are cancelled.
                result = await asyncio.to_thread(_resolve, resolver, roots, seen.effort, limits)
            except Unseen as unseen:
                if unseen.file is not None:
                    seen.metadata[unseen.file.filename] = await self.index.core_metadata(unseen.project, unseen.file)
                await self.up({unseen.project})
            except TooMuch as error:
                raise PackageFault("requires", "deps.unresolvable", str(error)) from error
            else:
                return [candidate for _, candidate in sorted(result.mapping.items())]
        raise PackageFault("requires", "deps.unresolvable", "resolving the build requirements takes too many projects")

    async def up(self, projects: Collection[NormalizedName]) -> None:
        """Look up the files of projects."""
        wanted = [project for project in sorted(projects) if project not in self.seen.files]
        for start in range(0, len(wanted), _PARALLEL):
            some = wanted[start : start + _PARALLEL]
            pages = await _all(*(self.index.files(project, dated=self.moment is not None) for project in some))
            self.seen.files.update(zip(some, pages, strict=True))


def _resolve(
    resolver: Resolver[Requirement, Candidate, NormalizedName],
    roots: Sequence[Requirement],
    effort: Effort,
    limits: ResolutionLimits,
) -> Result[Requirement, Candidate, NormalizedName]:
    """Resolve in the thread of the caller, whose time is counted."""
    with effort.working():
        return resolver.resolve(roots, limits.steps)


async def _fetch(chosen: Sequence[Candidate], index: Index, folder: Path, limits: ResolutionLimits) -> None:
    """Fetch the wheels, a few at a time; stop once they are too much, together with those of earlier rounds."""
    left = asyncio.Semaphore(_PARALLEL)
    total = await asyncio.to_thread(_held, folder, {each.file.filename for each in chosen if each.file is not None})

    async def fetch(candidate: Candidate, file: ListedFile) -> None:
        nonlocal total
        async with left:
            path = await index.fetch(candidate.project, file, folder)
            total += (await asyncio.to_thread(path.stat)).st_size
            if total > limits.total_bytes:
                raise PackageFault(
                    "requires", "limit.disk", f"the build requires wheels of more than {limits.total_bytes} bytes"
                )

    await _all(*(fetch(each, each.file) for each in chosen if each.file is not None))


def _held(folder: Path, but: Collection[str]) -> int:
    """Return how many bytes are in a folder already, but for these files."""
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name not in but)


async def _all(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Do all at once. The first failure ends the others, and is raised when they have ended."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _explain(error: ResolutionImpossible[Requirement, Candidate], seen: Seen) -> str:
    """Say what cannot be satisfied, as a person would."""
    name = canonicalize_name(next(iter(error.causes)).requirement.name)
    wants = sorted(
        {
            f"{cause.requirement} (asked for by {_asker(cause.parent)})"
            for cause in error.causes
            if canonicalize_name(cause.requirement.name) == name
        }
    )
    if not seen.files[name]:
        return f"the index has no project {name}: {', '.join(wants)}"[:500]
    versions = sorted(version for version, release in seen.releases(name).items() if release.offers)
    environment = seen.target.slug
    newest = f"the newest that fits there is {versions[-1]}" if versions else "none fits there at all"
    return f"no version of {name} for {environment} satisfies {' and '.join(wants)}: {newest}"[:500]


def _asker(parent: Candidate | None) -> str:
    return "the build" if parent is None else f"{parent.project} {parent.version}"


def _refused(line: str) -> PackageFault:
    return PackageFault("requires", "requires.refused", line)
