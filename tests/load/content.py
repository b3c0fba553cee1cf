"""What the index of the load tests offers: made from names alone, so that every process can check every byte."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.fakes.pypi import Stream

if TYPE_CHECKING:
    from tests.fakes.pypi import FakePyPI

WARM = [f"warm-{number}" for number in range(40)]
BIG = "big"
BIG_FILES = 3000
WIDE_SECONDS = 4
"""A cold file that many clients ask for at once is there for each so many seconds."""
WIDE_BYTES = 6_000_000


def cold(seconds: float) -> list[str]:
    """Return projects that nobody asked for before; more are asked for than a run needs."""
    return [f"cold-{number}" for number in range(max(200, int(seconds * 30)))]


def wide(seconds: float) -> list[str]:
    """Return projects with a large file, one after another."""
    return [f"wide-{number}" for number in range(int(seconds / WIDE_SECONDS) + 2)]


def content(name: str, size: int) -> Stream:
    """Return bytes that no other name has."""
    return Stream(size=size, block=random.Random(name).randbytes(30_011))


def fill(pypi: FakePyPI, seconds: float) -> None:
    """List everything."""
    for project in WARM:
        for minor in range(30):
            name = f"{project}-1.{minor}.tar.gz"
            pypi.add(project, name, content(name, 2_000_000 if minor == 0 else 30_000))
    for number in range(BIG_FILES):
        name = f"{BIG}-1.{number}.tar.gz"
        pypi.add(BIG, name, content(name, 1000))
    for project in cold(seconds):
        name = f"{project}-1.0.tar.gz"
        pypi.add(project, name, content(name, random.Random(project).choice((5_000, 60_000, 400_000))))
    for project in wide(seconds):
        name = f"{project}-1.0.tar.gz"
        pypi.add(project, name, content(name, WIDE_BYTES))
