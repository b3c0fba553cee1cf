"""Stored pages survive a restart, and no damage to them hurts."""

from __future__ import annotations

import asyncio
import pickle  # noqa: TID251 - planted, to see it refused
import sqlite3
from typing import TYPE_CHECKING

import pytest

from buildthrough.proxy.errors import StorageFault
from buildthrough.proxy.page_answer import PageAnswer
from buildthrough.proxy.pages import PageStore

if TYPE_CHECKING:
    from pathlib import Path

PAGE = PageAnswer(
    body=b'{"name":"six","files":[]}\n\x00\xff' * 5000,
    content_type="application/vnd.pypi.simple.v1+json",
    url="http://example.org/simple/six/",
    etag='W/"abc"',
    last_serial=None,
)


def database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "v1" / "cache.db")


async def test_pages_come_back_after_a_restart(tmp_path: Path) -> None:
    async with PageStore.open(tmp_path) as pages:
        assert await pages.get("six") is None
        await pages.put("six", PAGE, 1000.5)
    async with PageStore.open(tmp_path) as pages:
        stored = await pages.get("six")
        assert stored is not None
        assert (stored.answer, stored.fetched) == (PAGE, 1000.5)
        assert await pages.get("seven") is None


async def test_renew_moves_the_time_and_drop_removes(tmp_path: Path) -> None:
    async with PageStore.open(tmp_path) as pages:
        await pages.put("six", PAGE, 1000)
        await pages.renew("six", 2000)
        stored = await pages.get("six")
        assert stored is not None
        assert (stored.answer, stored.fetched) == (PAGE, 2000)
        await pages.drop("six")
        assert await pages.get("six") is None


class Bomb:
    fired = False

    def __reduce__(self) -> object:
        return (setattr, (Bomb, "fired", True))


@pytest.mark.parametrize("what", ["value", "file"])
async def test_a_planted_pickle_is_not_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str) -> None:
    async with PageStore.open(tmp_path) as pages:
        await pages.put("six", PAGE, 1)
    planted = pickle.dumps(Bomb())
    with database(tmp_path) as connection:
        if what == "value":
            connection.execute("UPDATE Cache SET mode = 4, filename = NULL, value = ?", (planted,))
        else:
            (tmp_path / "v1" / "planted").write_bytes(planted)
            connection.execute("UPDATE Cache SET mode = 4, filename = 'planted', value = NULL")
    connection.close()
    async with PageStore.open(tmp_path) as pages:
        assert await pages.get("six") is None
        assert not Bomb.fired
        assert "pickle" in caplog.text
        await pages.put("six", PAGE, 2)
        assert await pages.get("six") is not None


async def test_only_bytes_text_and_numbers_are_stored(tmp_path: Path) -> None:
    async with PageStore.open(tmp_path) as pages:
        await pages.run(lambda cache: cache.set("key", {"a": 1}), False)
        await pages.run(lambda cache: cache.set(("k",), b""), False)
        assert await pages.run(len, -1) == 0


@pytest.mark.parametrize("damage", ["", "{}", "no JSON", '{"etag":1}'])
async def test_a_damaged_head_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    async with PageStore.open(tmp_path) as pages:
        await pages.put("six", PAGE, 1)
        await pages.run(lambda cache: cache.set("head/six", damage), False)
        assert await pages.get("six") is None
        assert "damaged" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"no zstd", b"\x28\xb5\x2f\xfd"])
async def test_a_damaged_body_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
    async with PageStore.open(tmp_path) as pages:
        head = await pages.put("six", PAGE, 1)
        await pages.run(lambda cache: cache.set("body/six", head.digest.encode() + damage), False)
        assert await pages.get("six") is None
        assert "damaged" in caplog.text
        await pages.put("six", PAGE, 1)
        await pages.run(lambda cache: cache.set("body/six", damage), False)
        assert await pages.get("six") is None, "a body of another page"


async def test_renderings_are_stored(tmp_path: Path) -> None:
    async with PageStore.open(tmp_path) as pages:
        assert await pages.form("six", "json.zstd") is None
        await pages.put_form("six", "json.zstd", b"abc")
    async with PageStore.open(tmp_path) as pages:
        assert await pages.form("six", "json.zstd") == b"abc"
        assert await pages.form("six", "json.gzip") is None


async def test_a_lost_file_of_a_record_is_a_miss(tmp_path: Path) -> None:
    import os

    answer = PageAnswer(body=os.urandom(200_000), content_type="x/y", url="u", etag=None, last_serial="1")
    async with PageStore.open(tmp_path) as pages:
        await pages.put("big", answer, 1)
        files = list(tmp_path.glob("v1/*/*/*.val"))
        assert files
        files[0].unlink()
        assert await pages.get("big") is None


async def test_a_damaged_database_is_made_anew_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with PageStore.open(tmp_path) as pages:
        await pages.put("six", PAGE, 1)
    (tmp_path / "v1" / "cache.db").write_bytes(b"this is no database, whatever its name says" * 200)
    async with PageStore.open(tmp_path) as pages:
        assert "damaged" in caplog.text
        assert await pages.get("six") is None
        await pages.put("six", PAGE, 1)
        assert await pages.get("six") is not None


async def test_a_failing_database_is_a_miss_and_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_cache: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with PageStore.open(tmp_path) as pages:
        await pages.put("six", PAGE, 1)
        assert await pages.run(fail, None) is None
        assert "disk is full" in caplog.text
        assert await pages.get("six") is not None


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFault):
        async with PageStore.open(tmp_path / "file"):
            pass


async def test_digests_are_remembered_for_their_time(tmp_path: Path) -> None:
    async with PageStore.open(tmp_path) as pages:
        assert await pages.digests.recall("url") is None
        await pages.digests.remember("url", "ab" * 32, None)
        await pages.digests.remember("short", "cd" * 32, 0.05)
        await asyncio.sleep(0.1)
        assert await pages.digests.recall("url") == "ab" * 32
        assert await pages.digests.recall("short") is None
        await pages.digests.remember("url", "../../etc", None)
        assert await pages.digests.recall("url") is None


async def test_the_size_is_bounded(tmp_path: Path) -> None:
    import os

    async with PageStore.open(tmp_path, max_bytes=1 << 20) as pages:
        for number in range(40):
            body = os.urandom(100_000)
            answer = PageAnswer(body=body, content_type="x/y", url="u", etag=None, last_serial=None)
            await pages.put(str(number), answer, 1)
        assert await pages.get("0") is None
        assert await pages.get("39") is not None
        assert sum(path.stat().st_size for path in tmp_path.glob("v1/*/*/*.val")) < 2 << 20
