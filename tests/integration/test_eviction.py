"""The cached files stay within their bound; the count that spares the walk is right."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

import pytest

from buildthrough.proxy import eviction as module
from buildthrough.proxy.blob_folder import BlobFolder, KeptFile
from buildthrough.proxy.blobs import Blob, LocalBlobs
from buildthrough.proxy.eviction import Evicted, Eviction

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = Evicted(count=0, bytes=0)


@pytest.fixture
async def blobs(tmp_path: Path) -> LocalBlobs:
    return await LocalBlobs.opened(tmp_path)


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[BlobFolder]:
    """Return the folders that were walked through."""
    seen: list[BlobFolder] = []
    shelves = BlobFolder.shelves

    def noted(folder: BlobFolder) -> list[str]:
        seen.append(folder)
        return shelves(folder)

    monkeypatch.setattr(BlobFolder, "shelves", noted)
    return seen


async def store(blobs: LocalBlobs, data: bytes, *, age: float = 0) -> Blob:
    """Store bytes that were last used so many seconds ago."""
    writer = blobs.writer()
    await writer.write(data)
    blob = await writer.commit()
    await writer.close()
    used = time.time() - age
    os.utime(blob.path, (used, used))
    return blob


async def kept(blobs: LocalBlobs) -> set[str]:
    return {blob.sha256 async for blob in blobs}


async def test_the_least_recently_used_go_first_and_those_in_use_stay(blobs: LocalBlobs) -> None:
    ages = (10_000, 40_000, 30_000, 0)
    files = [await store(blobs, bytes([number]) * 1000, age=age) for number, age in enumerate(ages)]
    with files[1].path.open("rb") as sent:
        assert await Eviction(blobs, 2500).round() == Evicted(count=2, bytes=2000)
        assert sent.read() == bytes([1]) * 1000
    assert await kept(blobs) == {files[0].sha256, files[3].sha256}
    await Eviction(blobs, 0).round()
    assert await kept(blobs) == {files[3].sha256}, "in use a moment ago"


async def test_nothing_is_walked_while_the_count_is_below_the_bound(blobs: LocalBlobs, walks: list[BlobFolder]) -> None:
    old = await store(blobs, b"a" * 1000, age=9000)
    eviction = Eviction(blobs, 2500)
    for _ in range(3):
        assert await eviction.round() == NOTHING
    assert len(walks) == 1, "counted once"
    await store(blobs, b"b" * 1000)
    await store(blobs, b"b" * 1000)
    await blobs.delete((await store(blobs, b"c" * 2000)).sha256)
    assert await eviction.round() == NOTHING
    assert len(walks) == 1, "equal bytes count once, deleted ones no more"
    await store(blobs, b"d" * 1000)
    assert await eviction.round() == Evicted(count=1, bytes=1000)
    assert len(walks) == 2
    assert old.sha256 not in await kept(blobs)
    walks.clear()
    assert await eviction.round() == NOTHING
    assert walks == []


async def test_a_new_server_counts_what_lies_there(tmp_path: Path) -> None:
    await store(await LocalBlobs.opened(tmp_path), b"a" * 1000, age=9000)
    again = await LocalBlobs.opened(tmp_path)
    assert await Eviction(again, 999).round() == Evicted(count=1, bytes=1000)


async def test_a_count_is_not_believed_for_ever(
    blobs: LocalBlobs, walks: list[BlobFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECOUNT_SECONDS", 0.0)
    eviction = Eviction(blobs, 2500)
    for _ in range(3):
        await eviction.round()
    assert len(walks) == 3


async def test_very_many_files_go_over_several_rounds(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 3)
    files = [await store(blobs, bytes([number]) * 10, age=9000 - number) for number in range(8)]
    eviction = Eviction(blobs, 0)
    for left in (files[3:], files[6:], []):
        await eviction.round()
        assert await kept(blobs) == {file.sha256 for file in left}


async def test_it_may_be_removed_by_somebody_else_meanwhile(blobs: LocalBlobs) -> None:
    files = [await store(blobs, bytes([number]) * 1000, age=9000) for number in range(20)]
    eviction = Eviction(blobs, 0)
    done, *_ = await asyncio.gather(eviction.round(), *(blobs.delete(file.sha256) for file in files))
    assert done.count <= 20
    assert await kept(blobs) == set()
    await eviction.round()


async def test_what_is_used_during_the_walk_stays(blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [await store(blobs, bytes([number]) * 1000, age=9000) for number in range(3)]
    shelf = BlobFolder.shelf

    def used_behind_us(folder: BlobFolder, name: str) -> list[KeptFile]:
        found = shelf(folder, name)
        if name == files[0].sha256[:2]:
            folder.use(files[0].path)
        return found

    monkeypatch.setattr(BlobFolder, "shelf", used_behind_us)
    assert (await Eviction(blobs, 0).round()).count == 2
    monkeypatch.undo()
    assert await kept(blobs) == {files[0].sha256}


async def test_a_foreign_file_is_left_alone(blobs: LocalBlobs, tmp_path: Path) -> None:
    blob = await store(blobs, b"a" * 1000, age=9000)
    foreign = [blob.path.with_name("README"), tmp_path / "v1" / "ab", tmp_path / "v1" / "zz" / "file"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (1, 1))
    assert await Eviction(blobs, 0).round() == Evicted(count=1, bytes=1000)
    assert all(path.exists() for path in foreign)
