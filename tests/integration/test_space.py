"""The data folder stays within its bounds: what goes, in which order, and what never does; the count is right."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from tests.fakes.waiting import LONG, until

from buildthrough.proxy import blob_folder
from buildthrough.proxy import eviction as eviction_module
from buildthrough.proxy import readers as readers_module
from buildthrough.proxy import space as module
from buildthrough.proxy.blob_folder import BlobFolder, KeptFile
from buildthrough.proxy.blobs import Blob, LocalBlobs
from buildthrough.proxy.errors import DiskFull, NoRoom
from buildthrough.proxy.eviction import Eviction
from buildthrough.proxy.space import Part, Space

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in use because it was found a moment ago, and no walk waits for its time."""
    monkeypatch.setattr(readers_module, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(module, "WALK_SECONDS", 0.0)


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[BlobFolder]:
    """Return the folders that were walked through."""
    seen: list[BlobFolder] = []
    count = BlobFolder.count

    def noted(folder: BlobFolder, name: str) -> list[KeptFile]:
        if name == "00":
            seen.append(folder)
        return count(folder, name)

    monkeypatch.setattr(BlobFolder, "count", noted)
    return seen


class Folder:
    """A data folder with a bound."""

    def __init__(self, root: Path, **bounds: int) -> None:
        self.root = root
        self.evicted: dict[str, int] = {}
        self.space = Space(root, observe=self.note, **bounds)
        self.stores: dict[str, LocalBlobs] = {}

    @classmethod
    async def opened(cls, root: Path, **bounds: int) -> Folder:
        folder = cls(root, **bounds)
        for kind in ("files", "logs", "built"):
            blobs = await LocalBlobs.opened(root / kind, folder.space.room(is_record=kind != "files"))
            folder.stores[kind] = blobs
            folder.space.add(kind, Part(blobs=blobs, eviction=Eviction(blobs), may_go=kind != "built"))
        return folder

    def note(self, kind: str, evicted: eviction_module.Evicted) -> None:
        self.evicted[kind] = self.evicted.get(kind, 0) + evicted.bytes

    @asynccontextmanager
    async def kept_within(self) -> AsyncIterator[None]:
        """Have the bounds kept meanwhile."""
        task = asyncio.create_task(self.space.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def store(self, data: bytes, kind: str = "files", *, age: float = 0) -> Blob:
        """Store bytes that were last used so many seconds ago."""
        writer = self.stores[kind].writer()
        try:
            writer.expect(len(data))
            await writer.write(data)
            blob = await writer.commit()
        finally:
            await writer.close()
        used = time.time() - age
        os.utime(blob.path, (used, used))
        return blob

    async def kept(self, kind: str = "files") -> set[str]:
        return {blob.sha256 async for blob in self.stores[kind]}

    async def until(self, **kept: int) -> None:
        """Wait until so many bytes are kept."""
        stores = self.stores.values()
        await until(lambda: all(one.folder.tally.is_known for one in stores))
        await until(lambda: kept.items() <= self.space.kept().items())


async def test_the_least_recently_used_go_first_also_after_a_restart(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path)
    files = [await folder.store(bytes([n]) * 1000, age=age) for n, age in enumerate((10_000, 40_000, 30_000, 0))]
    await folder.stores["files"].open(files[1].sha256)  # used just now
    again = await Folder.opened(tmp_path, max_bytes=2500)
    await again.space._walk()
    await again.space.keep()
    assert await again.kept() == {files[1].sha256, files[3].sha256}
    assert again.evicted == {"files": 2000}


async def test_logs_go_after_the_files_and_built_wheels_never(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path, max_bytes=2500)
    for kind in ("built", "logs", "files"):
        for n in range(3):
            await folder.store(f"{kind}{n}".encode().ljust(1000), kind, age=9000 - n)
    await folder.space._walk()
    await folder.space.keep()
    assert folder.space.kept() == {"files": 0, "logs": 0, "built": 3000, "arriving": 0}
    assert folder.space.is_full
    with pytest.raises(DiskFull):
        await folder.store(b"another")
    assert await folder.store(b"a wheel", "built")


async def test_who_reads_a_file_keeps_it(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path, max_bytes=0)
    files = [await folder.store(bytes([n]) * 1000, "logs", age=9000) for n in range(2)]
    blob = await folder.stores["logs"].open(files[0].sha256)
    assert blob is not None
    os.utime(blob.path, (1, 1))
    await folder.space._walk()
    with blob.reading(), blob.reading():
        await folder.space.keep()
        assert await folder.kept("logs") == {blob.sha256}
    await folder.space.keep()
    assert await folder.kept("logs") == set()


async def test_what_was_found_a_moment_ago_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "GRACE_SECONDS", 100.0)
    folder = await Folder.opened(tmp_path, max_bytes=0)
    files = [await folder.store(bytes([n]) * 1000, "logs", age=9000) for n in range(2)]
    again = await Folder.opened(tmp_path, max_bytes=0)
    await again.stores["logs"].open(files[0].sha256)
    os.utime(files[0].path, (1, 1))
    await again.space._walk()
    await again.space.keep()
    assert await again.kept("logs") == {files[0].sha256}


async def test_what_is_used_after_the_walk_stays(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path)
    files = [await folder.store(bytes([n]) * 1000, age=9000 - n) for n in range(3)]
    await folder.space._walk()
    await folder.stores["files"].open(files[0].sha256)
    folder.space._max_bytes = 1000
    await folder.space.keep()
    assert await folder.kept() == {files[0].sha256}


async def test_room_is_made_before_a_file_is_written(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path, max_bytes=100_000)
    for n in range(9):
        await folder.store(bytes([n]) * 10_000, age=9000 - n)
    async with folder.kept_within():
        await folder.until(files=90_000)
        writer = folder.stores["files"].writer()
        writer.expect(60_000)
        await writer.write(b"begin")
        await folder.until(files=40_000, arriving=5)
        await writer.close()
        assert folder.space.kept()["arriving"] == 0
    assert not folder.space.is_full


async def test_what_arrives_counts(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path, max_bytes=100_000)
    await folder.store(b"a" * 50_000, age=9000)
    async with folder.kept_within():
        await folder.until(files=50_000)
        writer = folder.stores["files"].writer()
        for _ in range(9):
            await writer.write(b"b" * 10_000)  # nobody said how much it would be
        await folder.until(files=0, arriving=90_000)
        await writer.commit()
        await writer.close()
        assert folder.space.kept() == {"files": 90_000, "logs": 0, "built": 0, "arriving": 0}


async def test_a_file_that_is_being_taken_in_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = await Folder.opened(tmp_path, max_bytes=3500)
    for n in range(2):
        await folder.store(bytes([n]) * 1000, age=9000 - n)
    await folder.space._walk()
    at_its_place, go_on = threading.Event(), threading.Event()
    real = blob_folder._fsync_folder

    def slow(path: Path) -> None:
        at_its_place.set()
        go_on.wait(LONG)
        real(path)

    monkeypatch.setattr(blob_folder, "_fsync_folder", slow)
    storing = asyncio.create_task(folder.store(b"c" * 1500))
    await asyncio.to_thread(at_its_place.wait, LONG)
    try:
        await folder.space.keep()
        assert folder.space.kept() == {"files": 3500, "logs": 0, "built": 0, "arriving": 0}
    finally:
        go_on.set()
    await storing
    assert len(await folder.kept()) == 3


async def test_a_file_larger_than_all_that_may_be_kept_costs_nothing(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path, max_bytes=100_000)
    await folder.store(b"a" * 50_000, age=9000)
    async with folder.kept_within():
        await folder.until(files=50_000)
        writer = folder.stores["files"].writer()
        writer.expect(100_001)
        with pytest.raises(NoRoom):
            await writer.write(b"begin")
        await writer.close()
    assert len(await folder.kept()) == 1


async def test_the_disk_keeps_its_free_bytes(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    folder = await Folder.opened(tmp_path, min_free=status.f_blocks * status.f_frsize)  # more than there can be
    old = await folder.store(b"a wheel" * 1000, "built", age=9000)
    for n in range(3):
        await folder.store(bytes([n]) * 1000, "logs", age=9000)
    async with folder.kept_within():
        await folder.until(logs=0)
        await until(lambda: folder.space.is_full)
        with pytest.raises(DiskFull):
            await folder.store(b"b" * 1000)
        folder.space._min_free = 0
        await folder.space.keep()
        assert not folder.space.is_full
        await folder.store(b"b" * 1000)
    assert await folder.kept("built") == {old.sha256}


async def test_nothing_is_walked_while_all_fits(tmp_path: Path, walks: list[BlobFolder]) -> None:
    folder = await Folder.opened(tmp_path, max_bytes=3500)
    async with folder.kept_within():
        await folder.until(files=0)
        old = await folder.store(b"a" * 1000, age=9000)
        await folder.store(b"b" * 1000)
        await folder.store(b"b" * 1000)
        await folder.stores["files"].delete((await folder.store(b"c" * 500)).sha256)
        assert folder.space.kept()["files"] == 2000, "equal bytes count once, deleted ones no more"
        assert len(walks) == 3, "each store once"
        await folder.store(b"d" * 2000)
        await folder.until(files=3000)
        assert len(walks) == 6
    assert old.sha256 not in await folder.kept()


async def test_the_count_is_right_whatever_happens_during_a_walk(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path)
    blobs = folder.stores["files"]
    chance = random.Random(4)
    names = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(300)]
    for name in names:
        blobs.folder.place(name).parent.mkdir(parents=True, exist_ok=True)
        blobs.folder.place(name).write_bytes(bytes(chance.randrange(1, 3000)))
    eviction = Eviction(blobs)
    for _ in range(2):
        walking = asyncio.create_task(eviction.walk())
        while not walking.done():
            if chance.random() < 0.5 and names:
                assert await blobs.delete(names.pop(chance.randrange(len(names))))
            else:
                names.append((await folder.store(os.urandom(chance.randrange(1, 3000)))).sha256)
        await walking
        there = [path.stat().st_size for path in (tmp_path / "files" / "v1").glob("??/??/*")]
        assert (blobs.folder.tally.bytes, blobs.folder.tally.files) == (sum(there), len(there))


async def test_very_many_files_go_over_several_walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction_module, "REMEMBERED", 3)
    folder = await Folder.opened(tmp_path)
    files = [await folder.store(bytes([n]) * 10, age=9000 - n) for n in range(8)]
    folder.space._max_bytes = 10
    await folder.space._walk()
    await folder.space.keep()
    assert await folder.kept() == {files[7].sha256}


async def test_it_may_be_removed_by_somebody_else_meanwhile(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path)
    files = [await folder.store(bytes([n]) * 1000, age=9000) for n in range(20)]
    await folder.space._walk()
    folder.space._max_bytes = 0
    for file in files[::2]:
        file.path.unlink()  # behind our back
    await asyncio.gather(folder.space.keep(), *(folder.stores["files"].delete(file.sha256) for file in files[1::2]))
    assert await folder.kept() == set()
    await folder.space._walk()
    assert folder.space.kept()["files"] == 0


async def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    folder = await Folder.opened(tmp_path)
    blob = await folder.store(b"a" * 1000, age=9000)
    root = tmp_path / "files" / "v1"
    foreign = [blob.path.with_name("README"), root / "zz" / "file"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        os.utime(path, (1, 1))
    folder.space._max_bytes = 0
    await folder.space._walk()
    await folder.space.keep()
    assert folder.evicted == {"files": 1000}
    assert all(path.exists() for path in foreign)
