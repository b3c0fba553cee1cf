"""Which versions satisfy a set of requirements: resolvelib over what the index was seen to hold. Nothing is read here.

What was not yet seen raises `Unseen`; whoever asks gets it and starts again. That is simpler than a resolver that
waits in a thread, and nothing can hang on a cancelled build.
Sources: PEP 440, 592; the dependency specifiers specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from resolvelib import AbstractProvider

from buildthrough.builders.seen import Unseen, Unusable
from buildthrough.builders.time_cut import as_of, floor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from packaging.version import Version
    from resolvelib.structs import RequirementInformation

    from buildthrough.builders.requirements import ListedFile
    from buildthrough.builders.seen import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One version of a project, with the extras that were asked for."""

    project: NormalizedName
    version: Version
    extras: frozenset[str]
    file: ListedFile | None
    """Its best wheel; None where there is only an sdist, which has to be built first."""


class Provider(AbstractProvider[Requirement, Candidate, NormalizedName]):
    """What resolvelib asks."""

    def __init__(self, seen: Seen, *, sdists: bool, moment: datetime | None = None) -> None:
        """Choose as of a moment, if one is given."""
        self._seen = seen
        self._sdists = sdists
        self._moment = moment

    def identify(self, requirement_or_candidate: Requirement | Candidate) -> NormalizedName:
        """Return the normalised name: extras are a property of the candidate, not projects of their own."""
        if isinstance(requirement_or_candidate, Candidate):
            return requirement_or_candidate.project
        return canonicalize_name(requirement_or_candidate.name)

    def get_preference(
        self,
        identifier: NormalizedName,
        resolutions: Mapping[NormalizedName, Candidate],
        candidates: Mapping[NormalizedName, Iterator[Candidate]],
        information: Mapping[NormalizedName, Iterator[RequirementInformation[Requirement, Candidate]]],
        backtrack_causes: Sequence[RequirementInformation[Requirement, Candidate]],
    ) -> tuple[bool, bool, str]:
        """Decide pinned projects first, then those that the last conflict was about."""
        del resolutions, candidates
        pinned = any(is_pin(each.requirement) for each in information[identifier])
        blamed = any(self.identify(cause.requirement) == identifier for cause in backtrack_causes)
        return not pinned, not blamed, identifier

    def find_matches(
        self,
        identifier: NormalizedName,
        requirements: Mapping[NormalizedName, Iterator[Requirement]],
        incompatibilities: Mapping[NormalizedName, Iterator[Candidate]],
    ) -> list[Candidate]:
        """Return the versions that satisfy all, best first."""
        wanted = list(requirements[identifier])
        extras = frozenset(canonicalize_name(extra) for each in wanted for extra in each.extras)
        excluded = {each.version for each in incompatibilities[identifier] if each.extras <= extras}
        specifier = self._seen.constraints.get(identifier, SpecifierSet())
        for each in wanted:
            specifier &= each.specifier
        releases = self._seen.releases(identifier)
        offers: dict[Version, ListedFile | None] = {v: r.wheel[2] for v, r in releases.items() if r.wheel}
        chosen = list(specifier.filter(offers))
        if not chosen:
            sdists: dict[Version, ListedFile | None] = {v: None for v, r in releases.items() if r.has_sdist}
            chosen = list(specifier.filter(sdists))
            if chosen:
                # The best only: each further one would be a build of its own.
                best = self._best_first(identifier, chosen)[:1]
                chosen, offers = (best, sdists) if self._sdists else ([], {})
            elif any(is_pin(each) for each in wanted):
                offers = {v: r.yanked[2] for v, r in releases.items() if r.yanked}
                chosen = list(specifier.filter(offers))
        return [
            Candidate(project=identifier, version=version, extras=extras, file=offers[version])
            for version in self._best_first(identifier, chosen)
            if version not in excluded
        ]

    def _best_first(self, project: NormalizedName, versions: Sequence[Version]) -> list[Version]:
        if self._moment is None:
            return sorted(versions, reverse=True)
        releases = self._seen.releases(project)
        uploaded = {version: time for version in versions if (time := releases[version].uploaded) is not None}
        lowest = floor(project, self._seen.target.environment.python)
        return as_of(self._moment, versions, uploaded, lowest=lowest)

    def is_satisfied_by(self, requirement: Requirement, candidate: Candidate) -> bool:
        """Whether the version fits and the extras are there."""
        extras = {canonicalize_name(extra) for extra in requirement.extras}
        return extras <= candidate.extras and requirement.specifier.contains(candidate.version, prereleases=True)

    def get_dependencies(self, candidate: Candidate) -> tuple[Requirement, ...]:
        """Return what the candidate requires: unknown, so nothing, for what must be built first."""
        if candidate.file is None:
            return ()
        try:
            return self._seen.dependencies(candidate.project, candidate.file, candidate.extras)
        except Unusable:
            self._seen.forget(candidate.project, candidate.file)
            raise Unseen(candidate.project) from None  # start again, without it


def is_pin(requirement: Requirement) -> bool:
    """Whether it names one version: only then may that version be a yanked one (PEP 592)."""
    return any(
        each.operator == "===" or (each.operator == "==" and not each.version.endswith(".*"))
        for each in requirement.specifier
    )
