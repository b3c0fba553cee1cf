"""A long download over a slow line that stalls in its middle: only silence is bounded, never the whole.

By default in small; ``LONG_DOWNLOAD=1`` takes the real one, 2 GB at 1 MB/s through a stall of 20 s, half an hour.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.fakes.faults import Fault
from tests.fakes.pypi import Stream
from tests.integration.assembled import serving

if TYPE_CHECKING:
    from tests.integration.assembled import Site

NAME = "slow-1.0.tar.gz"
BLOCK = hashlib.shake_128(b"slow").digest(1_000_000)


@dataclass(frozen=True, slots=True)
class Line:
    """How upstream sends."""

    size: int
    piece: int
    pause: float
    """Seconds after each piece."""
    stall: float
    read_seconds: float
    """How long it may be silent."""


LINE = Line(size=6_000_000, piece=200_000, pause=0.02, stall=1.0, read_seconds=5)
if os.environ.get("LONG_DOWNLOAD"):
    LINE = Line(size=2_000_000_000, piece=1_000_000, pause=1.0, stall=20, read_seconds=30)


async def fetched(site: Site, path: str) -> tuple[int, str]:
    """Download and forget; return the bytes and their sha256."""
    digest, size = hashlib.sha256(), 0
    async with site.session.get(f"{site.url}{path}", timeout=None) as answer:
        assert answer.status == 200
        async for chunk in answer.content.iter_any():
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


@pytest.mark.timeout(3600)
async def test_it_completes_in_one_transfer(pypi, tmp_path):
    file = pypi.add("slow", NAME, Stream(size=LINE.size, block=BLOCK))
    fault = Fault(dribble=(LINE.piece, LINE.pause), stall=(LINE.size // 2, LINE.stall))
    pypi.fault(f"/{file.path}", fault)
    async with serving(pypi.simple, tmp_path, upstream__read_seconds=LINE.read_seconds) as site:
        assert await fetched(site, f"files/slow/{file.path}") == (LINE.size, file.sha256)
        assert pypi.count(f"/{file.path}") == 1


async def test_a_stall_that_is_too_long_is_got_over_by_a_new_connection(pypi, tmp_path):
    file = pypi.add("slow", NAME, Stream(size=2_000_000, block=BLOCK))
    pypi.fault(f"/{file.path}", Fault(stall=(1_000_000, 30), times=1))
    async with serving(pypi.simple, tmp_path, upstream__read_seconds=1) as site:
        assert await fetched(site, f"files/slow/{file.path}") == (2_000_000, file.sha256)
        asked = pypi.asked(f"/{file.path}")
        assert ["Range" in seen.headers for seen in asked] == [False, True]
        begin = int(asked[1].headers["Range"].removeprefix("bytes=").removesuffix("-"))
        assert 0 < begin <= 1_000_000  # what had come was not asked for again
