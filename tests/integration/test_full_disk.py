"""A disk that is full while the server runs: files pass by it, nothing is lost, and all is well once there is room."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from tests.fakes.dial import offline_environment
from tests.fakes.faults import Fault, Gate
from tests.fakes.publishing import checked, open_site
from tests.fakes.pypi import Stream
from tests.fakes.records import a_request
from tests.fakes.sandbox import FakeSandbox, Sleep
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import LONG, until
from tests.integration.assembled import JSON, TARGET, serving, workshop

from buildthrough.builders.build_log import BuildLog
from buildthrough.builders.faults import InfrastructureFault
from buildthrough.builders.provenance import Builder
from buildthrough.builders.recipe import RecipeBook
from buildthrough.builders.workplace import Workplace
from buildthrough.proxy import arrival, downloads, reading
from buildthrough.proxy.attestation import Attester
from buildthrough.proxy.blobs import LocalBlobs
from buildthrough.proxy.building import Building
from buildthrough.proxy.download import WITHHELD
from buildthrough.proxy.downloads import PASSING_EACH
from buildthrough.proxy.publication import put_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.fakes.pypi import FakeFile, FakePyPI
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


async def test_a_file_a_page_and_a_build_find_the_disk_full(pypi, tmp_path, disk, monkeypatch):
    monkeypatch.setattr(downloads, "FULL_SECONDS", LONG)
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
        await site.tells(
            'buildthrough_files_total{reason="passed"} 2.0', 'buildthrough_files_total{reason="unkept"} 1.0'
        )
        for project in ("demo", "other"):  # pages are served from memory
            assert (await site.ask(f"/simple/{project}/", Accept=JSON)).status == 200
        assert (await site.ask(f"/files/demo/{file.path}")).body == kept.body
        asked = await site.operate("/api/v1/builds", {"name": "demo", "version": "1.0", "target": TARGET})
        assert asked.status in {202, 507}  # SQLite may have room left in its log
        assert asked.status == 202 or asked.sentence
        assert (await site.ask("/health/live")).status == 200
        assert (await site.ask("/metrics")).status == 200
        await until(lambda: not [*(disk / "files").rglob("incoming/*")])
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


async def test_a_full_disk_is_told_once_and_serves_what_is_there(pypi, tmp_path, disk, caplog, monkeypatch):
    monkeypatch.setattr(downloads, "FULL_SECONDS", 0.5)
    small = pypi.add("demo", "demo-1.0.tar.gz", os.urandom(1000))
    other = pypi.add("demo", "demo-2.0.tar.gz", os.urandom(1000))
    for n in range(5):
        pypi.add("other", f"other-{n}.0.tar.gz", os.urandom(100_000))
    async with serving(pypi.simple, tmp_path, storage__min_free=DISK // 2) as site:
        built = await site.publish(small)
        await site.counted()  # until then nobody knows what could go, so a file is kept and goes later
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(DISK * 5 // 8))  # more than may be used, and still room for records
        others = sorted(entry["url"] for entry in (await site.listed("other")).values())
        for _ in range(2):
            for url in others:
                assert (await site.ask(url)).status == 200
        await site.tells("buildthrough_storage_full 1.0")
        assert (await site.ask("/api/v1/storage")).json["full"] is True
        assert [path for path in (disk / "files" / "v1").glob("??/??/*") if path.stat().st_size == 100_000] == []
        assert (await site.publish(other)).size, "what is kept free is for wheels"
        assert (await site.ask(f"/built/{built.path}")).status == 200
        assert len([record for record in caplog.records if "the disk is full" in record.getMessage()]) == 1
        settings = {
            "BUILDTHROUGH_BUILD__ENABLED": "false",
            "BUILDTHROUGH_STORAGE__MIN_FREE": str(DISK // 2),
            "BUILDTHROUGH_UPSTREAM__URL": pypi.simple,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "buildthrough.proxy", "doctor", "--data-dir", str(disk),
            env={**offline_environment(), **settings}, cwd=tmp_path, stdout=subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert "THE DISK IS FULL" in out.decode()
        assert "FULL: nothing more can be removed" in out.decode()
        ballast.unlink()
        site.store.space.refuse()  # it looks at the disk at once
        await until(lambda: not site.store.space._stuck)

        async def is_kept():
            assert (await site.ask(others[0])).status == 200
            return site.store.space.kept()["files"] >= 100_000

        await until(is_kept)  # after a file could not be kept, others are not tried for some seconds


async def test_a_build_that_finds_the_disk_full_is_our_failure_and_succeeds_later(tmp_path, disk):
    async with open_site(tmp_path) as records:
        built = await LocalBlobs.opened(disk / "built")
        building = Building(
            mirror=None, index=None, downloads=None, catalog=records.catalog, built=built, queue=records.queue,
            workplace=Workplace(workshop()), limits=None, max_wheel_bytes=1 << 20, work=tmp_path, recipes=RecipeBook(),
            attester=Attester(builder=Builder(versions={}), key=None),
        )  # fmt: skip
        await records.queue.submit(a_request())
        build = await records.queue.claim()
        wheel = checked(tmp_path / "made")
        ballast = fill(disk)
        for failing in (building.publish(build, wheel, "0" * 64, BuildLog()), put_log(built, b"a log" * 1000)):
            with pytest.raises(InfrastructureFault) as caught:
                await failing
            assert caught.value.kind == "infra.disk"
            assert "the disk is full" in caught.value.line
        assert await records.catalog.all_wheels() == ()
        assert list((disk / "built").rglob("incoming/*")) == []
        ballast.unlink()
        await building.publish(build, wheel, "0" * 64, BuildLog())
        assert [one.filename for one in await records.catalog.all_wheels()] == [wheel.filename]


def blocks(size: int) -> Stream:
    return Stream(size=size, block=hashlib.shake_128(b"disk").digest((1 << 20) - 1))


def span(file: FakeFile, begin: int, end: int) -> bytes:
    return b"".join(file.content.read(begin, end))


@pytest.mark.parametrize("form", ["json", "html"])
async def test_a_disk_that_fills_up_in_the_middle_of_a_file(pypi, tmp_path, disk, form):
    pypi.form = form
    file = pypi.add("demo", "demo-1.0.tar.gz", blocks(2 * DISK))
    size, path = file.size, f"/files/demo/{file.path}"
    wanted = {
        "": (200, 0, size),
        "bytes=1000-2000": (206, 1000, 2001),
        f"bytes=5-{DISK + 70_000}": (206, 5, DISK + 70_001),
        f"bytes={DISK - 2_000_000}-": (206, DISK - 2_000_000, size),
        "bytes=-100000": (206, size - 100_000, size),
        "bytes=-5": (206, size - 5, size),
    }
    async with serving(pypi.simple, tmp_path) as site:
        reader, slow = await asyncio.open_connection("127.0.0.1", site.port, limit=1 << 16)
        slow.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for round_ in ("it fills up", "it is full"):
            asked = [site.ask(path, **({"Range": given} if given else {})) for given in wanted]
            answers = await asyncio.gather(*asked)
            for answer, (given, (status, begin, end)) in zip(answers, wanted.items(), strict=True):
                assert (answer.status, answer.body == span(file, begin, end)) == (status, True), (round_, given)
        head = await site.ask(path, "HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(size))
        far = await site.ask(path, Range="bytes=-5")
        assert far.headers["X-Buildthrough-Cache"] == "miss; unverified"
        assert await reader.readexactly(size) == span(file, 0, size)
        slow.close()
        await until(lambda: not [*(disk / "files").rglob("incoming/*")])
        await site.tells('buildthrough_files_total{reason="unkept"}')
    assert any(asked.headers.get("Range") == f"bytes={size - 5}-{size - 1}" for asked in pypi.asked("/packages/*"))


async def test_wrong_bytes_never_look_whole_past_a_full_disk(pypi, tmp_path, disk):
    wrong = {"hashes": {"sha256": "0" * 64}}
    for size in (2 * DISK, 1000):
        pypi.add("demo", f"demo-{size}.tar.gz", blocks(size), extra=wrong)
    async with serving(pypi.simple, tmp_path) as site:
        fill(disk)
        large, small = (pypi.file(f"demo-{size}.tar.gz") for size in (2 * DISK, 1000))
        for _ in ("tried", "known"):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(f"GET /files/demo/{large.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(large.size - WITHHELD + 1)
            writer.close()
            answer = await site.ask(f"/files/demo/{small.path}")
            assert answer.status == 502
            assert "sha256" in answer.sentence


async def test_upstream_breaks_off_and_the_disk_is_full(pypi, tmp_path, disk, monkeypatch):
    monkeypatch.setattr(arrival, "RESUME_PAUSE", 0.001)
    file = pypi.add("demo", "demo-1.0.tar.gz", blocks(DISK))
    async with serving(pypi.simple, tmp_path) as site:
        fill(disk)
        pypi.fault("/packages/*", Fault(cut_at=3_000_000, times=3))
        answer = await site.ask(f"/files/demo/{file.path}")
        assert (answer.status, answer.body == span(file, 0, DISK)) == (200, True)


async def test_many_clients_of_one_file_that_cannot_be_kept_take_turns(pypi, tmp_path, disk, monkeypatch):
    file = pypi.add("demo", "demo-1.0.tar.gz", blocks(1 << 20))
    gate = Gate()
    monkeypatch.setattr(reading, "QUEUE_SECONDS", LONG)
    async with serving(pypi.simple, tmp_path) as site:
        fill(disk)
        assert (await site.ask(f"/files/demo/{file.path}")).status == 200
        pypi.forget_requests()
        pypi.fault("/packages/*", Fault(gate=gate, gate_at=500_000))
        asked = [asyncio.ensure_future(site.ask(f"/files/demo/{file.path}")) for _ in range(40)]
        await until(lambda: pypi.count("/packages/*") >= PASSING_EACH)
        await asyncio.sleep(0.5)  # time for more, which must not come
        assert pypi.count("/packages/*") == PASSING_EACH
        monkeypatch.setattr(reading, "QUEUE_SECONDS", 0.01)
        refused = await site.ask(f"/files/demo/{file.path}")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert "cannot take" in refused.sentence
        gate.open()
        assert all(answer.body == span(file, 0, file.size) for answer in await asyncio.gather(*asked))
