"""A file is fetched once for all who ask, and only right bytes are kept or end as a success."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from tests.fakes.blobs import FakeBlobs
from tests.fakes.upstream import FakeUpstream
from tests.fakes.waiting import LONG, until

from buildthrough.proxy import arrival
from buildthrough.proxy import downloads as downloads_module
from buildthrough.proxy.blob_folder import BlobFolder
from buildthrough.proxy.blob_writer import LocalBlobWriter
from buildthrough.proxy.blobs import Blob, LocalBlobs
from buildthrough.proxy.download import WITHHELD, Download
from buildthrough.proxy.downloads import Downloads
from buildthrough.proxy.errors import NotFound, StorageFault, UpstreamInvalid, UpstreamUnavailable
from buildthrough.proxy.ranges import Part
from buildthrough.proxy.reading import Reading
from buildthrough.proxy.resource import SIDECAR_BYTES, Resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

URL = "http://example.org/files/six-1.17.0.tar.gz"
DATA = os.urandom(400_000)


class Memory(dict[str, str]):
    def __init__(self) -> None:
        super().__init__()
        self.times: list[float | None] = []

    async def recall(self, key: str) -> str | None:
        return self.get(key)

    async def remember(self, key: str, sha256: str, seconds: float | None) -> None:
        self[key] = sha256
        self.times.append(seconds)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "RESUME_PAUSE", 0.001)


@pytest.fixture
def upstream() -> FakeUpstream:
    fake = FakeUpstream()
    fake.files[URL] = DATA
    return fake


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def blobs(tmp_path: Path) -> LocalBlobs:
    return await LocalBlobs.opened(tmp_path)


@pytest.fixture
async def downloads(upstream: FakeUpstream, blobs: LocalBlobs, memory: Memory) -> AsyncIterator[Downloads]:
    async with Downloads.open(upstream, blobs, limit=4, remember=memory) as downloads:
        yield downloads


def resource(data: bytes = DATA, **hashes: str) -> Resource:
    given = hashes or {"sha256": hashlib.sha256(data).hexdigest()}
    return Resource(key=URL, url=URL, hashes=given, size=len(data))


async def chunks(download: Download, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
    async for piece in Reading(download, begin, end).pieces():
        yield await download.read(piece.begin, piece.end - piece.begin) if isinstance(piece, Part) else piece


async def read_all(download: Download, begin: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in chunks(download, begin, end)])


async def collect(download: Download, got: bytearray) -> None:
    async for chunk in chunks(download):
        got += chunk


def left_over(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_once_for_all_then_from_the_store(downloads: Downloads, upstream: FakeUpstream) -> None:
    upstream.gate.clear()
    tasks = [asyncio.create_task(downloads.blob(resource())) for _ in range(20)]
    await asyncio.sleep(0.05)
    upstream.gate.set()
    kept = await asyncio.gather(*tasks)
    assert len(upstream.opened) == 1
    assert {blob.path.read_bytes() for blob in kept} == {DATA}
    assert isinstance(await downloads.obtain(resource()), Blob)
    assert len(upstream.opened) == 1


async def test_it_is_read_while_it_grows_but_for_the_last_piece(downloads: Downloads, upstream: FakeUpstream) -> None:
    upstream.gate.clear()
    download = await downloads.obtain(resource())
    assert isinstance(download, Download)
    assert download.size == len(DATA)
    got = bytearray()

    follower = asyncio.create_task(collect(download, got))
    ranged = asyncio.create_task(read_all(download, 1000, 60_000))
    await asyncio.sleep(0.02)
    assert not got
    upstream.gate.set()
    await follower
    assert bytes(got) == DATA
    assert await ranged == DATA[1000:60_000]


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 400_000])
@pytest.mark.parametrize("tells_size", [True, False])
async def test_wrong_bytes_are_not_kept_and_never_whole(
    downloads: Downloads, upstream: FakeUpstream, tmp_path: Path, size: int, tells_size: bool
) -> None:
    upstream.files[URL] = DATA[: size - 1] + b"?"
    upstream.tells_size = tells_size
    wanted = resource(DATA[: size - 1] + b"!")
    download = await downloads.obtain(wanted)
    assert isinstance(download, Download)
    got = bytearray()
    with pytest.raises(UpstreamInvalid):
        await collect(download, got)
    assert len(got) <= max(0, size - WITHHELD)
    with pytest.raises(UpstreamInvalid):
        await downloads.blob(wanted)
    await downloads.close()
    assert left_over(tmp_path) == []


async def test_other_sizes_than_listed_are_refused(downloads: Downloads, upstream: FakeUpstream) -> None:
    for sent in (DATA + b"x", DATA[:-1]):
        upstream.files[URL] = sent
        upstream.tells_size = True
        with pytest.raises(UpstreamInvalid):
            await downloads.blob(resource())
    upstream.tells_size = False
    with pytest.raises(UpstreamUnavailable):
        await downloads.blob(resource())
    upstream.files[URL] = DATA + b"x"
    with pytest.raises(UpstreamInvalid):
        await downloads.blob(resource())


@pytest.mark.parametrize("grants_ranges", [True, False])
async def test_it_resumes_where_upstream_broke_off(
    downloads: Downloads, upstream: FakeUpstream, grants_ranges: bool
) -> None:
    upstream.breaks = [120_000, 130_001, 0]
    upstream.grants_ranges = grants_ranges
    blob = await downloads.blob(resource())
    assert blob.path.read_bytes() == DATA
    second = 250_001 if grants_ranges else 130_001
    assert [offset for _, offset in upstream.opened] == [0, 120_000, second, second]


async def test_resuming_has_an_end(downloads: Downloads, upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.breaks = [10] * 100
    with pytest.raises(UpstreamUnavailable):
        await downloads.blob(resource())
    assert len(upstream.opened) == 1 + arrival.RESUMES
    await downloads.close()
    assert left_over(tmp_path) == []


async def test_pieces_that_no_digest_holds_together_are_not_joined(
    downloads: Downloads, upstream: FakeUpstream
) -> None:
    upstream.breaks = [100_000]
    with pytest.raises(UpstreamUnavailable):
        await downloads.blob(Resource(key=URL, url=URL, hashes={}, size=None))
    assert len(upstream.opened) == 1


async def test_without_a_sha256_what_there_is_is_checked_and_remembered(
    downloads: Downloads, upstream: FakeUpstream, memory: Memory
) -> None:
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    with pytest.raises(UpstreamInvalid):
        await downloads.blob(resource(md5="0" * 32))
    blob = await downloads.blob(resource(md5=md5, unheard_of="1"))
    assert blob.sha256 == hashlib.sha256(DATA).hexdigest()
    await until(lambda: memory.times == [None])
    count = len(upstream.opened)
    assert await downloads.obtain(resource(md5=md5, unheard_of="1")) == blob
    assert len(upstream.opened) == count
    bare = Resource(key=URL, url=URL, hashes={}, size=None)
    assert await downloads.blob(bare) == blob
    await until(lambda: memory.times == [None, downloads_module.TRUST_SECONDS])


async def test_what_upstream_does_not_have(downloads: Downloads) -> None:
    missing = Resource(key="x", url="http://example.org/x", hashes={}, size=None)
    for _ in range(2):
        with pytest.raises(NotFound):
            await downloads.obtain(missing)


async def test_clients_leave_and_the_download_goes_on(
    downloads: Downloads, upstream: FakeUpstream, blobs: LocalBlobs
) -> None:
    upstream.gate.clear()
    download = await downloads.obtain(resource())
    assert isinstance(download, Download)
    reader = asyncio.create_task(read_all(download))
    await asyncio.sleep(0.01)
    reader.cancel()
    await asyncio.wait([reader])
    upstream.gate.set()
    await download.finished()
    assert await blobs.open(hashlib.sha256(DATA).hexdigest()) is not None


async def test_a_slow_reader_holds_up_nobody(downloads: Downloads) -> None:
    download = await downloads.obtain(resource())
    assert isinstance(download, Download)
    slow = chunks(download)
    first = await anext(slow)
    blob = await download.finished()
    await asyncio.sleep(0.02)
    assert first + b"".join([chunk async for chunk in slow]) == blob.path.read_bytes()


async def test_closing_ends_downloads_and_leaves_no_file(
    downloads: Downloads, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.gate.clear()
    download = await downloads.obtain(resource())
    assert isinstance(download, Download)
    reader = asyncio.create_task(read_all(download))
    await asyncio.sleep(0.01)
    await downloads.close()
    with pytest.raises(UpstreamUnavailable):
        await reader
    assert left_over(tmp_path) == []


async def test_at_most_so_many_at_once(upstream: FakeUpstream, tmp_path: Path) -> None:
    async with Downloads.open(upstream, FakeBlobs(tmp_path), limit=2) as downloads:
        upstream.gate.clear()
        for number in range(5):
            upstream.files[str(number)] = b"x"
        tasks = [
            asyncio.create_task(downloads.blob(Resource(key=str(number), url=str(number), hashes={}, size=None)))
            for number in range(5)
        ]
        await until(lambda: len(upstream.opened) >= 2)
        await asyncio.sleep(0.02)  # time for more, which must not come
        assert len(upstream.opened) == 2
        upstream.gate.set()
        await asyncio.gather(*tasks)
        assert len(upstream.opened) == 5


async def test_core_metadata_and_small_files_never_wait_behind_large_ones(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    async with Downloads.open(upstream, FakeBlobs(tmp_path), limit=2) as downloads:
        upstream.gates = {URL: asyncio.Event()}
        large = [
            asyncio.create_task(downloads.blob(Resource(key=str(n), url=URL, hashes={}, size=None))) for n in range(5)
        ]
        await until(lambda: len(upstream.opened) >= 2)
        await asyncio.sleep(0.02)  # time for more, which must not come
        assert len(upstream.opened) == 2
        upstream.files["six.whl.metadata"] = upstream.files["six.whl"] = b"Name: six"
        sidecar = Resource(key="m", url="six.whl.metadata", hashes={}, size=None, is_sidecar=True)
        listed = Resource(key="w", url="six.whl", hashes={}, size=9)
        for resource in (sidecar, listed):
            assert (await asyncio.wait_for(downloads.blob(resource), LONG)).size == 9
        assert not any(task.done() for task in large)
        await downloads.close()
        await asyncio.gather(*large, return_exceptions=True)


async def test_core_metadata_has_a_bound_of_its_own(downloads: Downloads, upstream: FakeUpstream) -> None:
    upstream.files["six.whl.metadata"] = bytes(SIDECAR_BYTES + 1)
    upstream.piece = 1 << 20
    for tells_size in (True, False):
        upstream.tells_size = tells_size
        with pytest.raises(UpstreamInvalid, match=r"larger|more"):
            await downloads.blob(Resource(key="m", url="six.whl.metadata", hashes={}, size=None, is_sidecar=True))


async def test_a_full_disk_is_told_and_passes(upstream: FakeUpstream, tmp_path: Path) -> None:
    blobs = FakeBlobs(tmp_path)
    async with Downloads.open(upstream, blobs, limit=2) as downloads:
        upstream.gate.clear()
        waiting = asyncio.create_task(downloads.blob(resource()))
        await asyncio.sleep(0.01)
        blobs.fault = StorageFault("The disk is full.")
        upstream.gate.set()
        with pytest.raises(StorageFault):
            await waiting
        blobs.fault = None
        assert (await downloads.blob(resource())).size == len(DATA)


async def test_a_file_that_is_right_and_cannot_be_kept_is_read_to_its_end(
    downloads: Downloads, upstream: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageFault("The disk is full.")

    monkeypatch.setattr(BlobFolder, "take_in", refuse)
    download = await downloads.obtain(resource())
    assert isinstance(download, Download)
    assert await read_all(download) == DATA
    with pytest.raises(StorageFault):
        await download.finished()
    later = await downloads.obtain(resource())
    assert isinstance(later, Download)
    assert await read_all(later) == DATA
    assert await read_all(later, 1000, 60_000) == DATA[1000:60_000]
    assert [offset for _, offset in upstream.opened] == [0, 0, 1000]
    await downloads.close()
    assert left_over(tmp_path) == []


async def test_past_a_full_store_a_size_that_upstream_does_not_tell_is_done_without(
    downloads: Downloads, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StorageFault("The disk is full.")

    async def refused(*_: object, **__: object) -> None:
        raise UpstreamUnavailable("Upstream refused us.")

    monkeypatch.setattr(LocalBlobWriter, "write", full)
    bare = Resource(key=URL, url=URL, hashes={"sha256": hashlib.sha256(DATA).hexdigest()}, size=None)
    for known in (len(DATA), len(DATA), None):
        if known is None:
            monkeypatch.setattr(upstream, "size", refused)
        download = await downloads.obtain(bare)
        assert isinstance(download, Download)
        assert await read_all(download) == DATA
        assert download.size == known


async def test_a_damaged_file_is_fetched_again(downloads: Downloads, upstream: FakeUpstream) -> None:
    blob = await downloads.blob(resource())
    os.truncate(blob.path, 100)
    assert (await downloads.blob(resource())).path.read_bytes() == DATA
    assert len(upstream.opened) == 2
