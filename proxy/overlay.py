"""Which built wheels are listed: a pure function of upstream's page now and of the wheels that were built.

Nothing about a yank is stored with a wheel; it is read from the sdist's entry at the moment of answering.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_version

from buildthrough.builders.target import parse_environment, rank, wheel_tags
from buildthrough.proxy.entry import wheel_identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from buildthrough.builders.target import Environment
    from buildthrough.proxy.built import BuiltWheel
    from buildthrough.proxy.entry import Entry, ProjectFiles

_BUILD_TAG = re.compile(r"([0-9]+)(.*)")
_PARTS_WITH_BUILD = 6
_ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A built wheel as it is listed at this moment."""

    wheel: BuiltWheel
    yanked: bool | str
    """The sdist's (PEP 592)."""
    upload_time: str | None
    """The sdist's, so that cut-off dates treat both alike."""

    def url(self, root: str) -> str:
        """Return the wheel's URL, behind the relative way to the server's root."""
        return f"{root}built/{quote(self.wheel.path, safe='/+!~')}"


def overlay(files: ProjectFiles, wheels: Iterable[BuiltWheel]) -> tuple[Addition, ...]:
    """Return the wheels to list beside upstream's files, in the order of their file names.

    A wheel is listed if and only if its very sdist is listed now, by file name and sha256, in a project that is not
    quarantined, and upstream neither lists the same file name nor has a wheel that serves the same tags. Of several
    builds of one wheel the newest is listed.
    """
    sdists = _sdists(files)
    alive = [wheel for wheel in wheels if _key(wheel) in sdists]
    if not alive:
        return ()
    names = {entry.filename for entry in files.entries}
    upstream = _upstream_wheels(files, {canonicalize_version(wheel.version) for wheel in alive})
    additions = []
    for wheel in _newest(alive):
        rivals = upstream.get(canonicalize_version(wheel.version), ())
        if wheel.filename in names or any(_supersedes(rival, wheel) for rival in rivals):
            continue
        sdist = sdists[_key(wheel)]
        additions.append(Addition(wheel=wheel, yanked=sdist.yanked, upload_time=sdist.upload_time))
    return tuple(sorted(additions, key=lambda one: one.wheel.filename))


def downloadable(files: ProjectFiles, wheel: BuiltWheel) -> bool:
    """Whether the wheel's bytes are still served: its very sdist is listed and the project is not quarantined.

    A yanked or superseded wheel stays downloadable, because lock files hold its URL.
    """
    return _key(wheel) in _sdists(files)


def fitting(files: ProjectFiles, additions: Iterable[Addition], version: str, environment: Environment) -> bool:
    """Whether a listed wheel of the version fits the environment: yanked ones count, ``requires-python`` too."""
    wanted = canonicalize_version(version)
    if any(_serves(entry, environment) for entry in _upstream_wheels(files, {wanted}).get(wanted, ())):
        return True
    return any(
        canonicalize_version(one.wheel.version) == wanted
        and rank(one.wheel.filename, environment) is not None
        and admits(one.wheel.requires_python, environment.python)
        for one in additions
    )


@lru_cache(maxsize=4096)
def admits(requires_python: str | None, python: tuple[int, int]) -> bool:
    """Whether some release of this Python is admitted. What is no specifier forbids nothing, as for clients."""
    if requires_python is None:
        return True
    try:
        specifiers = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return True
    major, minor = python
    # The patch level of a client is not known here: the first one, and one that is never reached, span the series.
    return any(specifiers.contains(f"{major}.{minor}.{patch}", prereleases=True) for patch in (0, 999))


def _key(wheel: BuiltWheel) -> tuple[str, str]:
    return wheel.sdist, wheel.sdist_sha256.lower()


def _sdists(files: ProjectFiles) -> Mapping[tuple[str, str], Entry]:
    """Return what is listed with a digest; nothing for a quarantined project, whose files must not be offered."""
    if files.status == "quarantined":
        return {}
    found: dict[tuple[str, str], Entry] = {}
    for entry in files.entries:
        if entry.sha256 is not None:
            key = entry.filename, entry.sha256
            if key not in found or entry.yanked:  # listed twice: a yank is never overlooked
                found[key] = entry
    return found


def _upstream_wheels(files: ProjectFiles, versions: set[str]) -> Mapping[str, Sequence[Entry]]:
    """Return upstream's wheels of these versions. Pages list tens of thousands: the name is taken apart only there."""
    found: dict[str, list[Entry]] = {}
    for entry in files.entries:
        name, _, rest = entry.filename.partition("-")
        if not name or not rest.endswith(".whl"):
            continue
        version = canonicalize_version(rest.partition("-")[0].replace("_", "-"))
        if version in versions:
            identity = wheel_identity(entry.filename)
            if identity is not None and identity[0] == files.project:
                found.setdefault(version, []).append(entry)
    return found


def _newest(wheels: Iterable[BuiltWheel]) -> Iterable[BuiltWheel]:
    """Return of each (name, version, tags) the one with the highest build tag."""
    newest: dict[object, BuiltWheel] = {}
    for wheel in wheels:
        key = wheel_identity(wheel.filename), wheel_tags(wheel.filename)
        rival = newest.get(key)
        if rival is None or _age(rival) < _age(wheel):
            newest[key] = wheel
    return newest.values()


def _age(wheel: BuiltWheel) -> tuple[int, str, datetime, int]:
    parts = wheel.filename.split("-")
    match = _BUILD_TAG.fullmatch(parts[2]) if len(parts) == _PARTS_WITH_BUILD else None
    number, suffix = (int(match[1]), match[2]) if match else (-1, "")
    return number, suffix, wheel.created, wheel.build


def _supersedes(entry: Entry, wheel: BuiltWheel) -> bool:
    """Whether upstream's wheel serves whom ours was built for, and, where ours serves others as well, also those."""
    if not _serves(entry, parse_environment(wheel.target)):
        return False
    ours, theirs = wheel_tags(wheel.filename), wheel_tags(entry.filename)
    if any(tag.platform != _ANY for tag in ours):
        return True
    pythons = {tag.interpreter for tag in theirs if tag.platform == _ANY and tag.abi == "none"}
    return all(tag.interpreter in pythons or _series(tag.interpreter) in pythons for tag in ours)


def _series(interpreter: str) -> str:
    """Return what serves each Python that an interpreter tag names: ``py3`` for ``py311``, ``cp311``, ``pp310``."""
    return "py" + interpreter[2:3]


def _serves(entry: Entry, environment: Environment) -> bool:
    return rank(entry.filename, environment) is not None and admits(entry.requires_python, environment.python)
