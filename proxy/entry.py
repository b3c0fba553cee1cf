"""A read-only view of the file entries of a project page: for decisions only, a page is never written from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file that upstream lists now."""

    filename: str
    url: str
    """Absolute upstream URL, without fragment."""
    path: str
    """Where we serve it, below ``/files/<project>/``: the URL's path as upstream wrote it, without leading slash."""
    hashes: Mapping[str, str]
    """Lower-case hexadecimal digests by hashlib's name."""
    size: int | None = None
    requires_python: str | None = None
    yanked: bool | str = False
    """The reason where there is one, else whether it is yanked (PEP 592)."""
    upload_time: str | None = None
    core_metadata: bool | Mapping[str, str] = False
    """Whether a ``.metadata`` file is advertised (PEP 658, 714), with its digests where known."""

    @property
    def sha256(self) -> str | None:
        """The digest that files are kept under."""
        return self.hashes.get("sha256")

    @property
    def is_sdist(self) -> bool:
        """Whether the name is an sdist's that can be built from (PEP 625 and legacy zip)."""
        return sdist_identity(self.filename) is not None

    @property
    def is_wheel(self) -> bool:
        """Whether the name is a wheel's."""
        return wheel_identity(self.filename) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFiles:
    """What a project page says, as far as decisions need it."""

    project: str
    entries: tuple[Entry, ...]
    status: str | None = None
    """PEP 792 status, for example ``quarantined``."""
    upstream: str = ""
    """Which of several upstreams lists them. Empty where there is one."""
    foreign: frozenset[str] = frozenset()
    """Names of files that are not among the entries: their URLs stay upstream's, nothing can be said of them here."""


@lru_cache(maxsize=65536)
def sdist_identity(filename: str) -> tuple[str, str] | None:
    """Normalised (name, version) of an sdist's file name, None for any other file."""
    try:
        name, version = parse_sdist_filename(filename)
    except (InvalidSdistFilename, InvalidVersion):
        return None
    return canonicalize_name(name), str(version)


@lru_cache(maxsize=65536)
def wheel_identity(filename: str) -> tuple[str, str] | None:
    """Normalised (name, version) of a wheel's file name, None for any other file."""
    try:
        name, version, _, _ = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion):
        return None
    return canonicalize_name(name), str(version)


def versions_of(filenames: Iterable[str]) -> frozenset[str]:
    """Return the canonical versions of these sdists and wheels, without trailing zeros."""
    identities = (wheel_identity(name) or sdist_identity(name) for name in filenames)
    return frozenset(canonicalize_version(identity[1]) for identity in identities if identity is not None)
