"""Damage on the disk is found and put right, by a running server as it is used and by ``buildthrough verify``."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.fakes.dial import offline_environment
from tests.fakes.sdists import pure_sdist
from tests.fakes.waiting import until
from tests.integration.assembled import JSON, serving

from buildthrough.proxy.loss import find_lost

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.pypi import FakeFile, FakePyPI


@pytest.fixture
def sdist(pypi: FakePyPI) -> FakeFile:
    return pypi.add("demo", "demo-1.0.tar.gz", pure_sdist("demo").data)


def damage(path: Path) -> None:
    """Flip one bit, and leave everything else as it was."""
    status = path.stat()
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def kept(folder: Path, kind: str) -> list[Path]:
    return [path for path in (folder / "data" / kind / "v1").glob("??/??/*") if len(path.name) == 64]


async def verify(folder: Path, *more: str) -> tuple[int, list[str]]:
    """Run the command; return its exit code and its lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "buildthrough.proxy", "verify", "--data-dir", str(folder / "data"), *more,
        env={**offline_environment(), "BUILDTHROUGH_ADMIN__TOKEN": "made-up-token"}, cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    lines = out.decode().splitlines()
    assert "Traceback" not in out.decode(), out.decode()
    assert process.returncode is not None
    return process.returncode, lines


async def test_a_flipped_bit_is_found_at_the_first_use_after_a_start(pypi, tmp_path, sdist):
    async with serving(pypi.simple, tmp_path) as site:
        good = (await site.ask(f"/files/demo/{sdist.path}")).body
        await site.ask(f"/files/demo/{sdist.path}")
        assert pypi.count("/packages/*") == 1
        await until(lambda: site.store.space.kept()["arriving"] == 0 and bool(kept(tmp_path, "files")))
    (path,) = kept(tmp_path, "files")
    damage(path)
    async with serving(pypi.simple, tmp_path) as site:
        assert (await site.ask(f"/files/demo/{sdist.path}")).body != good
        await until(lambda: not path.exists())
        assert (await site.ask(f"/files/demo/{sdist.path}")).body == good
        assert pypi.count("/packages/*") == 2
        await site.tells('buildthrough_storage_damaged_total{kind="files"} 1.0')


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: os.truncate(path, 10)])
async def test_a_file_that_is_gone_or_cut_is_fetched_again(pypi, tmp_path, sdist, harm):
    async with serving(pypi.simple, tmp_path) as site:
        good = (await site.ask(f"/files/demo/{sdist.path}")).body
        await until(lambda: site.store.space.kept()["arriving"] == 0 and bool(kept(tmp_path, "files")))
        await site.tells('buildthrough_files_total{reason="fetched"} 1.0')  # nobody gets it from its download any more
        (path,) = kept(tmp_path, "files")
        path.chmod(0o644)
        harm(path)

        async def is_whole():
            assert (await site.ask(f"/files/demo/{sdist.path}")).body == good
            return path.exists() and path.read_bytes() == good

        await until(is_whole)


@pytest.mark.parametrize("part", ["wheel", "metadata"])
@pytest.mark.parametrize("harm", [damage, lambda path: path.unlink()])
async def test_a_built_wheel_that_is_damaged_is_listed_no_longer_after_a_start(pypi, tmp_path, sdist, part, harm):
    async with serving(pypi.simple, tmp_path) as site:
        wheel = await site.publish(sdist)
        assert wheel.filename in await site.listed("demo")
        digest = wheel.sha256 if part == "wheel" else wheel.metadata_sha256
    harm(next(path for path in kept(tmp_path, "built") if path.name == digest))
    async with serving(pypi.simple, tmp_path) as site:

        async def is_gone():
            return wheel.filename not in await site.listed("demo")

        await until(is_gone)
        assert [record.action for record in await site.store.catalog.audit()] == ["lost"]
        again = await site.publish(sdist)  # no tombstone is in the way
        assert again.filename in await site.listed("demo")


async def test_all_is_well(pypi, tmp_path, sdist):
    async with serving(pypi.simple, tmp_path) as site:
        await site.publish(sdist)
        await site.ask(f"/files/demo/{sdist.path}")
        for accept in (JSON, "text/html"):
            for coding in ("gzip", "zstd", "identity"):
                for path in ("/simple/demo/", "/simple/"):
                    assert (await site.ask(path, Accept=accept, Accept_Encoding=coding)).status == 200
        await until(lambda: site.store.space.kept()["arriving"] == 0 and bool(kept(tmp_path, "files")))
        code, lines = await verify(tmp_path)
        assert (code, len(lines)) == (0, 1), lines
        await until(lambda: len([*(tmp_path / "data" / "list").glob("*.*.*.*")]) == 6)
        renditions = sorted((tmp_path / "data" / "list").glob("*.*.*.*"))
        damage(renditions[0])
        code, lines = await verify(tmp_path, "--repair")
        assert (code, lines[-1].split(".")[0]) == (0, "1 wrong, 1 put right"), lines
        code, lines = await verify(tmp_path)
        assert lines[0].startswith("Nothing is wrong.")
    assert (await verify(tmp_path))[0] == 0


@pytest.mark.parametrize("is_served", [True, False])
async def test_everything_damaged_is_told_and_put_right(pypi, tmp_path, sdist, is_served):
    for n in range(300):
        pypi.add("demo", f"demo-{n + 2}.0.tar.gz", b"%d" % n)
    async with serving(pypi.simple, tmp_path, upstream__page_ttl=3600) as site:
        good = (await site.ask(f"/files/demo/{sdist.path}")).body
        wheel = await site.publish(sdist)
        page = (await site.ask("/simple/demo/", Accept=JSON)).body
        await until(lambda: site.store.space.kept()["arriving"] == 0 and bool(kept(tmp_path, "files")))
        await site.store.pages.run(lambda cache: cache.set("body/demo", b"0" * 64 + b"no zstd" * 100), None)
        files, built = kept(tmp_path, "files"), [one for one in kept(tmp_path, "built") if one.name == wheel.sha256]
        for path in (*files, *built):
            damage(path)
        if is_served:
            code, lines = await verify(tmp_path)
            assert code == 1
            assert sorted(line.split(": ")[0] for line in lines[:-1]) == ["built", "files", "pages"], lines
            assert all(path.exists() for path in (*files, *built)), "it only looks"
            code, lines = await verify(tmp_path, "--repair")
            assert (code, lines[-1].split(".")[0]) == (0, "3 wrong, 3 put right"), lines
            assert wheel.filename not in await site.listed("demo")
            assert (await site.ask(f"/files/demo/{sdist.path}")).body == good
            assert (await verify(tmp_path))[0] == 0
    if not is_served:
        leftover = tmp_path / "data" / "files" / "v1" / "incoming" / "tmp1"
        leftover.write_bytes(b"half")
        code, lines = await verify(tmp_path)
        assert code == 1
        assert sorted(line.split(": ")[0] for line in lines[:-1]) == ["built", "files", "files", "pages"], lines
        code, lines = await verify(tmp_path, "--repair")
        assert (code, lines[-1].split(".")[0]) == (0, "4 wrong, 4 put right"), lines
        assert not leftover.exists()
        code, lines = await verify(tmp_path)
        assert code == 0, lines
        async with serving(pypi.simple, tmp_path) as site:
            assert wheel.filename not in await site.listed("demo")
            assert (await site.ask(f"/files/demo/{sdist.path}")).body == good
            assert len((await site.ask("/simple/demo/", Accept=JSON)).body) < len(page)


async def test_records_and_bytes_that_do_not_agree_are_told(pypi, tmp_path, sdist):
    async with serving(pypi.simple, tmp_path) as site:
        wheel = await site.publish(sdist)
        other = await site.store.built.open(wheel.sha256)
        assert other is not None
    with closing(sqlite3.connect(tmp_path / "data" / "catalog.sqlite3")) as database, database:
        database.execute("UPDATE built_wheels SET size = size + 1")
    foreign = kept(tmp_path, "built")[0].with_name("README")
    foreign.write_text("mine")
    for more in ((), ("--repair",)):
        code, lines = await verify(tmp_path, *more)
        assert code == 1
        assert sum("purge it" in line or "move it away" in line for line in lines) == 2, lines
    assert foreign.exists()


async def test_a_damaged_catalog_is_told_and_nothing_is_removed(pypi, tmp_path, sdist):
    async with serving(pypi.simple, tmp_path) as site:
        await site.publish(sdist)
    before = kept(tmp_path, "built")
    (tmp_path / "data" / "catalog.sqlite3").write_bytes(b"no database" * 1000)
    for more in ((), ("--repair",)):
        code, lines = await verify(tmp_path, *more)
        assert code == 1
        assert "database is damaged" in lines[0]
    assert kept(tmp_path, "built") == before


async def test_there_is_no_such_folder(tmp_path):
    code, lines = await verify(tmp_path)
    assert (code, len(lines)) == (1, 1)
    assert "--data-dir" in lines[0]


async def test_the_server_believes_nobody(pypi, tmp_path, sdist):
    async with serving(pypi.simple, tmp_path) as site:
        await site.ask(f"/files/demo/{sdist.path}")
        wheel = await site.publish(sdist)
        for kind, name in (("files", sdist.sha256), ("built", wheel.sha256), ("files", "0" * 64), ("built", "0" * 64)):
            answer = await site.operate("/api/v1/repair", {"kind": kind, "name": name})
            assert (answer.status, answer.json) == (200, {"repaired": False})
        for kind, name in (("files", "../../etc/passwd"), ("records", sdist.sha256)):
            answer = await site.operate("/api/v1/repair", {"kind": kind, "name": name})
            assert (answer.status, bool(answer.sentence)) == (400, True)
        assert (await site.operate("/api/v1/repair", {"kind": "files"})).status == 400
        assert (await site.operate("/api/v1/repair", {"kind": "files", "name": "0"}, token="wrong")).status == 401
        assert wheel.filename in await site.listed("demo")
        await site.counted()
        told = (await site.ask("/api/v1/storage")).json
        assert told["kept"]["built"] > 0
        assert told["full"] is False
        assert await find_lost(site.store.catalog, site.store.built) == 0


@pytest.mark.parametrize("is_served", [True, False])
async def test_a_wheel_outlives_the_record_of_how_it_was_built(pypi, tmp_path, sdist, is_served):
    async with serving(pypi.simple, tmp_path) as site:
        wheel = await site.publish(sdist)
        record = f"/built/{wheel.path}.provenance.json"
        assert (await site.ask(record)).status == 200
    path = next(path for path in kept(tmp_path, "built") if path.name == wheel.provenance_sha256)
    damage(path)
    if not is_served:
        code, lines = await verify(tmp_path)
        assert (code, len(lines)) == (1, 2)
        assert lines[0].startswith(f"built: {wheel.provenance_sha256}: ")
        assert (await verify(tmp_path, "--repair"))[0] == 0
        assert (await verify(tmp_path))[0] == 0
    async with serving(pypi.simple, tmp_path) as site:
        await site.ask(record)
        await until(lambda: not path.exists())
        answer = await site.ask(record)
        assert (answer.status, "No record is kept" in answer.sentence) == (404, True)
        assert wheel.filename in await site.listed("demo")
        assert (await site.ask(f"/built/{wheel.path}")).status == 200
        assert (await verify(tmp_path))[0] == 0
