"""A disk that is full while the server runs: files pass by it, nothing is lost, and all is well once there is room."""

from __future__ import annotations

import os
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from tests.fakes.sandbox import FakeSandbox, Sleep
from tests.fakes.sdists import pure_sdist
from tests.integration.assembled import JSON, TARGET, serving, workshop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.fakes.pypi import FakePyPI
    from tests.integration.assembled import Site

DISK = 8 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small disk at the data folder's place."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave not one block on the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\1" * (1 << 12)):
            pass
    return ballast


@asynccontextmanager
async def busy(pypi: FakePyPI, folder: Path, **settings: object) -> AsyncIterator[Site]:
    async with serving(pypi.simple, folder, building=workshop(FakeSandbox((Sleep(3600),))), **settings) as site:
        yield site


async def test_a_file_a_page_and_a_build_find_the_disk_full(pypi, tmp_path, disk):
    file = pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)
    big = pypi.add("demo", "demo-2.0.tar.gz", os.urandom(1 << 20))
    pypi.add("other", "other-1.0.tar.gz", b"other")
    async with busy(pypi, tmp_path) as site:
        kept = await site.ask(f"/files/demo/{file.path}")
        assert kept.status == 200
        ballast = fill(disk)
        for _ in ("tried", "known"):
            answer = await site.ask(f"/files/demo/{big.path}")
            assert (answer.status, answer.body == big.content.block) == (200, True)
        told = (await site.ask("/metrics")).body.decode()
        assert 'buildthrough_files_total{reason="passed"} 2.0' in told
        assert 'buildthrough_files_total{reason="unkept"} 1.0' in told
        for project in ("demo", "other"):  # pages are served from memory
            assert (await site.ask(f"/simple/{project}/", Accept=JSON)).status == 200
        assert (await site.ask(f"/files/demo/{file.path}")).body == kept.body
        asked = await site.operate("/api/v1/builds", {"name": "demo", "version": "1.0", "target": TARGET})
        assert asked.status in {202, 507}  # SQLite may have room left in its log
        assert asked.status == 202 or asked.sentence
        assert (await site.ask("/health/live")).status == 200
        assert (await site.ask("/metrics")).status == 200
        assert [path.name for path in (disk / "files").rglob("incoming/*")] == []
        ballast.unlink()
        assert (await site.ask(f"/files/demo/{big.path}")).body == big.content.block
        asked = await site.operate("/api/v1/builds", {"name": "demo", "version": "1.0", "target": TARGET})
        assert asked.status == 202
    async with busy(pypi, tmp_path) as site:
        assert (await site.ask(f"/files/demo/{file.path}")).body == kept.body
        assert len((await site.ask("/api/v1/builds")).json["builds"]) == 1


async def test_a_page_that_could_not_be_stored_is_asked_for_again_after_a_restart(pypi, tmp_path, disk):
    for n in range(200):
        pypi.add("demo", f"demo-{n}.0.tar.gz", os.urandom(32))
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
        ballast = fill(disk)
        page = await site.ask("/simple/demo/", Accept=JSON)
        assert page.status == 200
        ballast.unlink()
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
        assert (await site.ask("/simple/demo/", Accept=JSON)).body == page.body
