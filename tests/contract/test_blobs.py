"""The `BlobStore` port: what every implementation, and the fake, does."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from tests.fakes.blobs import FakeBlobs

from buildthrough.proxy import blob_writer as module
from buildthrough.proxy.blobs import LocalBlobs
from buildthrough.proxy.errors import StorageFault

if TYPE_CHECKING:
    from pathlib import Path

    from buildthrough.proxy.blobs import Blob, BlobStore, BlobWriter

DATA = bytes(range(256)) * 999
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["local", "fake"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return await LocalBlobs.opened(tmp_path) if request.param == "local" else FakeBlobs(tmp_path)


async def store(blobs: BlobStore, data: bytes) -> Blob:
    writer = blobs.writer()
    try:
        await writer.write(data)
        return await writer.commit()
    finally:
        await writer.close()


async def written_and_committed(writer: BlobWriter) -> None:
    await writer.write(DATA)
    await writer.commit()


async def test_bytes_come_back(blobs: BlobStore) -> None:
    assert await blobs.open(SHA256) is None
    blob = await store(blobs, DATA)
    assert (blob.sha256, blob.size, blob.path.read_bytes()) == (SHA256, len(DATA), DATA)
    assert await blobs.open(SHA256) == blob
    assert await blobs.open(SHA256, len(DATA)) == blob


async def test_another_size_is_a_miss_and_the_next_commit_heals(blobs: BlobStore) -> None:
    blob = await store(blobs, DATA)
    assert await blobs.open(SHA256, len(DATA) + 1) is None
    assert await store(blobs, DATA) == blob


async def test_nothing_is_visible_before_commit_nor_after_close(blobs: BlobStore) -> None:
    writer = blobs.writer()
    await writer.write(DATA)
    assert await blobs.open(SHA256) is None
    await writer.close()
    await writer.close()
    assert await blobs.open(SHA256) is None
    assert [blob async for blob in blobs] == []


async def test_a_writer_reads_what_it_wrote_also_after_commit(blobs: BlobStore) -> None:
    writer = blobs.writer()
    assert await writer.read(0, 10) == b""
    await writer.write(DATA[:1000])
    await writer.write(DATA[1000:])
    assert writer.size == len(DATA)
    assert await writer.read(990, 20) == DATA[990:1010]
    await writer.commit()
    assert await writer.read(len(DATA) - 3, 100) == DATA[-3:]
    await writer.close()


async def test_other_digests_on_demand(blobs: BlobStore) -> None:
    writer = blobs.writer("md5", "blake2b")
    await writer.write(DATA)
    assert writer.hexdigest() == SHA256
    assert writer.hexdigest("md5") == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert writer.hexdigest("blake2b") == hashlib.blake2b(DATA).hexdigest()
    with pytest.raises(KeyError):
        writer.hexdigest("sha1")
    await writer.close()
    with pytest.raises(ValueError):
        blobs.writer("rot13")


async def test_no_bytes_are_bytes(blobs: BlobStore) -> None:
    writer = blobs.writer()
    blob = await writer.commit()
    await writer.close()
    assert (blob.size, blob.path.read_bytes()) == (0, b"")


async def test_delete_and_iterate(blobs: BlobStore) -> None:
    kept = {(await store(blobs, data)).sha256 for data in (b"a", b"b", b"c")}
    assert {blob.sha256 async for blob in blobs} == kept
    gone = kept.pop()
    assert await blobs.delete(gone)
    assert not await blobs.delete(gone)
    assert {blob.sha256 async for blob in blobs} == kept


async def test_an_open_file_outlives_its_deletion(blobs: BlobStore) -> None:
    blob = await store(blobs, DATA)
    with blob.path.open("rb") as file:
        await blobs.delete(SHA256)
        assert file.read() == DATA


async def test_it_may_be_said_beforehand_how_many_bytes_come(blobs: BlobStore) -> None:
    writer = blobs.writer()
    writer.expect(len(DATA) + 1)
    await writer.write(DATA)
    blob = await writer.commit()
    await writer.close()
    assert blob.size == len(DATA)


async def test_a_reader_notes_that_it_reads(blobs: BlobStore) -> None:
    await store(blobs, DATA)
    blob = await blobs.open(SHA256)
    assert blob is not None
    with blob.reading(), blob.reading():
        assert blob.path.read_bytes() == DATA
    assert await blobs.delete(SHA256)


async def test_layout_and_clearing_at_the_start(tmp_path: Path) -> None:
    blobs = await LocalBlobs.opened(tmp_path)
    blob = await store(blobs, DATA)
    assert blob.path == tmp_path / "v1" / SHA256[:2] / SHA256[2:4] / SHA256
    left = blobs.writer()
    await left.write(b"half of a file")
    assert len(list((tmp_path / "v1" / "incoming").iterdir())) == 1
    again = await LocalBlobs.opened(tmp_path)
    assert list((tmp_path / "v1" / "incoming").iterdir()) == []
    assert await again.open(SHA256) == blob
    await left.close()


async def test_use_moves_the_mtime(tmp_path: Path) -> None:
    blobs = await LocalBlobs.opened(tmp_path)
    blob = await store(blobs, DATA)
    os.utime(blob.path, (1, 1))
    await blobs.open(SHA256)
    first = blob.path.stat().st_mtime_ns
    assert first > 1_000_000_000
    await blobs.open(SHA256)
    assert blob.path.stat().st_mtime_ns == first


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63])
async def test_what_is_no_digest_touches_no_path(tmp_path: Path, name: str) -> None:
    blobs = await LocalBlobs.opened(tmp_path)
    with pytest.raises(ValueError):
        await blobs.open(name)
    with pytest.raises(ValueError):
        await blobs.delete(name)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_a_failing_disk_is_a_fault_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    blobs = await LocalBlobs.opened(tmp_path)
    writer = blobs.writer()

    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, call, fail)
        with pytest.raises(StorageFault) as caught:
            await written_and_committed(writer)
    assert caught.value.sentence.startswith("The data folder cannot be used: ")
    await writer.close()
    assert list((tmp_path / "v1" / "incoming").iterdir()) == []
    assert [blob async for blob in blobs] == []


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFault):
        await LocalBlobs.opened(tmp_path / "file")
