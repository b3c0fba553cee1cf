"""Build tags: a rebuilt wheel gets a file name of its own, because nobody looks twice at a name that he has cached.

uv keeps what it once got under a file name, pip keeps what it once got under a URL; a build tag, which ranks
after all else, is what makes both take the new wheel. Source: the binary distribution format specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from buildthrough.builders.canonical import write_again

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from buildthrough.builders.artifact import CheckedWheel

_PARTS_WITHOUT_TAG = 5


def next_build_tag(filenames: Mapping[str, str], wheel: CheckedWheel) -> int | None:
    """Return the number that tells a wheel from the ones of its name that there were before, None where it needs none.

    ``filenames`` are all file names that were ever used, also by wheels that are purged, each with its sha256.
    The number is above every number used, not the first gap: the newest wheel has to rank highest.
    """
    if filenames.get(wheel.filename) == wheel.sha256:
        return None
    project, version, build, tags = parse_wheel_filename(wheel.filename)
    used: list[int] = []
    for filename in filenames:
        try:
            other = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        if (other[0], str(other[1]), other[3]) == (project, str(version), tags):
            used.append(other[2][0] if other[2] else 0)
    own = build[0] if build else 0
    return max(used) + 1 if used and own <= max(used) else None


def with_build_tag(wheel: CheckedWheel, number: int, folder: Path) -> CheckedWheel:
    """Write the wheel again with a build tag: file name, ``Build`` in WHEEL, RECORD. Blocking: call it in a thread.

    The same wheel and number give the same bytes, see `buildthrough.builders.canonical`.
    """
    return write_again(wheel, folder / _renamed(wheel.filename, number), build=number)


def _renamed(filename: str, number: int) -> str:
    parts = filename.split("-")
    tail = parts[2:] if len(parts) == _PARTS_WITHOUT_TAG else parts[3:]
    return "-".join([*parts[:2], str(number), *tail])
