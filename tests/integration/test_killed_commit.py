"""A server that is killed while it keeps a file leaves the whole file or nothing, and the next one goes on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from buildthrough.proxy.blobs import LocalBlobs

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(DATA).hexdigest()
KILLED = """
import asyncio, os, pathlib, signal, sys
from buildthrough.proxy.blobs import LocalBlobs

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    writer = (await LocalBlobs.opened(pathlib.Path(sys.argv[1]))).writer()
    await writer.write(bytes(range(256)) * 20_000)
    owner, name = (pathlib.Path, "rename") if sys.argv[2] == "rename" else (os, sys.argv[2])
    real, calls = getattr(owner, name), int(sys.argv[3])
    def counted(*given, **options):
        nonlocal calls
        calls -= 1
        return die() if calls < 0 else real(*given, **options)
    setattr(owner, name, counted)
    await writer.commit()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("call", "done_before", "kept"),
    [("fchmod", 0, False), ("fsync", 0, False), ("rename", 0, False), ("fsync", 1, True), ("fsync", 2, True)],
)
def test_the_whole_file_or_nothing(tmp_path: Path, call: str, done_before: int, kept: bool) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, call, str(done_before)], timeout=60, env={**os.environ}
    )
    assert ended.returncode == -signal.SIGKILL

    async def look() -> None:
        blobs = await LocalBlobs.opened(tmp_path)
        blob = await blobs.open(SHA256)
        assert (blob is not None) is kept
        assert list((tmp_path / "v1" / "incoming").iterdir()) == []
        writer = blobs.writer()
        await writer.write(DATA)
        again = await writer.commit()
        await writer.close()
        assert again.path.read_bytes() == DATA
        assert [one async for one in blobs] == [again]

    asyncio.run(look())
