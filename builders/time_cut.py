"""Which versions of a build requirement come first where the index is to be as it once was. Pure.

A version that was there at that time is what the package was written for. What came later is for a newer interpreter
than the package knew, so the first of them that serves is nearest: nothing is ever left without an answer that today's
index would give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

Python = tuple[int, ...]
"""Of an interpreter, such as ``(3, 12)``."""

FLOORS: Final[Mapping[str, tuple[tuple[Python, Version], ...]]] = {
    # Tried: a package with a C extension, built by the first release of each series on 3.10 to 3.13. Older ones use
    # HTMLParser.unescape (gone from 3.9), distutils and pkgutil.ImpImporter (gone from 3.12).
    "setuptools": (((3, 12), Version("66.1.0")), ((3, 9), Version("41.6.0"))),
    # Before, it writes core metadata 2.0, which never was a standard; and it imports imp (gone from 3.12).
    "wheel": (((3,), Version("0.33.6")),),
    # By its change log: what it wrote before does not compile there (longintrepr.h, frame and thread state, unicode).
    "cython": (
        ((3, 14), Version("3.1.0")),
        ((3, 13), Version("3.0.11")),
        ((3, 12), Version("0.29.36")),
        ((3, 11), Version("0.29.32")),
        ((3, 10), Version("0.29.24")),
        ((3, 9), Version("0.29.21")),
    ),
}
"""The first version that works with a Python, the newest Python first. Wheels for one Python tell that themselves."""


def floor(project: str, python: Python) -> Version | None:
    """Return the oldest version of a build tool that works with a Python, None where its wheels tell."""
    return next((version for since, version in FLOORS.get(project, ()) if python >= since), None)


def as_of(
    moment: datetime, versions: Iterable[Version], uploaded: Mapping[Version, datetime], *, lowest: Version | None
) -> list[Version]:
    """Return the versions, best first: those uploaded by the moment, newest first, then later ones, oldest first.

    Below ``lowest`` there is nothing, unless there is nothing else. Of what nobody says when it was uploaded, the
    oldest comes last but for nothing; where nobody says it of any, all are as they are today.
    """
    usable = [version for version in versions if lowest is None or version >= lowest] or list(versions)
    if not any(version in uploaded for version in usable):
        return sorted(usable, reverse=True)
    then = [version for version in usable if version in uploaded and uploaded[version] <= moment]
    later = [version for version in usable if version in uploaded and uploaded[version] > moment]
    unknown = [version for version in usable if version not in uploaded]
    return [*sorted(then, reverse=True), *sorted(later), *sorted(unknown)]
