"""What was seen of an index so far, as it matters to one target: releases, what their wheels require. Reads nothing.

Sources: PEP 440, 508, 592, 685; the dependency specifiers specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    BuildTag,
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from buildthrough.builders.core_metadata import read_fields
from buildthrough.builders.effort import Effort
from buildthrough.builders.messages import DEEPEST_MARKER
from buildthrough.builders.target import rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from buildthrough.builders.requirements import ListedFile
    from buildthrough.builders.target import Target

_MAX_DEPENDENCIES = 1000
_LONGEST_DEPENDENCY = 4000
"""Characters, and fewer digits than Python reads as one number."""
MALFORMED = (InvalidRequirement, InvalidSpecifier, InvalidVersion, UndefinedComparison, UndefinedEnvironmentName,
             RecursionError)  # fmt: skip
"""What reading a requirement, or evaluating its marker, raises."""


class Unseen(Exception):
    """The resolution needs a project's files (``file`` is None) or a wheel's core metadata first."""

    def __init__(self, project: NormalizedName, file: ListedFile | None = None) -> None:
        super().__init__(project)
        self.project = project
        self.file = file


class Unusable(Exception):
    """A wheel whose core metadata no installer would accept here."""


@dataclass(slots=True, kw_only=True)
class Release:
    """What one version offers to the target: the best wheel, the best yanked one, an sdist that is not yanked."""

    wheel: tuple[int, BuildTag, ListedFile] | None = None
    yanked: tuple[int, BuildTag, ListedFile] | None = None
    has_sdist: bool = False
    uploaded: datetime | None = None
    """When the first of its files was, as far as anybody says."""

    @property
    def offers(self) -> bool:
        """Whether there is anything at all for the target."""
        return self.wheel is not None or self.has_sdist


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was seen of the index so far, as it matters to one target."""

    target: Target
    effort: Effort = field(default_factory=Effort)
    """What may be spent on it."""
    files: dict[NormalizedName, Sequence[ListedFile]] = field(default_factory=dict)
    metadata: dict[str, bytes] = field(default_factory=dict)
    """By file name."""
    unusable: set[str] = field(default_factory=set)
    """File names of wheels that are passed over."""
    constraints: dict[NormalizedName, SpecifierSet] = field(default_factory=dict)
    """What bounds the versions, whoever asks for them."""
    _releases: dict[NormalizedName, dict[Version, Release]] = field(default_factory=dict)
    _dependencies: dict[tuple[str, frozenset[str]], tuple[Requirement, ...]] = field(default_factory=dict)

    def constrain(self, texts: Iterable[str]) -> None:
        """Add constraints: requirements that were read before."""
        for each in filter(self.applies, map(Requirement, texts)):
            name = canonicalize_name(each.name)
            self.constraints[name] = self.constraints.get(name, SpecifierSet()) & each.specifier

    def releases(self, project: NormalizedName) -> Mapping[Version, Release]:
        """Return what each version offers. Raise `Unseen`."""
        if project not in self.files:
            raise Unseen(project)
        if project not in self._releases:
            self._releases[project] = self._read(project)
        return self._releases[project]

    def dependencies(
        self, project: NormalizedName, file: ListedFile, extras: frozenset[str]
    ) -> tuple[Requirement, ...]:
        """Return what a wheel requires in the target. Raise `Unseen` or `Unusable`."""
        key = (file.filename, extras)
        if key not in self._dependencies:
            if file.filename not in self.metadata:
                raise Unseen(project, file)
            self._dependencies[key] = tuple(self._required(self.metadata[file.filename], extras))
        return self._dependencies[key]

    def applies(self, requirement: Requirement, extras: Iterable[str] = ()) -> bool:
        """Whether a requirement's marker holds in the target."""
        if requirement.marker is None:
            return True
        markers = dict(self.target.interpreter.markers)
        for extra in ("", *extras):
            self.effort.look()
            if requirement.marker.evaluate({**markers, "extra": extra}):
                return True
        return False

    def accepts_python(self, requires_python: str | None) -> bool:
        """Whether the target satisfies Requires-Python. One that is no specifier is passed over, as pip does."""
        if not requires_python:
            return True
        version = self.target.interpreter.markers["python_full_version"].removesuffix("+")
        try:
            return SpecifierSet(requires_python).contains(version, prereleases=True)
        except ValueError:  # InvalidSpecifier, or a number of thousands of digits
            return True

    def forget(self, project: NormalizedName, file: ListedFile) -> None:
        """Pass over a wheel from now on."""
        self.unusable.add(file.filename)
        self._releases.pop(project, None)

    def _read(self, project: NormalizedName) -> dict[Version, Release]:
        releases: dict[Version, Release] = {}
        for file in self.files[project]:
            self.effort.look()
            parsed = _parsed(file.filename)
            if parsed is None or parsed[0] != project:
                continue
            release = releases.setdefault(parsed[1], Release())
            if file.uploaded is not None:
                release.uploaded = min(file.uploaded, release.uploaded or file.uploaded)
            if file.filename in self.unusable or not self.accepts_python(file.requires_python):
                continue
            if parsed[2] is None:
                release.has_sdist = release.has_sdist or not file.yanked
                continue
            fit = rank(file.filename, self.target.environment)
            if fit is None:
                continue
            wheel = (-fit, parsed[2], file)
            best = release.yanked if file.yanked else release.wheel
            if best is None or wheel[:2] > best[:2]:
                if file.yanked:
                    release.yanked = wheel
                else:
                    release.wheel = wheel
        return releases

    def _required(self, metadata: bytes, extras: frozenset[str]) -> Iterator[Requirement]:
        try:
            raw, _ = read_fields(metadata)
        except ValueError as error:
            raise Unusable("its core metadata cannot be read") from error
        if not self.accepts_python(raw.get("requires_python")):
            raise Unusable("it is not for this Python")
        strings = raw.get("requires_dist", [])
        if len(strings) > _MAX_DEPENDENCIES:
            raise Unusable("it requires too much")
        for string in strings:
            self.effort.look()
            if len(string) > _LONGEST_DEPENDENCY or string.count("(") > DEEPEST_MARKER:
                raise Unusable("one of its requirements is absurdly long")
            try:
                requirement = Requirement(string)
                if not self.applies(requirement, extras):
                    continue
            except MALFORMED as error:
                raise Unusable("one of its requirements is malformed") from error
            if requirement.url is not None:
                raise Unusable("it requires a direct reference")
            yield requirement


def read_requirement(text: str) -> Requirement:
    """Parse a requirement. Raise ValueError where it is none, or names a place instead of a version."""
    try:
        requirement = Requirement(text)
        if requirement.marker is not None:
            requirement.marker.evaluate({"extra": ""})
    except MALFORMED as error:
        raise ValueError(text) from error
    if requirement.url is not None:
        raise ValueError(text)
    return requirement


def _parsed(filename: str) -> tuple[NormalizedName, Version, BuildTag | None] | None:
    """Return project, version and build tag of a file name; None for the build tag of an sdist."""
    try:
        if filename.endswith(".whl"):
            project, version, build, _ = parse_wheel_filename(filename)
            return project, version, build
        project, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return project, version, None
